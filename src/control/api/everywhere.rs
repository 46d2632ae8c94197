//! What is done on one node, or on all.

use std::collections::BTreeMap;

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

impl Outcomes {
    /// Why it was not done, and where; nothing if it was done on all.
    fn errors(&self) -> String {
        let mut nodes = BTreeMap::<&str, Vec<&str>>::new();
        for Outcome { id, error, .. } in self.nodes.iter().filter(|node| !node.ok) {
            nodes.entry(error.as_deref().unwrap_or_default()).or_default().push(id);
        }
        let say = |(error, ids): (_, Vec<_>)| format!("{error} (on {})", ids.join(", "));
        nodes.into_iter().map(say).collect::<Vec<_>>().join("; ")
    }
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
        let result = self.ask_at(at, question).await;
        let (done, detail) = match &result {
            Ok(outcomes) => (true, outcomes.errors()),
            Err(problem) => (false, problem.detail()),
        };
        self.note(operator, what, target, done, detail);
        result.map(Json)
    }

    async fn ask_at(&self, at: Where, question: &Question) -> Result<Outcomes, Problem> {
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
        match outcomes.nodes.iter().all(|node| !node.ok) {
            true => Err(Problem::conflict(outcomes.errors())),
            false => Ok(outcomes),
        }
    }
}
