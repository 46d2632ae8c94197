//! Messages: what became of them, and why.

use axum::{
    Json,
    extract::{Path, Query, State},
};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::sessions;
use crate::{
    control::{problem::Problem, server::Desk},
    id::MessageId,
    report::{ExplanationReport, MessageDetails},
};

pub(super) fn routes() -> OpenApiRouter<Desk> {
    OpenApiRouter::new().routes(routes!(message)).routes(routes!(explain))
}

/// What became of a message, on all nodes.
#[utoipa::path(get, path = "/api/v1/messages/{id}", tag = "messages", params(("id" = String, Path, description = "The message")),
    responses((status = 200, body = MessageDetails)))]
async fn message(
    State(desk): State<Desk>,
    Path(id): Path<String>,
) -> Result<Json<MessageDetails>, Problem> {
    let details = desk.node().message_details(named(&id)?).await;
    details.map(Json).ok_or_else(|| Problem::missing("message"))
}

/// What is to be explained.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Asked {
    /// The id of the message.
    message: String,
    /// The id of the session.
    session: String,
}

/// Why a session got a message, or did not.
#[utoipa::path(get, path = "/api/v1/explain", tag = "messages", params(Asked),
    responses((status = 200, body = ExplanationReport)))]
async fn explain(
    State(desk): State<Desk>,
    Query(Asked { message, session }): Query<Asked>,
) -> Result<Json<ExplanationReport>, Problem> {
    let (message, session) = (named(&message)?, sessions::named(&session)?);
    Ok(Json(desk.node().explain_everywhere(message, session).await))
}

/// The message called `id`.
fn named(id: &str) -> Result<MessageId, Problem> {
    id.parse().map_err(|_| Problem::invalid("the message's id is none: it is `origin-number`"))
}
