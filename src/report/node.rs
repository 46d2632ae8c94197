//! One node.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{AccountingReport, LinkReport, MemberReport, StatisticsReport};

/// All that a node says of itself.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "control", derive(utoipa::ToSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct NodeReport {
    /// How it stands.
    pub member: MemberReport,
    /// The cluster's name.
    pub cluster: String,
    /// What it serves.
    pub server: ServerReport,
    /// What it answers for, in the order of the templates.
    pub routes: Vec<RouteReport>,
    /// The names of the handlers that routes can be given.
    pub handlers: Vec<String>,
    /// The filters that messages pass, in their order.
    pub filters: Vec<FilterReport>,
    /// Its limits.
    pub limits: LimitsReport,
    /// Its links.
    pub links: Vec<LinkReport>,
    /// Its journal.
    pub journal: JournalReport,
    /// How much it holds.
    pub usage: UsageReport,
    /// What it has counted since it was started; none while it does not count.
    pub statistics: Option<StatisticsReport>,
    /// What became of the messages that it published.
    pub published: AccountingReport,
    /// What became of all messages that it stored.
    pub stored: AccountingReport,
    /// How its store is; none if it has none.
    pub store: Option<String>,
    /// The licence that holds for it, if one does.
    pub license: Option<LicenseReport>,
    /// How nodes prove that they belong together.
    pub security: String,
    /// How WebSockets are served.
    pub websocket: WebSocketReport,
    /// Which log lines the application writes; none if operators cannot change that.
    pub log_filter: Option<String>,
}

/// What a node serves.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "control", derive(utoipa::ToSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct ServerReport {
    /// The library.
    pub name: String,
    /// Its version.
    pub version: String,
    /// By which transports clients may connect.
    pub transports: Vec<String>,
    /// The versions of the protocol between nodes that it speaks, the first and the last.
    pub protocol: (u16, u16),
}

/// Who answers for which paths.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "control", derive(utoipa::ToSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct RouteReport {
    /// The paths.
    pub template: String,
    /// What clients are to it: `sessions`, or bare `websockets`.
    pub kind: String,
    /// The name of the handler: the template, unless the route was given another. None for bare
    /// `websockets`.
    pub handler: Option<String>,
}

/// A filter that messages pass.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "control", derive(utoipa::ToSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct FilterReport {
    /// Its name.
    pub name: String,
    /// Which topics it is for.
    pub pattern: String,
    /// Whether it is asked about each delivery, too.
    pub deliveries: bool,
}

/// A node's limits.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "control", derive(utoipa::ToSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct LimitsReport {
    /// The most messages of a topic.
    pub topic_messages: usize,
    /// The most bytes of a topic.
    pub topic_bytes: usize,
    /// How long a message is kept that a session has not fetched.
    pub unread_for_ms: u64,
    /// The most bytes of all topics.
    pub node_bytes: usize,
    /// How long a session is kept once its client is gone.
    pub session_kept_ms: u64,
    /// The most sessions.
    pub sessions: usize,
    /// The most topics.
    pub topics: usize,
    /// How well a client's message is stored before it is acknowledged.
    pub durability: String,
    /// What becomes of a client that does not read fast enough.
    pub slow_consumers: String,
    /// The most clients that are connected to the node.
    pub connections: usize,
    /// The most plain long polls that wait.
    pub parked_polls: usize,
    /// The most bytes of bodies that are being posted.
    pub posted_bytes: usize,
    /// How often clients are sent heartbeats that connect from now on.
    pub heartbeat_ms: u64,
}

/// A node's journal, and what it has of others'.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "control", derive(utoipa::ToSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct JournalReport {
    /// The number of its next operation.
    pub next: u64,
    /// The first of its operations that is not on its disk; none if it has no disk that works.
    pub durable: Option<u64>,
    /// What it has of each node's journal, by id: the number of the first operation that it lacks.
    pub origins: BTreeMap<String, u64>,
}

/// How much a node holds.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "control", derive(utoipa::ToSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct UsageReport {
    /// Messages, in all topics.
    pub messages: usize,
    /// What they cost together, in bytes.
    pub log_bytes: usize,
    /// Topics, those of single sessions apart.
    pub topics: usize,
    /// Sessions, attached anywhere or not.
    pub sessions: usize,
    /// The most operations that are kept of any journal.
    pub tail_operations: usize,
}

/// A licence.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "control", derive(utoipa::ToSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct LicenseReport {
    /// Its id.
    pub id: String,
    /// Whom it is for.
    pub customer: String,
    /// How many nodes may be active.
    pub max_nodes: u32,
    /// When it begins, in seconds since the Unix epoch.
    pub not_before: u64,
    /// When it ends, in seconds since the Unix epoch, if it does.
    pub expires: Option<u64>,
    /// How many days it holds beyond that.
    pub grace_days: u16,
    /// What it allows beside.
    pub features: Vec<String>,
    /// The only cluster that it is for, if it is.
    pub cluster: Option<String>,
}

/// How WebSockets are served.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "control", derive(utoipa::ToSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct WebSocketReport {
    /// The longest message that a client may send, in bytes.
    pub max_message_bytes: usize,
    /// How often a client is asked whether it is there.
    pub heartbeat_ms: u64,
}
