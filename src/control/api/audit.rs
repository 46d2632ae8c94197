//! What operators did.

use std::cmp::Reverse;

use axum::{
    Json,
    extract::{Query, State},
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::paging::Paging;
use crate::{
    control::{problem::Problem, server::Desk},
    node::Question,
    report::AuditEntry,
};

pub(super) fn routes() -> OpenApiRouter<Desk> {
    OpenApiRouter::new().routes(routes!(audit))
}

/// What operators did, the newest first.
#[derive(Debug, Serialize, ToSchema)]
struct Audit {
    items: Vec<AuditEntry>,
    /// The ids of the nodes that did not answer within a second: what was done there is missing.
    unanswered: Vec<String>,
}

/// What operators did, on whichever node, the newest first: the last 1,000 of each.
#[utoipa::path(get, path = "/api/v1/audit", tag = "audit", params(Paging), responses((status = 200, body = Audit)))]
async fn audit(
    State(desk): State<Desk>,
    Query(paging): Query<Paging>,
) -> Result<Json<Audit>, Problem> {
    let limit = paging.limit()?;
    let (mut items, mut unanswered) = (Vec::new(), Vec::new());
    for (node, answer) in desk.node().ask_all::<Vec<AuditEntry>>(&Question::Audit).await {
        match answer {
            Ok(entries) => items.extend(entries),
            Err(_) => unanswered.push(node.to_string()),
        }
    }
    items.sort_by_key(|entry| Reverse((entry.at_ms, entry.number)));
    items.truncate(limit.get());
    Ok(Json(Audit { items, unanswered }))
}
