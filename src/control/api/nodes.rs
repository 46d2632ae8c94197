//! What nodes are told that concerns nobody's messages.

use axum::{
    Extension, Json,
    extract::{Query, State},
};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::everywhere::{Outcomes, Where};
use crate::{
    control::{problem::Problem, server::Desk, token::Operator},
    node::Question,
};

pub(super) fn routes() -> OpenApiRouter<Desk> {
    OpenApiRouter::new().routes(routes!(set_log_level)).routes(routes!(reload))
}

/// Which log lines are to be written.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LogLevel {
    /// A filter as `info` or `info,exosphere=debug`.
    #[schema(max_length = 1024)]
    filter: String,
}

/// The longest that a filter may be, in bytes.
const MAX_FILTER_BYTES: usize = 1_024;

/// Sets which log lines are written, on one node or on all.
#[utoipa::path(put, path = "/api/v1/log-level", tag = "nodes", params(Where), request_body = LogLevel,
    responses((status = 200, body = Outcomes)))]
async fn set_log_level(
    State(desk): State<Desk>,
    Extension(operator): Extension<Operator>,
    Query(at): Query<Where>,
    Json(LogLevel { filter }): Json<LogLevel>,
) -> Result<Json<Outcomes>, Problem> {
    if filter.len() > MAX_FILTER_BYTES {
        return Err(Problem::invalid("the filter is too long"));
    }
    let question = Question::LogFilter(filter.clone());
    desk.everywhere(&operator, "set log level", filter, at, &question).await
}

/// Looks at the certificates, and loads the application's configuration again, on one node or on all.
#[utoipa::path(post, path = "/api/v1/reload", tag = "nodes", params(Where),
    responses((status = 200, body = Outcomes)))]
async fn reload(
    State(desk): State<Desk>,
    Extension(operator): Extension<Operator>,
    Query(at): Query<Where>,
) -> Result<Json<Outcomes>, Problem> {
    desk.everywhere(&operator, "reload", "configuration", at, &Question::Reload).await
}
