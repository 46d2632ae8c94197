//! What is to be changed on nodes.

use serde::{Deserialize, Serialize};

/// Limits to be changed; those that are not named stay as they are.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "control", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct LimitsPatch {
    /// The most messages of a topic, at least one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic_messages: Option<usize>,
    /// The most bytes of a topic, at least one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic_bytes: Option<usize>,
    /// How long a message is kept that a session has not fetched, from a second to a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread_for_ms: Option<u64>,
    /// The most bytes of all topics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_bytes: Option<usize>,
    /// How long a session is kept once its client is gone, from a second to a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_kept_ms: Option<u64>,
    /// The most sessions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions: Option<usize>,
    /// The most topics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topics: Option<usize>,
    /// The most clients that are connected to a node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<usize>,
    /// The most plain long polls that wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parked_polls: Option<usize>,
    /// The most bytes of bodies that are being posted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub posted_bytes: Option<usize>,
}
