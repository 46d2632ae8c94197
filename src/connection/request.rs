//! What a client asked with, as far as it is kept.

use std::{net::SocketAddr, sync::Arc, time::SystemTime};

use http::{HeaderMap, Uri, header};

/// The request by which a client is connected now. Cheap to clone.
///
/// It is kept while the client is connected, by the node that it is connected to. At most 32 headers and 4 KiB
/// are kept of each; what is longer than 256 bytes is cut. What its name says is a credential never is kept:
/// a header is left out, a parameter's value in the query is `***`, if the name is one of credentials, such as
/// `Cookie`, `Authorization`, `token`, `ticket`, `code` or `session`. So is `Sec-WebSocket-Protocol`, which
/// browsers have to use for want of others; so is what stands in the query without a name, and of URLs in
/// headers, such as `Referer`, all from the `?` on. A credential under another name is kept as it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientRequest(Arc<Kept>);

#[derive(Debug, Eq, PartialEq)]
struct Kept {
    since: SystemTime,
    address: Option<SocketAddr>,
    /// The query, and then the headers: a name and a value in turns, each behind a line feed, which
    /// none of them can contain. In one piece, as there is one for each client.
    text: Box<str>,
}

/// How many headers are kept.
const MAX_HEADERS: usize = 32;

/// How many bytes are kept of a value, and of a name.
const MAX_VALUE_BYTES: usize = 256;

/// How many bytes are kept in all.
const MAX_BYTES: usize = 4 << 10;

/// What names contain whose values are nobody's business.
const SECRETS: [&str; 25] = [
    "assertion",
    "auth",
    "bearer",
    "cert",
    "code",
    "cookie",
    "credential",
    "csrf",
    "grant",
    "hmac",
    "jwt",
    "key",
    "nonce",
    "otp",
    "pass",
    "pin",
    "pwd",
    "saml",
    "sec-websocket-protocol",
    "secret",
    "session",
    "sig",
    "ticket",
    "token",
    "tracking-id",
];

/// What names of headers contain that are URLs.
const URLS: [&str; 3] = ["referer", "uri", "url"];

/// What a value is replaced by that is not kept.
const HIDDEN: &str = "***";

impl ClientRequest {
    /// What a client at `address` asks for with `uri` and `headers`, at this time.
    pub(crate) fn new(
        uri: &Uri,
        headers: &HeaderMap,
        address: Option<SocketAddr>,
        since: SystemTime,
    ) -> Self {
        let mut text = cut(&shown(uri.query().unwrap_or_default())).to_owned();
        // The agent is asked for most, and must not be what there is no room for.
        let agent = headers.get(header::USER_AGENT).map(|agent| (&header::USER_AGENT, agent));
        let others = headers.iter().filter(|(name, _)| *name != header::USER_AGENT);
        let kept = agent.into_iter().chain(others).filter(|(name, _)| !is_secret(name.as_str()));
        for (name, value) in kept.take(MAX_HEADERS) {
            let value = String::from_utf8_lossy(value.as_bytes());
            let (name, value) = (cut(name.as_str()), cut(without_query(name.as_str(), &value)));
            if text.len() + name.len() + value.len() + 2 <= MAX_BYTES {
                text.extend(["\n", name, "\n", value]);
            }
        }
        Self(Arc::new(Kept { since, address, text: text.into() }))
    }

    /// When the client asked. One that polls is connected by its first poll.
    pub fn since(&self) -> SystemTime {
        self.0.since
    }

    /// Where the client, or the proxy in front of it, is connected from; `None` if the node is mounted in a
    /// server of the application's.
    pub fn address(&self) -> Option<SocketAddr> {
        self.0.address
    }

    /// What stood behind the `?` of the client's URL, with `***` for what is secret, or has no name.
    pub fn query(&self) -> &str {
        self.0.text.split('\n').next().unwrap_or_default()
    }

    /// The headers that are kept, the user agent first.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut pieces = self.0.text.split('\n').skip(1);
        std::iter::from_fn(move || Some((pieces.next()?, pieces.next()?)))
    }

    /// The first header of this name, if it is kept, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(kept, _)| kept.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// What program the client says to be.
    pub fn user_agent(&self) -> Option<&str> {
        self.header(header::USER_AGENT.as_str())
    }
}

/// A query without the values that are secret.
fn shown(query: &str) -> String {
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if is_secret(name) => format!("{name}={HIDDEN}"),
        Some(_) => pair.to_owned(),
        // Without a name nothing says what it is.
        None if pair.is_empty() => String::new(),
        None => HIDDEN.to_owned(),
    });
    pairs.collect::<Vec<_>>().join("&").replace('\n', " ")
}

