//! A topic.

use serde::{Deserialize, Serialize};

use super::AccountingReport;

/// A topic, as one node knows it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "control", derive(utoipa::ToSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct TopicReport {
    /// Its name.
    pub name: String,
    /// How many sessions read it, on all nodes.
    pub sessions: usize,
    /// How many messages are kept.
    pub messages: usize,
    /// What they cost, in bytes.
    pub bytes: usize,
    /// Whether it is closed: nobody publishes to it or joins it until it is opened.
    pub closed: bool,
    /// What became of all that the node stored of it.
    pub accounting: AccountingReport,
}

/// A session that reads a topic.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "control", derive(utoipa::ToSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct ReaderReport {
    /// The session's id.
    pub session: String,
    /// The id of the node that it is, or was, connected to.
    pub node: String,
    /// Whether it is connected: `attached`, or `detached`.
    pub state: String,
    /// What it has, as a position token.
    pub position: String,
    /// How many of the newest 128 messages it is still to get.
    pub pending: usize,
}
