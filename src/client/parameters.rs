//! The parameters of a request, which stand in its headers or in its query.
//!
//! A browser cannot set the headers of a WebSocket or of an `EventSource`, so everything may also
//! be in the query. A header wins. Names are compared without regard to case; values are
//! percent-decoded, but a `+` stays a `+`, because clients leave `Content-Type` as it is.

use std::borrow::Cow;

use http::{HeaderMap, Uri};
use percent_encoding::percent_decode_str;

/// The parameters of one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parameters<'a> {
    headers: &'a HeaderMap,
    query: &'a str,
}

impl<'a> Parameters<'a> {
    pub(crate) fn new(uri: &'a Uri, headers: &'a HeaderMap) -> Self {
        Self { headers, query: uri.query().unwrap_or_default() }
    }

    /// The value of the first parameter of this name.
    ///
    /// `None` also if the value is longer than `limit_bytes` or has anything in it but printable
    /// ASCII: no value of ours has.
    pub(crate) fn get(self, name: &str, limit_bytes: usize) -> Option<Cow<'a, str>> {
        let value = self.raw(name)?;
        let printable = value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        (printable && value.len() <= limit_bytes).then_some(value)
    }

    /// Whether there is a parameter of this name, whatever its value.
    pub(crate) fn has(self, name: &str) -> bool {
        self.raw(name).is_some()
    }

    fn raw(self, name: &str) -> Option<Cow<'a, str>> {
        if let Some(value) = self.headers.get(name) {
            return Some(String::from_utf8_lossy(value.as_bytes()));
        }
        let mut pairs = pairs(self.query);
        let (_, value) = pairs.find(|(found, _)| decode(found).eq_ignore_ascii_case(name))?;
        Some(decode(value))
    }
}

fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').map(|piece| piece.split_once('=').unwrap_or((piece, "")))
}

fn decode(text: &str) -> Cow<'_, str> {
    percent_decode_str(text).decode_utf8_lossy()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_wins_over_the_query() {
        let uri: Uri = "/chat?x-one=query&X-Two=a%2Fb+c&X-One=later&flag".parse().unwrap();
        let mut headers = HeaderMap::new();
        let query_only = Parameters::new(&uri, &headers);
        assert_eq!(query_only.get("X-One", 10).as_deref(), Some("query"));
        assert_eq!(query_only.get("X-TWO", 10).as_deref(), Some("a/b+c"));
        assert_eq!(query_only.get("X-TWO", 4), None);
        assert!(query_only.has("Flag") && !query_only.has("fla"));

        headers.insert("x-one", "header".parse().unwrap());
        assert_eq!(Parameters::new(&uri, &headers).get("X-One", 10).as_deref(), Some("header"));
    }

    #[test]
    fn what_is_not_printable_is_not_there() {
        let uri: Uri = "/?a=%00&b=%ff&c=%0d%0a&d=%C3%A9&%=%&&=&e=%".parse().unwrap();
        let headers = HeaderMap::new();
        let parameters = Parameters::new(&uri, &headers);
        for name in ["a", "b", "c", "d", "f"] {
            assert_eq!(parameters.get(name, 10), None, "{name}");
        }
        assert_eq!(parameters.get("e", 10).as_deref(), Some("%"));
    }
}
