//! The sessions that operators follow step by step.

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::sessions::named;
use crate::control::{problem::Problem, server::Desk, token::Operator};

pub(super) fn routes() -> OpenApiRouter<Desk> {
    OpenApiRouter::new().routes(routes!(tracked, clear)).routes(routes!(track, untrack))
}

/// The sessions that are followed.
#[derive(Debug, Serialize, ToSchema)]
struct Tracked {
    /// Their ids.
    items: Vec<String>,
}

/// The sessions that operators of this node follow.
#[utoipa::path(get, path = "/api/v1/tracked", tag = "sessions", responses((status = 200, body = Tracked)))]
async fn tracked(State(desk): State<Desk>) -> Json<Tracked> {
    let sessions = desk.tracker().sessions();
    Json(Tracked { items: sessions.iter().map(ToString::to_string).collect() })
}

/// Follows no session any more.
#[utoipa::path(delete, path = "/api/v1/tracked", tag = "sessions", responses((status = 204)))]
async fn clear(
    State(desk): State<Desk>,
    Extension(operator): Extension<Operator>,
) -> Result<StatusCode, Problem> {
    let act = async {
        desk.tracker().clear();
        Ok(())
    };
    desk.audited(&operator, "track no session", "", act).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Follows a session: its steps are told by the events of this node as `session.step`, until it is over. Four
/// sessions are looked at four times a second; if more are followed, they take turns: of 64, the most, each
/// is looked at every four seconds.
#[utoipa::path(put, path = "/api/v1/tracked/{session}", tag = "sessions", params(("session" = String, Path, description = "The session")), responses((status = 204)))]
async fn track(
    State(desk): State<Desk>,
    Extension(operator): Extension<Operator>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let act = async {
        let session = named(&id)?;
        desk.node().locate(session).ok_or_else(|| Problem::missing("session"))?;
        let has_room = desk.tracker().add(session);
        has_room.then_some(()).ok_or_else(|| Problem::conflict("64 sessions are tracked already"))
    };
    desk.audited(&operator, "track a session", &id, act).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Follows a session no longer.
#[utoipa::path(delete, path = "/api/v1/tracked/{session}", tag = "sessions", params(("session" = String, Path, description = "The session")), responses((status = 204)))]
async fn untrack(
    State(desk): State<Desk>,
    Extension(operator): Extension<Operator>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let act = async {
        desk.tracker().remove(named(&id)?);
        Ok(())
    };
    desk.audited(&operator, "track a session no longer", &id, act).await?;
    Ok(StatusCode::NO_CONTENT)
}
