//! What a node has counted.

use serde::{Deserialize, Serialize};

use crate::proto::Detachment;

/// What a node has counted since it was started.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "control", derive(utoipa::ToSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct StatisticsReport {
    /// The connections of clients, by transport.
    pub connections: Vec<ConnectionCount>,
    /// Connections of sessions that ended well: the client left, or was sent to another node.
    pub disconnects_clean: u64,
    /// Connections of sessions that ended otherwise.
    pub disconnects_dirty: u64,
    /// Connections of sessions that ended, by why.
    pub disconnects: Vec<ReasonCount>,
    /// Clients that connected, by what they say they are.
    pub browsers: Vec<BrowserCount>,
    /// Requests of clients.
    pub requests: u64,
    /// Messages of clients that handlers were told of.
    pub received: u64,
    /// Messages that a filter did not let be published.
    pub refused: u64,
    /// Messages that were handed to connections of clients.
    pub delivered: u64,
    /// Those of them that clients have confirmed.
    pub acknowledged: u64,
    /// How often a client was told of a gap.
    pub gaps: u64,
    /// How often a client that was connected did not read as fast as was published, and was told of a gap
    /// or closed.
    pub slow: u64,
    /// Sessions that began on this node.
    pub sessions_begun: u64,
    /// Sessions that are over and whose handler was this node's to tell, by what ended them.
    pub sessions_closed: Vec<ReasonCount>,
    /// Polls that wait now.
    pub parked_polls: u64,
    /// From when the node had a message until it was handed to a connection. A sample.
    pub delivery: TimesReport,
    /// From when a message was published on the node until all had it. A sample.
    pub settled: TimesReport,
    /// How long handlers took for what they were told.
    pub handler: TimesReport,
}

/// The connections of clients by one transport.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "control", derive(utoipa::ToSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct ConnectionCount {
    /// Which transport: `websocket`, `event_stream`, `streaming`, `long_polling`, `jsonp`, `grpc`, or
    /// `websocket_bare`.
    pub transport: String,
    /// How many are open.
    pub open: u64,
    /// How many there were.
    pub total: u64,
}

/// How many clients were of one kind.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "control", derive(utoipa::ToSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct BrowserCount {
    /// Which: `chrome`, `edge`, `firefox`, `opera`, `safari`, `other`, or `unnamed`.
    pub browser: String,
    /// How many connected.
    pub total: u64,
}

/// How many ended for one reason.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "control", derive(utoipa::ToSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct ReasonCount {
    /// Which.
    pub reason: String,
    /// How many.
    pub total: u64,
}

/// How long something took, how often.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "control", derive(utoipa::ToSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct TimesReport {
    /// How often it was measured.
    pub count: u64,
    /// How long it took in the mean.
    pub mean_ms: Option<f64>,
    /// What half did not exceed: the upper bound of a bucket.
    pub p50_ms: Option<f64>,
    /// What 99 of 100 did not exceed: the upper bound of a bucket.
    pub p99_ms: Option<f64>,
}

/// Why a connection ended, as one word.
pub(crate) fn detachment_name(why: Detachment) -> &'static str {
    match why {
        Detachment::Left => "left",
        Detachment::Lost => "lost",
        Detachment::NodeDied => "node_died",
        Detachment::NodeLeft => "node_left",
        Detachment::Resumed => "resumed",
        Detachment::Slow => "slow",
        Detachment::Violation => "violation",
        Detachment::Other => "other",
    }
}