/// A header's value without the query, if it is a URL.
fn without_query<'a>(name: &str, value: &'a str) -> &'a str {
    match URLS.iter().any(|url| name.contains(url)) {
        true => value.split(['?', '#']).next().unwrap_or_default(),
        false => value,
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    // A name may be written so that it reads otherwise.
    name.contains('%') || SECRETS.iter().any(|secret| name.contains(secret))
}

/// As much of a text as is kept.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_VALUE_BYTES)]
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn request(uri: &str, headers: &[(&str, &str)]) -> ClientRequest {
        let headers = headers.iter().map(|(name, value)| {
            let name: HeaderName = name.parse().unwrap();
            (name, HeaderValue::from_str(value).unwrap())
        });
        let headers: HeaderMap = headers.collect();
        ClientRequest::new(&uri.parse().unwrap(), &headers, None, SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn what_could_be_a_credential_is_not_kept() {
        let headers = [
            ("authorization", "Bearer x-x"),
            ("cookie", "a=x-x"),
            ("x-api-key", "x-x"),
            ("x-atmosphere-tracking-id", "x-x"),
            ("sec-websocket-key", "x-x"),
            ("proxy-authorization", "x-x"),
            ("x-forwarded-for", "192.0.2.7"),
            ("user-agent", "test/1"),
            ("sec-websocket-protocol", "bearer, x-x"),
            ("referer", "https://a.example/b?ticket=x-x"),
            ("x-forwarded-uri", "/chat?x-x"),
            ("sec-ch-ua-mobile", "?0"),
        ];
        let query = "/chat?a=1&Token=x-x&X-Atmosphere-tracking-id=x-x&pass%77ord=x-x&x-x";
        let request = request(query, &headers);
        assert!(!format!("{request:?}").contains("x-x"), "{request:?}");
        let kept: Vec<_> = request.headers().collect();
        let shown = [
            ("user-agent", "test/1"),
            ("x-forwarded-for", "192.0.2.7"),
            ("referer", "https://a.example/b"),
            ("x-forwarded-uri", "/chat"),
            ("sec-ch-ua-mobile", "?0"),
        ];
        assert_eq!(kept, shown);
        let shown = "a=1&Token=***&X-Atmosphere-tracking-id=***&pass%77ord=***&***";
        assert_eq!((request.query(), request.user_agent()), (shown, Some("test/1")));
        assert_eq!(request.header("X-Forwarded-For"), Some("192.0.2.7"));
        assert_eq!(request.header("cookie"), None);
    }

    #[test]
    fn parameters_that_let_somebody_in_are_hidden() {
        for name in ["ticket", "code", "otp", "PIN", "access_key", "sessionid", "id-token"] {
            let request = request(&format!("/?{name}=x-x"), &[]);
            assert_eq!(request.query(), format!("{name}=***"));
        }
        let plain = "X-Atmosphere-Transport=websocket&X-Heartbeat-Server=60000&room=1&&n=";
        assert_eq!(request(&format!("/?{plain}"), &[]).query(), plain);
    }

    #[test]
    fn there_is_an_end_to_what_is_kept() {
        let long = "\u{e9}".repeat(400);
        let mut headers = HeaderMap::new();
        for at in 0..200 {
            let name: HeaderName = format!("x-{at}").parse().unwrap();
            headers.insert(name, HeaderValue::from_bytes(long.as_bytes()).unwrap());
        }
        headers.insert("user-agent", HeaderValue::from_static("last"));
        let uri: Uri = format!("/?q={}", "q".repeat(5_000)).parse().unwrap();
        let request = ClientRequest::new(&uri, &headers, None, SystemTime::UNIX_EPOCH);
        assert_eq!((request.query().len(), request.user_agent()), (MAX_VALUE_BYTES, Some("last")));
        assert!(request.0.text.len() <= MAX_BYTES);
        assert!(request.headers().count() > 10, "{}", request.headers().count());
        assert!(request.headers().all(|(_, value)| value.len() <= MAX_VALUE_BYTES));
    }

    #[test]
    fn nothing_that_a_client_sends_is_taken_for_more_than_one_value() {
        let mut headers = HeaderMap::new();
        headers.insert("x-a", HeaderValue::from_bytes(b"one\xff\ttwo").unwrap());
        let uri: Uri = "/?a=1".parse().unwrap();
        let request = ClientRequest::new(&uri, &headers, None, SystemTime::UNIX_EPOCH);
        assert_eq!(request.headers().collect::<Vec<_>>(), [("x-a", "one\u{fffd}\ttwo")]);
    }
}
