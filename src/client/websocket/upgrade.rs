//! From HTTP to WebSocket: whether a request asks for it, and the answer if it does so rightly.

use http::{HeaderMap, HeaderName, Method, Response, StatusCode, Version, header, request::Parts};
use thiserror::Error;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::client::{Body, responses};

/// Whether a request asks for a WebSocket, rightly or not.
pub(crate) fn is_upgrade(headers: &HeaderMap) -> bool {
    has_token(headers, header::CONNECTION, "upgrade")
        && has_token(headers, header::UPGRADE, "websocket")
}

/// The answer that makes a request's connection a WebSocket.
///
/// # Errors
///
/// [`UpgradeError`] says what is wrong with the request. It is an answer, too.
pub(crate) fn accept(request: &Parts) -> Result<Response<Body>, UpgradeError> {
    let headers = &request.headers;
    if request.method != Method::GET {
        return Err(UpgradeError::Method);
    }
    if request.version != Version::HTTP_11 || !is_upgrade(headers) {
        return Err(UpgradeError::NotAsked);
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(UpgradeError::Version);
    }
    // Or what is its body to one would be frames to another.
    let length = headers.get(header::CONTENT_LENGTH);
    if headers.contains_key(header::TRANSFER_ENCODING) || length.is_some_and(|it| it != "0") {
        return Err(UpgradeError::Body);
    }
    let mut keys = headers.get_all(header::SEC_WEBSOCKET_KEY).iter();
    let key = keys.next().ok_or(UpgradeError::NoKey)?;
    if !is_key(key.as_bytes()) || keys.next().is_some() {
        return Err(UpgradeError::Key);
    }
    Ok(responses::switching_protocols(&derive_accept_key(key.as_bytes())))
}

/// Whether `key` is 16 bytes in base64.
fn is_key(key: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    matches!(key, [digits @ .., b'=', b'='] if digits.len() == 22 && digits.iter().all(is_digit))
}

fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|found| found.trim().eq_ignore_ascii_case(token))
}

/// A request for a WebSocket is not as it should be. Nothing happened; asking again in the same way
/// does not help.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub(crate) enum UpgradeError {
    #[error("a WebSocket is asked for with GET")]
    Method,
    #[error("a WebSocket needs HTTP/1.1, `Connection: Upgrade` and `Upgrade: websocket`")]
    NotAsked,
    #[error("only version 13 of WebSocket is spoken here")]
    Version,
    #[error("a WebSocket is asked for without a body")]
    Body,
    #[error("there is no `Sec-WebSocket-Key`")]
    NoKey,
    #[error("`Sec-WebSocket-Key` is not 16 bytes in base64")]
    Key,
}

impl UpgradeError {
    /// The status of the answer.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAsked | Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::Body | Self::NoKey | Self::Key => StatusCode::BAD_REQUEST,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Request};

    use super::*;

    fn request() -> Parts {
        let request = Request::get("/chat")
            .header("Connection", "keep-alive, Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn the_example_of_the_rfc_is_accepted() {
        let response = accept(&request()).unwrap();
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        let accept = &response.headers()[header::SEC_WEBSOCKET_ACCEPT];
        assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let refused = |change: fn(&mut Parts)| {
            let mut request = request();
            change(&mut request);
            accept(&request).unwrap_err()
        };
        let post = refused(|request| request.method = Method::POST);
        assert_eq!(post, UpgradeError::Method);
        let http2 = refused(|request| request.version = Version::HTTP_2);
        assert_eq!(http2, UpgradeError::NotAsked);
        let plain = refused(|request| drop(request.headers.remove("upgrade")));
        assert_eq!(plain, UpgradeError::NotAsked);
        let version = refused(|request| {
            request.headers.insert("sec-websocket-version", HeaderValue::from_static("8"));
        });
        assert_eq!(version, UpgradeError::Version);
        let response = Response::<Body>::from(version);
        assert_eq!(response.status(), StatusCode::UPGRADE_REQUIRED);
        assert_eq!(response.headers()[header::SEC_WEBSOCKET_VERSION], "13");
        let no_key = refused(|request| drop(request.headers.remove("sec-websocket-key")));
        assert_eq!(no_key, UpgradeError::NoKey);
        let body = refused(|request| {
            request.headers.insert("content-length", HeaderValue::from_static("6"));
        });
        assert_eq!((body, body.status()), (UpgradeError::Body, StatusCode::BAD_REQUEST));
        let key = refused(|request| {
            request.headers.insert("sec-websocket-key", HeaderValue::from_static("c2hvcnQ="));
        });
        assert_eq!((key, key.status()), (UpgradeError::Key, StatusCode::BAD_REQUEST));
    }
}
