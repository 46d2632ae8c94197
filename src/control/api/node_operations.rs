//! What each node has for itself, on one node or on all: filters, limits, heartbeats, handlers.

use axum::{
    Extension, Json,
    extract::{Path, Query, State},
};
use http::StatusCode;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::everywhere::{Outcomes, Where};
use crate::{
    control::{problem::Problem, server::Desk, token::Operator},
    node::{Change, Question},
    report::{FilterReport, LimitsPatch, LimitsReport, NodeReport, RouteReport},
};

pub(super) fn routes() -> OpenApiRouter<Desk> {
    OpenApiRouter::new()
        .routes(routes!(filters, order_filters))
        .routes(routes!(remove_filter))
        .routes(routes!(limits, change_limits))
        .routes(routes!(change_heartbeat))
        .routes(routes!(all_routes))
        .routes(routes!(swap))
        .routes(routes!(handlers))
}

/// Which node is asked about.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
struct Of {
    /// The id of the node. Without it, it is the one that is asked.
    node: Option<String>,
}

/// The order of the filters.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Order {
    /// The names of all filters, each once.
    order: Vec<String>,
}

/// How often clients are sent heartbeats.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Beat {
    /// Every so many milliseconds, from a second to an hour.
    #[schema(minimum = 1000, maximum = 3600000)]
    ms: u64,
}

/// Who is to have a route.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Swap {
    /// The name of a handler.
    handler: String,
}

/// The filters of a node, in their order.
#[utoipa::path(get, path = "/api/v1/filters", tag = "nodes", params(Of),
    responses((status = 200, body = Vec<FilterReport>)))]
async fn filters(
    State(desk): State<Desk>,
    Query(of): Query<Of>,
) -> Result<Json<Vec<FilterReport>>, Problem> {
    Ok(Json(report(&desk, &of).await?.filters))
}

/// Puts the filters into another order.
#[utoipa::path(put, path = "/api/v1/filters", tag = "nodes", params(Where), request_body = Order,
    responses((status = 200, body = Outcomes)))]
async fn order_filters(
    State(desk): State<Desk>,
    Extension(operator): Extension<Operator>,
    Query(at): Query<Where>,
    Json(Order { order }): Json<Order>,
) -> Result<Json<Outcomes>, Problem> {
    let target = order.join(", ");
    desk.everywhere(
        &operator,
        "order filters",
        target,
        at,
        &Question::Change(Change::OrderFilters(order)),
    )
    .await
}

/// Removes a filter.
#[utoipa::path(delete, path = "/api/v1/filters/{name}", tag = "nodes", params(("name" = String, Path, description = "The filter"), Where),
    responses((status = 200, body = Outcomes)))]
async fn remove_filter(
    State(desk): State<Desk>,
    Extension(operator): Extension<Operator>,
    Path(name): Path<String>,
    Query(at): Query<Where>,
) -> Result<Json<Outcomes>, Problem> {
    let removal = Question::Change(Change::RemoveFilter(name.clone()));
    desk.everywhere(&operator, "remove a filter", name, at, &removal).await
}

/// The limits of a node.
#[utoipa::path(get, path = "/api/v1/limits", tag = "nodes", params(Of),
    responses((status = 200, body = LimitsReport)))]
async fn limits(
    State(desk): State<Desk>,
    Query(of): Query<Of>,
) -> Result<Json<LimitsReport>, Problem> {
    Ok(Json(report(&desk, &of).await?.limits))
}

/// Changes limits.
#[utoipa::path(patch, path = "/api/v1/limits", tag = "nodes", params(Where), request_body = LimitsPatch,
    responses((status = 200, body = Outcomes)))]
async fn change_limits(
    State(desk): State<Desk>,
    Extension(operator): Extension<Operator>,
    Query(at): Query<Where>,
    Json(patch): Json<LimitsPatch>,
) -> Result<Json<Outcomes>, Problem> {
    let target = serde_json::to_string(&patch).unwrap_or_default();
    desk.everywhere(
        &operator,
        "change limits",
        target,
        at,
        &Question::Change(Change::Limits(patch)),
    )
    .await
}

/// Changes how often clients are sent heartbeats that connect from now on.
#[utoipa::path(put, path = "/api/v1/heartbeat", tag = "nodes", params(Where), request_body = Beat,
    responses((status = 200, body = Outcomes)))]
async fn change_heartbeat(
    State(desk): State<Desk>,
    Extension(operator): Extension<Operator>,
    Query(at): Query<Where>,
    Json(Beat { ms }): Json<Beat>,
) -> Result<Json<Outcomes>, Problem> {
    let target = format!("{ms} ms");
    desk.everywhere(
        &operator,
        "change heartbeats",
        target,
        at,
        &Question::Change(Change::Heartbeat(ms)),
    )
    .await
}

/// The routes of a node, and who has them.
#[utoipa::path(get, path = "/api/v1/routes", tag = "nodes", params(Of),
    responses((status = 200, body = Vec<RouteReport>)))]
async fn all_routes(
    State(desk): State<Desk>,
    Query(of): Query<Of>,
) -> Result<Json<Vec<RouteReport>>, Problem> {
    Ok(Json(report(&desk, &of).await?.routes))
}

/// Gives the sessions of a route to another handler, while their clients stay connected.
#[utoipa::path(put, path = "/api/v1/routes/{template}", tag = "nodes", params(("template" = String, Path, description = "The route, percent-encoded"), Where), request_body = Swap,
    responses((status = 200, body = Outcomes)))]
async fn swap(
    State(desk): State<Desk>,
    Extension(operator): Extension<Operator>,
    Path(template): Path<String>,
    Query(at): Query<Where>,
    Json(Swap { handler }): Json<Swap>,
) -> Result<Json<Outcomes>, Problem> {
    let target = format!("{template} {handler}");
    let swap = Question::Change(Change::Swap { template, handler });
    desk.everywhere(&operator, "swap a handler", target, at, &swap).await
}

/// The names of the handlers that routes can be given.
#[utoipa::path(get, path = "/api/v1/handlers", tag = "nodes", params(Of),
    responses((status = 200, body = Vec<String>)))]
async fn handlers(
    State(desk): State<Desk>,
    Query(of): Query<Of>,
) -> Result<Json<Vec<String>>, Problem> {
    Ok(Json(report(&desk, &of).await?.handlers))
}

/// All that a node says of itself.
async fn report(desk: &Desk, of: &Of) -> Result<NodeReport, Problem> {
    let node = match &of.node {
        Some(id) => desk.member(id)?,
        None => desk.node().id(),
    };
    let report = desk.node().report_of(node).await;
    report.map_err(|error| Problem::new(StatusCode::GATEWAY_TIMEOUT, error.to_string()))
}
