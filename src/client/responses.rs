//! What a node answers to a request, but for the streams and the long polls.
//!
//! No answer may be kept by a cache or held back by a proxy. An error has its reason twice: in
//! `X-Atmosphere-error`, as Atmosphere has it, and as the text of the body, for people.
//!
//! # Other origins
//!
//! A page may talk to the node that it came from, and to others only if the application names its
//! origin: `Access-Control-Allow-Origin` is
//! sent to nobody but to a page of the same host and port ([`Origin::Same`]), which needs it where
//! a proxy in front of the node makes the browser think otherwise of the scheme.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use tracing::debug;

use super::{
    Body, NegotiationError, Origin, ReceiveError, head::AmbiguousHead, http::GoesOn,
    websocket::UpgradeError,
};
use crate::id::SessionId;

/// The work is done, and there is nothing to say.
pub(crate) fn done() -> Response<Body> {
    answer(StatusCode::OK, Body::default())
}

/// An answer whose text is as it is.
pub(crate) fn text(kind: HeaderValue, body: Body) -> Response<Body> {
    let mut response = answer(StatusCode::OK, body);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// An answer whose text comes as it happens.
pub(crate) fn going_on(kind: HeaderValue, body: Body) -> Response<Body> {
    let mut response = text(kind, body);
    response.extensions_mut().insert(GoesOn);
    response
}

/// Nothing happened that the client does not know.
pub(crate) fn nothing_new() -> Response<Body> {
    answer(StatusCode::NO_CONTENT, Body::default())
}

/// The same, at once, as too many wait already.
pub(crate) fn nothing_yet() -> Response<Body> {
    let mut response = nothing_new();
    response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS);
    response
}

