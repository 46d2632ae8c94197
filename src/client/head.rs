//! Whether the head of a request can be read in one way only.
//!
//! Where a proxy in front of a node and the node read the same bytes differently, one of them takes a
//! part of a body for a request of its own (request smuggling), or takes it for another host. The
//! HTTP server refuses most of what can be read in two ways; this refuses what it lets pass.

use http::{HeaderMap, HeaderName, StatusCode, Version, header, request::Parts, uri::Authority};
use thiserror::Error;

/// Checks that a request says once, and not in two ways, what it is.
///
/// # Errors
///
/// [`AmbiguousHead`] says what is wrong with it.
pub(crate) fn check(request: &Parts) -> Result<(), AmbiguousHead> {
    let headers = &request.headers;
    if headers.contains_key(header::TRANSFER_ENCODING) {
        let encoding = once(headers, header::TRANSFER_ENCODING).ok().flatten();
        if encoding.is_none_or(|it| !it.eq_ignore_ascii_case(b"chunked")) {
            return Err(AmbiguousHead::Coding);
        }
    }
    once(headers, header::ORIGIN)?;
    let host = once(headers, header::HOST)?;
    if host.is_none() && request.version == Version::HTTP_11 {
        return Err(AmbiguousHead::Host);
    }
    match (host, request.uri.authority().map(Authority::as_str)) {
        (Some(host), Some(asked)) if !host.eq_ignore_ascii_case(asked.as_bytes()) => {
            Err(AmbiguousHead::Host)
        }
        _ => Ok(()),
    }
}

/// The value of a header that may be there once.
fn once(headers: &HeaderMap, name: HeaderName) -> Result<Option<&[u8]>, AmbiguousHead> {
    let mut values = headers.get_all(name).iter();
    let value = values.next();
    match values.next() {
        Some(_) => Err(AmbiguousHead::Twice),
        None => Ok(value.map(|value| value.as_bytes())),
    }
}

/// A request can be read in more than one way. Nothing happened, and its connection ends; asking
/// again in the same way does not help.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub(crate) enum AmbiguousHead {
    #[error("only `chunked` is known as a transfer coding")]
    Coding,
    #[error("a request names its host, and only one")]
    Host,
    #[error("a header is there twice")]
    Twice,
}

impl AmbiguousHead {
    /// The status of the answer.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Coding => StatusCode::NOT_IMPLEMENTED,
            Self::Host | Self::Twice => StatusCode::BAD_REQUEST,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn checked(uri: &str, headers: &[(&str, &str)]) -> Result<(), AmbiguousHead> {
        let mut request = Request::post(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        check(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        let host = ("host", "node:1");
        let chunked = ("transfer-encoding", "Chunked");
        assert_eq!(checked("/chat", &[host, chunked]), Ok(()));
        assert_eq!(checked("http://NODE:1/chat", &[host]), Ok(()));
        let refused = |uri, headers: &[_]| checked(uri, headers).unwrap_err();
        let zipped = ("transfer-encoding", "gzip, chunked");
        assert_eq!(refused("/chat", &[host, zipped]), AmbiguousHead::Coding);
        assert_eq!(refused("/chat", &[host, chunked, chunked]), AmbiguousHead::Coding);
        assert_eq!(refused("/chat", &[]), AmbiguousHead::Host);
        assert_eq!(refused("http://other:1/chat", &[host]), AmbiguousHead::Host);
        assert_eq!(refused("/chat", &[host, host]), AmbiguousHead::Twice);
        let origin = ("origin", "http://node:1");
        assert_eq!(refused("/chat", &[host, origin, origin]), AmbiguousHead::Twice);
    }
}
