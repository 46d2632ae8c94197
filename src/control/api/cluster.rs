//! The cluster and its nodes.

use std::num::NonZeroU32;

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    control::{Role, problem::Problem, server::Desk, token::Operator},
    node::Question,
    report::{ClusterReport, LicenseReport, NodeReport},
};

pub(super) fn routes() -> OpenApiRouter<Desk> {
    OpenApiRouter::new()
        .routes(routes!(cluster))
        .routes(routes!(nodes))
        .routes(routes!(node))
        .routes(routes!(drain))
        .routes(routes!(license))
        .routes(routes!(whoami))
}

/// The whole cluster: its nodes, their links, and what became of all messages.
#[utoipa::path(get, path = "/api/v1/cluster", tag = "cluster", responses((status = 200, body = ClusterReport)))]
async fn cluster(State(desk): State<Desk>) -> Json<ClusterReport> {
    Json(desk.node().cluster_report().await)
}

/// What the nodes say of themselves, and who did not answer.
#[derive(Debug, Serialize, ToSchema)]
struct Nodes {
    items: Vec<NodeReport>,
    /// The ids of those that did not answer within a second.
    unanswered: Vec<String>,
}

/// All that the nodes say of themselves.
#[utoipa::path(get, path = "/api/v1/nodes", tag = "cluster", responses((status = 200, body = Nodes)))]
async fn nodes(State(desk): State<Desk>) -> Json<Nodes> {
    let (mut items, mut unanswered) = (Vec::new(), Vec::new());
    for (node, answer) in desk.node().ask_all::<NodeReport>(&Question::Node).await {
        match answer {
            Ok(mut report) => {
                report.member.this = node == desk.node().id();
                items.push(report);
            }
            Err(_) => unanswered.push(node.to_string()),
        }
    }
    Json(Nodes { items, unanswered })
}

/// All that a node says of itself.
#[utoipa::path(get, path = "/api/v1/nodes/{id}", tag = "cluster", params(("id" = String, Path, description = "The node")),
    responses((status = 200, body = NodeReport)))]
async fn node(
    State(desk): State<Desk>,
    Path(id): Path<String>,
) -> Result<Json<NodeReport>, Problem> {
    let node = desk.member(&id)?;
    let report = desk.node().report_of(node).await;
    report.map(Json).map_err(|error| Problem::new(StatusCode::GATEWAY_TIMEOUT, error.to_string()))
}

/// How fast a node is to be drained.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct Draining {
    /// How many clients are sent elsewhere each second. Without it, all within the time that the
    /// application's own drains take.
    #[schema(minimum = 1)]
    per_second: Option<u32>,
}

/// What is under way.
#[derive(Debug, Serialize, ToSchema)]
struct Begun {
    /// What.
    status: &'static str,
}

/// Drains a node: its clients are sent elsewhere, and it ends.
#[utoipa::path(post, path = "/api/v1/nodes/{id}/drain", tag = "cluster", params(("id" = String, Path, description = "The node")), request_body = Draining,
    responses((status = 202, body = Begun)))]
async fn drain(
    State(desk): State<Desk>,
    Extension(operator): Extension<Operator>,
    Path(id): Path<String>,
    Json(Draining { per_second }): Json<Draining>,
) -> Result<(StatusCode, Json<Begun>), Problem> {
    let act = async {
        let pace = |per_second| {
            let none = || Problem::invalid("`per_second` is 1 or more");
            NonZeroU32::new(per_second).ok_or_else(none)
        };
        let per_second = per_second.map(pace).transpose()?;
        let node = desk.member(&id)?;
        let question = Question::Drain { per_second };
        let asked = desk.node().ask::<()>(node, &question).await;
        asked.map_err(|error| Problem::new(StatusCode::GATEWAY_TIMEOUT, error.to_string()))
    };
    desk.audited(&operator, "drain", &id, act).await?;
    Ok((StatusCode::ACCEPTED, Json(Begun { status: "draining" })))
}

/// The licence that holds.
#[utoipa::path(get, path = "/api/v1/license", tag = "cluster", responses((status = 200, body = Option<LicenseReport>)))]
async fn license(State(desk): State<Desk>) -> Json<Option<LicenseReport>> {
    Json(desk.node().report().license)
}

/// Who asks, and whom.
#[derive(Debug, Serialize, ToSchema)]
struct Whoami {
    /// As whom the audit log names them.
    name: String,
    /// What they may do.
    role: Role,
    /// The id of the node that answers.
    node: String,
    /// The cluster's name.
    cluster: String,
    /// The version of the library.
    version: String,
}

/// Who asks, and whom.
#[utoipa::path(get, path = "/api/v1/whoami", tag = "cluster", responses((status = 200, body = Whoami)))]
async fn whoami(
    State(desk): State<Desk>,
    Extension(Operator { name, role, .. }): Extension<Operator>,
) -> Json<Whoami> {
    let node = desk.node();
    Json(Whoami {
        name,
        role,
        node: node.id().to_string(),
        cluster: node.cluster_name().to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}
