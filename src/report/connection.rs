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
}
