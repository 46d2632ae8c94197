//! How a session's client is connected.

use serde::{Deserialize, Serialize};

/// How a session's client is connected, as the node knows that it is connected to.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "control", derive(utoipa::ToSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct ConnectionReport {
    /// By which transport.
    pub transport: String,
    /// By what it is known that the client has what it was sent.
    pub evidence: String,
    /// Since when.
    pub since_ms: Option<u64>,
    /// Where the client, or the proxy in front of it, is connected from.
    pub address: Option<String>,
    /// What program the client says to be.
    pub user_agent: Option<String>,
}

/// What a session's client asked with that is connected, but for credentials.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "control", derive(utoipa::ToSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct RequestReport {
    /// What stood behind the `?` of its URL.
    pub query: String,
    /// Names and values of its headers.
    pub headers: Vec<(String, String)>,
}
