//! A session.

use serde::{Deserialize, Serialize};

use super::{ConnectionReport, RequestReport};

/// A session, as every node knows it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "control", derive(utoipa::ToSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct SessionReport {
    /// Its id.
    pub id: String,
    /// The path its client asked for.
    pub path: String,
    /// The id of the node that it is, or was, connected to.
    pub node: String,
    /// Whether it is connected: `attached`, or `detached`.
    pub state: String,
    /// Why it is not connected, if it is not.
    pub detached: Option<String>,
    /// How it is connected, if it is and the node that it is connected to has said so.
    pub connection: Option<ConnectionReport>,
    /// Whose it is, if the application knows.
    pub principal: Option<String>,
    /// How many topics it reads.
    pub topics: usize,
    /// How many messages it is still to get, of the newest 128 of each topic.
    pub pending: usize,
}

/// All that is known of a session.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "control", derive(utoipa::ToSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct SessionDetails {
    /// The session.
    pub session: SessionReport,
    /// How often it was connected.
    pub epoch: u64,
    /// Whether its handler has had its first word.
    pub ready: bool,
    /// The topics that it reads.
    pub memberships: Vec<MembershipReport>,
    /// How many of its client's messages the handler has not been told of to the end.
    pub open_pushes: usize,
    /// What its client asked with, if it is connected and its node has said so.
    pub request: Option<RequestReport>,
    /// Whether operators of the node that was asked follow it step by step.
    pub tracked: bool,
}

/// That a session reads a topic.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "control", derive(utoipa::ToSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct MembershipReport {
    /// The topic.
    pub topic: String,
    /// What its client has, as a position token.
    pub position: String,
    /// How many of the newest 1,024 messages it is still to get.
    pub pending: usize,
    /// Whether it has left, and is only to get what was published before.
    pub left: bool,
}

/// Which sessions are asked for: those of whom all of this is so.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "control", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "control", into_params(parameter_in = Query))]
#[serde(default)]
#[non_exhaustive]
pub struct SessionFilter {
    /// They read this topic.
    pub topic: Option<String>,
    /// Their clients asked for this path.
    pub path: Option<String>,
    /// They belong to the node with this id.
    pub node: Option<String>,
    /// They are `attached`, or `detached`.
    pub state: Option<String>,
    /// They are connected by this transport: `websocket`, `event_stream`, `streaming`, `long_polling`,
    /// `jsonp`, or `grpc`.
    pub transport: Option<String>,
    /// Their clients are of this user, as the application has told who they are.
    pub principal: Option<String>,
    /// Their ids begin with this.
    pub prefix: Option<String>,
}
