//! What became of a message.

use serde::{Deserialize, Serialize};

/// What became of a message, in the whole cluster.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "control", derive(utoipa::ToSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct MessageDetails {
    /// Its id.
    pub id: String,
    /// The id of the node that it was published on.
    pub origin: String,
    /// Where it was published, if anybody knows.
    pub topic: Option<String>,
    /// The ids of the nodes that keep it.
    pub kept_on: Vec<String>,
    /// How many sessions it is for, of those that are in the topic now, if a node keeps it.
    pub sessions: usize,
    /// How many of them are past it: they have it, or joined behind it.
    pub acknowledged: usize,
    /// The ids of those that have not: the first 64.
    pub waiting: Vec<String>,
    /// What became of it on each node that answered.
    pub nodes: Vec<FateReport>,
    /// The ids of the nodes that did not answer.
    pub unanswered: Vec<String>,
}

/// What became of a message on a node.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "control", derive(utoipa::ToSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct FateReport {
    /// The node's id.
    pub node: String,
    /// Whether it keeps the message: `kept`, `acknowledged`, `expired`, `dropped`, `unheard`, or
    /// `forgotten`.
    pub fate: String,
    /// At which limit it was dropped, if it was.
    pub cause: Option<String>,
    /// Where it was published.
    pub topic: Option<String>,
    /// How many sessions it is for, of those that are in the topic now, if it is kept.
    pub sessions: usize,
    /// How many of them are past it, as far as this node has heard: they have it, or joined behind it.
    pub acknowledged: usize,
    /// The ids of those that have not: the first 64.
    pub waiting: Vec<String>,
}
