//! What is done on one node, or on all.

use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    control::{problem::Problem, server::Desk, token::Operator},
    node::Question,
};

/// Where something is to be done.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub(super) struct Where {
    /// The id of the only node that it is to be done on. Without it, it is done on all.
    node: Option<String>,
}

/// What came of it, for each node.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Outcomes {
    nodes: Vec<Outcome>,
}

/// What came of it on a node.
#[derive(Debug, Serialize, ToSchema)]
struct Outcome {
    /// The node's id.
    id: String,
    /// Whether it was done. If a node did not answer in time, it may be done all the same.
    ok: bool,
    /// Why not.
    error: Option<String>,
}

impl Desk {
    /// Asks a node, or all, to do something, and writes that down.
    pub(super) async fn everywhere(
        &self,
        operator: &Operator,
        what: &str,
        target: impl ToString,
        at: Where,
        question: &Question,
    ) -> Result<Json<Outcomes>, Problem> {
        let act = async {
            let answers = match at.node {
                Some(id) => {
                    let node = self.member(&id)?;
                    vec![(node, self.node().ask::<()>(node, question).await)]
                }
                None => self.node().ask_all::<()>(question).await,
            };
            let outcomes = answers.into_iter().map(|(node, answer)| Outcome {
                id: node.to_string(),
                ok: answer.is_ok(),
                error: answer.err().map(|error| error.to_string()),
            });
            let outcomes = Outcomes { nodes: outcomes.collect() };
            let failed = outcomes.nodes.iter().filter_map(|node| node.error.as_deref());
            match failed.clone().count() == outcomes.nodes.len() {
                true => Err(Problem::conflict(failed.collect::<Vec<_>>().join("; "))),
                false => Ok(Json(outcomes)),
            }
        };
        self.audited(operator, what, target, act).await
    }
}
