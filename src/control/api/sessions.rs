//! Sessions.

use axum::{
    Json,
    extract::{Path, Query, State},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::paging::Paging;
use crate::{
    control::{problem::Problem, server::Desk},
    id::SessionId,
    report::{Page, SessionDetails, SessionFilter, SessionReport},
};

pub(super) fn routes() -> OpenApiRouter<Desk> {
    OpenApiRouter::new().routes(routes!(sessions)).routes(routes!(session))
}

/// The sessions, by id, wherever they are connected.
#[utoipa::path(get, path = "/api/v1/sessions", tag = "sessions", params(SessionFilter, Paging), responses((status = 200, body = Page<SessionReport>)))]
async fn sessions(
    State(desk): State<Desk>,
    Query(filter): Query<SessionFilter>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<SessionReport>>, Problem> {
    let (after, limit) = (paging.after()?, paging.limit()?);
    let page = desk.node().session_reports(&filter, after, limit).await;
    page.map(Json).map_err(Problem::invalid)
}

/// All that is known of a session.
#[utoipa::path(get, path = "/api/v1/sessions/{id}", tag = "sessions", params(("id" = String, Path, description = "The session")),
    responses((status = 200, body = SessionDetails)))]
async fn session(
    State(desk): State<Desk>,
    Path(id): Path<String>,
) -> Result<Json<SessionDetails>, Problem> {
    let session = named(&id)?;
    let details = desk.node().session_details(session).await;
    let mut details = details.ok_or_else(|| Problem::missing("session"))?;
    details.tracked = desk.tracker().follows(session);
    Ok(Json(details))
}

/// The session called `id`.
pub(super) fn named(id: &str) -> Result<SessionId, Problem> {
    id.parse().map_err(|_| Problem::invalid("the session's id is no UUID"))
}
