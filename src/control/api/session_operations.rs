//! What operators do to sessions.

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use http::StatusCode;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    sessions::named,
    topic_operations::{Publication, Published},
};
use crate::{
    control::{problem::Problem, server::Desk, token::Operator},
    proto::{Close, CloseCode},
    session::Session,
};

pub(super) fn routes() -> OpenApiRouter<Desk> {
    OpenApiRouter::new().routes(routes!(close)).routes(routes!(send)).routes(routes!(resume))
}

/// Ends a session, wherever its client is.
#[utoipa::path(delete, path = "/api/v1/sessions/{id}", tag = "sessions", params(("id" = String, Path, description = "The session")),
    responses((status = 204)))]
async fn close(
    State(desk): State<Desk>,
    Extension(operator): Extension<Operator>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let act = async {
        session(&desk, &id)?.close(Close::new(CloseCode::Normal, "closed by an operator"));
        Ok(())
    };
    desk.audited(&operator, "close a session", &id, act).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sends a message to one session, wherever its client is.
#[utoipa::path(post, path = "/api/v1/sessions/{id}/send", tag = "sessions", params(("id" = String, Path, description = "The session")), request_body = Publication,
    responses((status = 200, body = Published)))]
async fn send(
    State(desk): State<Desk>,
    Extension(operator): Extension<Operator>,
    Path(id): Path<String>,
    Json(publication): Json<Publication>,
) -> Result<Json<Published>, Problem> {
    let act = async {
        if publication.is_addressed() {
            return Err(Problem::invalid("what is sent to one session is for that"));
        }
        Ok(session(&desk, &id)?.send(publication.message()?).await?)
    };
    let receipt = desk.audited(&operator, "send to a session", &id, act).await?;
    Ok(Json(Published { id: receipt.id().to_string() }))
}

/// Ends a session's connection, for its client to connect anew.
#[utoipa::path(post, path = "/api/v1/sessions/{id}/resume", tag = "sessions", params(("id" = String, Path, description = "The session")),
    responses((status = 204)))]
async fn resume(
    State(desk): State<Desk>,
    Extension(operator): Extension<Operator>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let act = async { Ok(session(&desk, &id)?.resume().await?) };
    desk.audited(&operator, "resume a session", &id, act).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn session(desk: &Desk, id: &str) -> Result<Session, Problem> {
    desk.node().locate(named(id)?).ok_or_else(|| Problem::missing("session"))
}
