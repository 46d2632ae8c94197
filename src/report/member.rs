//! A node among others.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A node, as it stands among the others.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "control", derive(utoipa::ToSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct MemberReport {
    /// Its id, which is new at each start.
    pub id: String,
    /// Where its peers reach it.
    pub address: String,
    /// How it stands: `active`, `draining`, or `joining`.
    pub state: String,
    /// Whether it is the one that was asked.
    #[serde(rename = "self")]
    pub this: bool,
    /// Whether it answered in time. If not, what follows is what the others know, and zero.
    pub answered: bool,
    /// What it is for, in the application's words.
    pub role: Option<String>,
    /// What else the application says of it.
    pub tags: BTreeMap<String, String>,
    /// Where clients reach it.
    pub url: Option<String>,
    /// The version of this library.
    pub version: String,
    /// Since when it runs.
    pub uptime_ms: u64,
    /// How many sessions are attached to it.
    pub sessions: usize,
    /// How many clients are connected to it, by transport.
    pub connections: BTreeMap<String, u64>,
    /// What it has counted since it was started.
    pub totals: TotalsReport,
}

/// What a node has counted since it was started. Zero where its statistics are switched off.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "control", derive(utoipa::ToSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct TotalsReport {
    /// Messages of its clients.
    pub received: u64,
    /// Messages that were handed to its clients' connections.
    pub delivered: u64,
    /// Those of them that clients have confirmed.
    pub acknowledged: u64,
    /// Messages that were published on it.
    pub published: u64,
}
