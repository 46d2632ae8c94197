//! What somebody may do.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What somebody may do: each role may what those before it may.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Role {
    /// See everything.
    Read,
    /// Steer what users notice: messages, topics and sessions.
    Operate,
    /// Steer the nodes: limits, filters, handlers, draining.
    Admin,
}
