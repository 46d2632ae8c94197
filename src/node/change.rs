//! What can be changed on each node for itself, by whichever node is told.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Limits, Node};
use crate::report::LimitsPatch;

/// Something to be changed on a node, for itself.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Change {
    /// A filter is removed.
    RemoveFilter(String),
    /// The filters are put into this order.
    OrderFilters(Vec<String>),
    /// Limits are changed.
    Limits(LimitsPatch),
    /// Clients that come from now on are sent heartbeats so often, in milliseconds.
    Heartbeat(u64),
    /// A route is given another handler.
    Swap {
        /// Which route.
        template: String,
        /// Which handler.
        handler: String,
    },
}

impl Node {
    /// Changes something on this node.
    pub(super) fn make(&self, change: Change) -> Result<(), String> {
        match change {
            Change::RemoveFilter(name) => self.remove_filter(&name).map_err(text),
            Change::OrderFilters(names) => {
                let names: Vec<_> = names.iter().map(String::as_str).collect();
                self.order_filters(&names).map_err(text)
            }
            Change::Limits(patch) => {
                self.change_limits(|before| patched(before, &patch)).map_err(text)
            }
            Change::Heartbeat(millis) => {
                let heartbeat = Duration::from_millis(millis);
                self.change_limits(|before| Limits { heartbeat, ..before }).map_err(text)
            }
            Change::Swap { template, handler } => self.swap(&template, &handler).map_err(text),
        }
    }
}

fn text(err: impl ToString) -> String {
    err.to_string()
}

/// Limits of which some are others.
fn patched(before: Limits, patch: &LimitsPatch) -> Limits {
    let time = |millis: Option<u64>, before| millis.map_or(before, Duration::from_millis);
    Limits {
        connections: patch.connections.unwrap_or(before.connections),
        logs_bytes: patch.node_bytes.unwrap_or(before.logs_bytes),
        parked_polls: patch.parked_polls.unwrap_or(before.parked_polls),
        posted_bytes: patch.posted_bytes.unwrap_or(before.posted_bytes),
        session_kept: time(patch.session_kept_ms, before.session_kept),
        sessions: patch.sessions.unwrap_or(before.sessions),
        topic_bytes: patch.topic_bytes.unwrap_or(before.topic_bytes),
        topic_messages: patch.topic_messages.unwrap_or(before.topic_messages),
        topics: patch.topics.unwrap_or(before.topics),
        unread_for: time(patch.unread_for_ms, before.unread_for),
        heartbeat: before.heartbeat,
    }
}
