//! Whether a request comes from a page of ours.
//!
//! Only pages of the same origin may talk to a node. A browser enforces that for plain requests, if
//! we do not tell it otherwise, but not for WebSockets, and not for a form's POST: there it says
//! where the page is from, in `Origin`, and leaves it to us. Programs send no `Origin` at all, and
//! are nobody's unwitting helpers.

use http::{HeaderMap, Uri, header, uri::Authority};

/// Where the page that made a request is from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Origin {
    /// No page made it, or a browser does not say so.
    Unknown,
    /// From here: the page's host and port are those that the request was sent to.
    Same,
    /// From somewhere else.
    Foreign,
}

impl Origin {
    /// Reads where a request is from.
    ///
    /// The scheme is not compared: a proxy that ends TLS hides ours from us.
    pub(crate) fn read(uri: &Uri, headers: &HeaderMap) -> Self {
        let Some(origin) = headers.get(header::ORIGIN) else {
            return Self::Unknown;
        };
        let origin = origin.to_str().ok().and_then(|text| text.parse::<Uri>().ok());
        let Some((scheme, page)) =
            origin.as_ref().and_then(|it| it.scheme_str().zip(it.authority()))
        else {
            return Self::Foreign; // Among them `null`, which a sandboxed page sends.
        };
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()?.parse().ok());
        let Some(host) = host.or_else(|| uri.authority().cloned()) else {
            return Self::Foreign;
        };
        match is_same(scheme, page, &host) {
            true => Self::Same,
            false => Self::Foreign,
        }
    }
}

impl Origin {
    /// Whether the page that made a request came over TLS, and so its request did, too: a browser
    /// sends no other.
    pub(crate) fn is_secure(headers: &HeaderMap) -> bool {
        let origin = headers.get(header::ORIGIN);
        origin.is_some_and(|origin| origin.as_bytes().starts_with(b"https://"))
    }
}

fn is_same(scheme: &str, page: &Authority, host: &Authority) -> bool {
    let default = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return false,
    };
    let port = |authority: &Authority| authority.port_u16().unwrap_or(default);
    page.host().eq_ignore_ascii_case(host.host()) && port(page) == port(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(origin: &str, host: &str) -> Origin {
        let mut headers = HeaderMap::new();
        headers.insert(header::ORIGIN, origin.parse().unwrap());
        headers.insert(header::HOST, host.parse().unwrap());
        Origin::read(&"/chat".parse().unwrap(), &headers)
    }

    #[test]
    fn an_origin_is_a_host_and_a_port() {
        assert_eq!(origin("http://localhost:8080", "localhost:8080"), Origin::Same);
        assert_eq!(origin("https://Example.com", "example.com"), Origin::Same);
        assert_eq!(origin("https://example.com", "example.com:443"), Origin::Same);
        assert_eq!(origin("http://[::1]:80", "[::1]"), Origin::Same);
        let foreign = [
            ("http://localhost:3000", "localhost:8080"),
            ("https://example.com", "example.com:80"),
            ("https://evil.example", "example.com"),
            ("https://example.com.evil.example", "example.com"),
            ("chrome-extension://example.com", "example.com"),
            ("null", "example.com"),
            ("", "example.com"),
            ("https://", "example.com"),
        ];
        for (page, host) in foreign {
            assert_eq!(origin(page, host), Origin::Foreign, "{page} {host}");
        }
    }

    #[test]
    fn a_program_says_nothing_and_http2_puts_the_host_in_the_uri() {
        let uri = "http://example.com:8080/chat".parse().unwrap();
        let mut headers = HeaderMap::new();
        assert_eq!(Origin::read(&uri, &headers), Origin::Unknown);
        headers.insert(header::ORIGIN, "http://example.com:8080".parse().unwrap());
        assert_eq!(Origin::read(&uri, &headers), Origin::Same);
        assert_eq!(Origin::read(&"/chat".parse().unwrap(), &headers), Origin::Foreign);
    }
}
