//! What happens.

use serde::{Deserialize, Serialize};

/// Something that happened, as it is told to those who follow what happens.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "control", derive(utoipa::ToSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct EventReport {
    /// What: `node.joined`, `session.closed`, `audit`, and so on.
    #[serde(rename = "type")]
    pub kind: String,
    /// When this node heard of it.
    pub at_ms: u64,
    /// The id of the node that it concerns.
    pub node: String,
    /// What it is about: a session, a topic, a message.
    pub subject: String,
    /// What there is to say, for people.
    pub detail: String,
}
