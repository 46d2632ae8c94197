//! What went wrong with a request, for machines and people (RFC 9457).

use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

/// The media type of a problem.
pub(super) const MEDIA_TYPE: &str = "application/problem+json";

/// How much of what is wrong is said, in bytes.
const MAX_DETAIL_BYTES: usize = 4 << 10;

/// What went wrong with a request.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    /// Always `about:blank`: the status says what kind of problem it is.
    #[serde(rename = "type")]
    kind: &'static str,
    /// What the status means.
    title: &'static str,
    /// The status of the answer.
    status: u16,
    /// What is wrong, and what helps.
    detail: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: detail.into(),
        }
    }

    /// What is wrong, and what helps.
    pub(super) fn detail(&self) -> String {
        self.detail.clone()
    }

    /// What was asked for is not there.
    pub(super) fn missing(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("there is no such {what}"))
    }

    /// What was asked for cannot be done as things are.
    pub(super) fn conflict(why: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::CONFLICT, why.to_string())
    }

    /// What was said cannot be understood.
    pub(super) fn invalid(why: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, why.to_string())
    }
}

/// Says as a problem what was refused before it came to a route, such as a body that is no JSON.
pub(super) async fn explain(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let (status, headers) = (response.status(), response.headers());
    let is_plain = |kind: &HeaderValue| kind.as_bytes().starts_with(b"text/plain");
    let is_refusal = status.is_client_error() || status.is_server_error();
    if !is_refusal || !headers.get(header::CONTENT_TYPE).is_some_and(is_plain) {
        return response;
    }
    let said = axum::body::to_bytes(response.into_body(), MAX_DETAIL_BYTES).await;
    let said = said.unwrap_or_default();
    Problem::new(status, String::from_utf8_lossy(&said)).into_response()
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_REQUEST);
        let mut response = (status, axum::Json(self)).into_response();
        let kind = HeaderValue::from_static(MEDIA_TYPE);
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        if status == StatusCode::UNAUTHORIZED {
            let how = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, how);
        }
        response
    }
}
