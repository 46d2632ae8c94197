//! The one gate that every request passes: who asks, from where, and whether they may.
//!
//! A token is shown in `Authorization`, which no page of others can set, so that there is nothing to
//! forge a request with; for links, and for those who cannot set headers, `token` in the query does as
//! well where nothing is changed. Whatever changes something and is not named here takes the highest
//! role.

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::{
    Role, events,
    problem::Problem,
    server::Desk,
    token::{Operator, Token},
};
use crate::client::{Origin, Slot};

/// The header in which tools for Atmosphere show a token.
const ATMOSPHERE_TOKEN: &str = "x-atmosphere-auth";

/// What the console may do: nothing but what it came with, and ask the node that it came from.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

/// What may be asked for without a token: what the console is made of.
const OPEN: &[&str] = &["/", "/console/{file}"];

/// What of that which changes something an operator may do. The rest is for admins.
const OPERATE: &[&str] = &[
    "/api/v1/topics/{name}",
    "/api/v1/topics/{name}/publish",
    "/api/v1/topics/{name}/resume",
    "/api/v1/topics/{name}/sessions/{id}",
    "/api/v1/topics/{name}/messages/{id}",
    "/api/v1/topics/{name}/messages/{id}/exclude",
    "/api/v1/sessions/{id}",
    "/api/v1/sessions/{id}/send",
    "/api/v1/sessions/{id}/resume",
    "/api/v1/tracked",
    "/api/v1/tracked/{session}",
    "/api/admin/broadcasters/broadcast",
    "/api/admin/broadcasters/unicast",
    "/api/admin/broadcasters/destroy",
    "/api/admin/resources/{uuid}",
    "/api/admin/resources/{uuid}/resume",
];

/// Lets a request pass, or not.
pub(super) async fn admit(State(desk): State<Desk>, mut request: Request, next: Next) -> Response {
    let mut response = match check(&desk, &mut request) {
        Ok(()) => in_turn(request, next).await,
        Err(problem) => problem.into_response(),
    };
    harden(response.headers_mut());
    response
}

/// Answers a request once it is its turn among those that show the same token. Streams of events and what
/// takes no token do not wait.
async fn in_turn(mut request: Request, next: Next) -> Response {
    let operator = request.extensions().get::<Operator>();
    let operator = operator.filter(|_| request.uri().path() != events::PATH);
    let Some(queue) = operator.map(|operator| operator.queue.clone()) else {
        return next.run(request).await;
    };
    match queue.turn().await {
        Some(turn) => {
            request.extensions_mut().insert(turn.clone());
            let response = next.run(request).await;
            drop(turn);
            response
        }
        None => {
            let why = "too many requests that show this token are under way; waiting helps";
            let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, why);
            let wait = [(header::RETRY_AFTER, HeaderValue::from_static("1"))];
            (wait, problem).into_response()
        }
    }
}

fn check(desk: &Desk, request: &mut Request) -> Result<(), Problem> {
    let forbidden = |why: &str| Problem::new(StatusCode::FORBIDDEN, why);
    let local = request.extensions().get::<Slot>().and_then(|slot| slot.local);
    let hosts = desk.hosts().check(request.uri(), request.headers(), local);
    hosts.map_err(|host| {
        let why = format!("this is not {host:?}; `Control::allow_host` names what else it is");
        Problem::new(StatusCode::MISDIRECTED_REQUEST, why)
    })?;
    if Origin::read(request.uri(), request.headers()) == Origin::Foreign {
        return Err(forbidden("pages of other origins may not ask"));
    }
    let matched = request.extensions().get::<MatchedPath>();
    let matched = matched.map_or("", MatchedPath::as_str).to_owned();
    let changes = changes(request);
    if OPEN.contains(&&*matched) && !changes {
        return Ok(());
    }
    let unknown = |why: &str| Problem::new(StatusCode::UNAUTHORIZED, why);
    let shown = shown(request, changes)
        .ok_or_else(|| unknown("show a token: `Authorization: Bearer TOKEN`"))?;
    let operator = Token::find(desk.tokens(), &shown).ok_or_else(|| {
        unknown("the token is not known: each node knows those that it was given")
    })?;
    let needed = match changes {
        false => Role::Read,
        true if OPERATE.contains(&&*matched) => Role::Operate,
        true => Role::Admin,
    };
    if operator.role < needed {
        let refused = forbidden(&format!("this takes the role {needed:?}"));
        let what = format!("{} {matched}", request.method());
        desk.note(&operator, &what, request.uri().path(), false, refused.detail());
        return Err(refused);
    }
    request.extensions_mut().insert(operator);
    Ok(())
}

/// Whether a request is to change something.
pub(super) fn changes(request: &Request) -> bool {
    !matches!(*request.method(), Method::GET | Method::HEAD)
}

/// The token that a request shows.
fn shown(request: &Request, changes: bool) -> Option<String> {
    if let Some(shown) = request.headers().get(header::AUTHORIZATION) {
        let (scheme, token) = shown.to_str().ok()?.split_once(' ')?;
        return scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned());
    }
    if let Some(shown) = request.headers().get(ATMOSPHERE_TOKEN) {
        return shown.to_str().ok().map(str::to_owned);
    }
    let query = request.uri().query().filter(|_| !changes)?;
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.find(|(name, _)| name == "token").map(|(_, token)| token.into_owned())
}

/// Says what browsers are not to do with an answer.
fn harden(headers: &mut HeaderMap) {
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}
