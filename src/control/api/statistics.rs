//! What nodes have counted.

use axum::{
    Extension, Json,
    extract::{Query, State},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::everywhere::{Outcomes, Where};
use crate::{
    control::{problem::Problem, server::Desk, token::Operator},
    node::Question,
    report::{NodeReport, StatisticsReport},
};

pub(super) fn routes() -> OpenApiRouter<Desk> {
    OpenApiRouter::new().routes(routes!(statistics, set_statistics))
}

/// Which node is asked.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Asked {
    /// Only the node with this id.
    node: Option<String>,
}

/// What nodes have counted, and who did not answer.
#[derive(Debug, Serialize, ToSchema)]
struct Counted {
    nodes: Vec<CountedNode>,
    /// The ids of those that did not answer within a second.
    unanswered: Vec<String>,
}

/// What a node has counted.
#[derive(Debug, Serialize, ToSchema)]
struct CountedNode {
    /// Its id.
    id: String,
    /// What it has counted since it was started; none while it does not count.
    statistics: Option<StatisticsReport>,
}

/// What the nodes have counted, or one of them.
#[utoipa::path(get, path = "/api/v1/statistics", tag = "nodes", params(Asked),
    responses((status = 200, body = Counted)))]
async fn statistics(
    State(desk): State<Desk>,
    Query(Asked { node }): Query<Asked>,
) -> Result<Json<Counted>, Problem> {
    let answers = match node {
        None => desk.node().ask_all::<NodeReport>(&Question::Node).await,
        Some(id) => {
            let node = desk.member(&id)?;
            vec![(node, desk.node().ask(node, &Question::Node).await)]
        }
    };
    let mut counted = Counted { nodes: Vec::new(), unanswered: Vec::new() };
    for (id, answer) in answers {
        let id = id.to_string();
        match answer {
            Ok(NodeReport { statistics, .. }) => counted.nodes.push(CountedNode { id, statistics }),
            Err(_) => counted.unanswered.push(id),
        }
    }
    Ok(Json(counted))
}

/// Whether nodes count.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Counting {
    /// Whether they do from now on.
    on: bool,
}

/// Has nodes count from now on, or no longer: one, or all.
#[utoipa::path(put, path = "/api/v1/statistics", tag = "nodes", params(Where), request_body = Counting,
    responses((status = 200, body = Outcomes)))]
async fn set_statistics(
    State(desk): State<Desk>,
    Extension(operator): Extension<Operator>,
    Query(at): Query<Where>,
    Json(Counting { on }): Json<Counting>,
) -> Result<Json<Outcomes>, Problem> {
    let question = Question::CountStatistics(on);
    desk.everywhere(&operator, "switch statistics", if on { "on" } else { "off" }, at, &question)
        .await
}