/// An error, and the sentence that says what is wrong.
pub(crate) fn error(status: StatusCode, sentence: &str) -> Response<Body> {
    debug!(%status, sentence, "refused");
    let body = format!("{sentence}\n");
    let mut response = answer(status, Body::from(Bytes::from(body)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, TEXT_PLAIN);
    // A header holds one line of visible characters; the body has the sentence in any case.
    if let Ok(sentence) = HeaderValue::from_str(sentence) {
        headers.insert(ERROR, sentence);
    }
    response
}

/// There is nothing at this path.
pub(crate) fn not_found() -> Response<Body> {
    error(StatusCode::NOT_FOUND, "Not Found")
}

/// There is something at this path, but it is used otherwise.
pub(crate) fn method_not_allowed() -> Response<Body> {
    let mut response =
        error(StatusCode::METHOD_NOT_ALLOWED, "this path takes GET, POST and OPTIONS only");
    response.headers_mut().insert(header::ALLOW, METHODS);
    response
}

/// The client asked for a WebSocket in its parameters, but did not ask for an upgrade.
pub(crate) fn not_a_websocket() -> Response<Body> {
    error(StatusCode::NOT_IMPLEMENTED, "Websocket protocol not supported")
}

/// The client asked for scripts, which the application did not allow.
pub(crate) fn no_scripts() -> Response<Body> {
    error(StatusCode::NOT_IMPLEMENTED, "jsonp is not served here: see Builder::jsonp")
}

/// A page from elsewhere asked for what only a page from here may have.
pub(crate) fn foreign_origin() -> Response<Body> {
    error(StatusCode::FORBIDDEN, "pages of other origins may not connect to this node")
}

/// A host was asked for that this node does not answer for.
pub(crate) fn unknown_host(host: &str) -> Response<Body> {
    let sentence = format!("this node does not answer for {host:?}: see Builder::allow_host");
    error(StatusCode::FORBIDDEN, &sentence)
}

/// This node takes no clients any more; another does.
pub(crate) fn elsewhere(why: &str) -> Response<Body> {
    let mut response = error(StatusCode::SERVICE_UNAVAILABLE, why);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// There are as many sessions as there may be.
pub(crate) fn no_room() -> Response<Body> {
    let sentence = "there are as many sessions as there may be; waiting helps";
    let mut response = error(StatusCode::SERVICE_UNAVAILABLE, sentence);
    response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS);
    response
}

/// There is no such session, as whose client something was posted.
pub(crate) fn no_session() -> Response<Body> {
    error(StatusCode::GONE, "there is no such session; connecting again begins one")
}

/// What was posted is none of the frames of postman.
pub(crate) fn not_postman(why: &str) -> Response<Body> {
    error(StatusCode::BAD_REQUEST, why)
}

/// What was posted cannot be taken now, or it is not known whether it was.
pub(crate) fn post_again() -> Response<Body> {
    let sentence = "not everything is known to be stored; posting it again is harmless";
    let mut response = error(StatusCode::SERVICE_UNAVAILABLE, sentence);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// A poll does not follow on what the client was answered last, which has not arrived.
pub(crate) fn out_of_turn() -> Response<Body> {
    error(StatusCode::CONFLICT, "an answer of this series is missing; begin another one")
}

/// What may be asked of a path. The handler is not asked.
pub(crate) fn options() -> Response<Body> {
    let mut response = done();
    let headers = response.headers_mut();
    headers.insert(header::ALLOW, METHODS);
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("-1"));
    response
}

/// The upgrade to a WebSocket: what follows on the connection is frames.
pub(crate) fn switching_protocols(accept: &str) -> Response<Body> {
    let mut response = Response::new(Body::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    let accept = HeaderValue::from_str(accept).expect("an accept key is base64");
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    response
}

/// Adds what a page needs to be allowed to read `response`, if it may have it, and to show who it is,
/// by a cookie or otherwise.
pub(crate) fn allow_origin<B, T>(
    response: &mut Response<B>,
    request: &Request<T>,
    listed: &[String],
) {
    let Some(origin) = request.headers().get(header::ORIGIN) else { return };
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if Origin::read(request.uri(), request.headers()) == Origin::Same
        || is_listed(request.headers(), listed)
    {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
        let allowed = HeaderValue::from_static("true");
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, allowed);
    }
}

/// Whether a request comes from a page of one of these origins, which the application has named.
pub(crate) fn is_listed(headers: &HeaderMap, origins: &[String]) -> bool {
    let origin = headers.get(header::ORIGIN);
    origin.is_some_and(|origin| origins.iter().any(|it| it.as_bytes() == origin.as_bytes()))
}

/// Tells a client its session's id.
pub(crate) fn name_session<B>(response: &mut Response<B>, session: SessionId) {
    let id = HeaderValue::from_str(&session.to_string()).expect("an id is ASCII");
    response.headers_mut().insert(TRACKING_ID, id);
}

/// Tells a client where it is once it has this answer, so that it can say so when it asks again.
pub(crate) fn name_position<B>(response: &mut Response<B>, token: &str) {
    let tag = HeaderValue::from_str(&format!("\"{token}\"")).expect("a token is ASCII");
    response.headers_mut().insert(header::ETAG, tag);
}

/// Adds the headers that every answer has, streams included.
pub(crate) fn common(headers: &mut HeaderMap) {
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-store, no-cache, must-revalidate"),
    );
    headers.insert(header::EXPIRES, HeaderValue::from_static("-1"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Or nginx collects an answer before it passes it on.
    headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
}

impl From<NegotiationError> for Response<Body> {
    fn from(refused: NegotiationError) -> Self {
        error(refused.status(), &refused.to_string())
    }
}

impl From<AmbiguousHead> for Response<Body> {
    fn from(refused: AmbiguousHead) -> Self {
        let mut response = error(refused.status(), &refused.to_string());
        // What follows may not be what it seems.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    }
}

impl From<&ReceiveError> for Response<Body> {
    fn from(refused: &ReceiveError) -> Self {
        let mut response = error(refused.status(), &refused.to_string());
        if refused.status() == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        response
    }
}

impl From<UpgradeError> for Response<Body> {
    fn from(refused: UpgradeError) -> Self {
        let mut response = error(refused.status(), &refused.to_string());
        if refused.status() == StatusCode::UPGRADE_REQUIRED {
            let headers = response.headers_mut();
            headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        response
    }
}

fn answer(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    common(response.headers_mut());
    response
}

/// How long who finds no room should wait: some sessions end meanwhile, and some handlers return.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("5");

pub(crate) const TRACKING_ID: HeaderName = HeaderName::from_static("x-atmosphere-tracking-id");

const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
const ERROR: HeaderName = HeaderName::from_static("x-atmosphere-error");
const METHODS: HeaderValue = HeaderValue::from_static("OPTIONS, GET, POST, PUT, PATCH, DELETE");
pub(crate) const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream;charset=utf-8");
pub(crate) const SCRIPT: HeaderValue =
    HeaderValue::from_static("application/javascript;charset=utf-8");
pub(crate) const TEXT_PLAIN: HeaderValue = HeaderValue::from_static("text/plain;charset=utf-8");
const EXPOSED_HEADERS: HeaderValue =
    HeaderValue::from_static("X-Atmosphere-tracking-id, X-Atmosphere-error, ETag");
const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static(
    "Origin, Content-Type, Authorization, AuthToken, X-Requested-With, Last-Event-ID, If-None-Match, \
     X-Atmosphere-Framework, X-Atmosphere-tracking-id, X-Atmosphere-Transport, \
     X-Atmosphere-TrackMessageSize, X-atmo-protocol, X-Heartbeat-Server, X-Exosphere-Position, \
     X-Exosphere-Postman, X-Exosphere-Series",
);

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn an_error_says_what_is_wrong_twice() {
        let response = Response::from(NegotiationError::Version);
        assert_eq!(response.status(), StatusCode::NOT_IMPLEMENTED);
        assert_eq!(response.headers()[ERROR], "Atmosphere Protocol version not supported.");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "Atmosphere Protocol version not supported.\n");
    }

    #[test]
    fn no_answer_is_kept_or_held_back() {
        for response in [done(), options(), not_found(), method_not_allowed()] {
            let headers = response.headers();
            assert_eq!(headers[header::CACHE_CONTROL], "no-store, no-cache, must-revalidate");
            assert_eq!(headers[ACCEL_BUFFERING], "no");
        }
    }

    #[test]
    fn only_a_page_from_here_may_read_an_answer() {
        let ask = |origin: &str| {
            let request = Request::builder().header("host", "localhost:8080");
            let request = request.header("origin", origin).body(()).unwrap();
            let mut response = done();
            allow_origin(&mut response, &request, &["http://listed.example".to_owned()]);
            response.headers().get(header::ACCESS_CONTROL_ALLOW_ORIGIN).cloned()
        };
        assert_eq!(ask("http://localhost:8080").unwrap(), "http://localhost:8080");
        assert_eq!(ask("http://localhost:3000"), None);
        assert_eq!(ask("http://listed.example").unwrap(), "http://listed.example");
        assert_eq!(ask("http://listed.example.evil"), None);
        assert_eq!(ask("null"), None);
    }

    #[test]
    fn a_sentence_with_a_line_end_is_left_out_of_the_header() {
        let response = error(StatusCode::BAD_REQUEST, "a\r\nb: c");
        assert!(!response.headers().contains_key(ERROR));
    }
}
