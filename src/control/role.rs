//! What somebody may do.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What somebody may do: each role may what those before it may.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Role {
    /// See everything: also what messages say, and the ids of sessions. Whoever knows the id of a session
    /// that is bound to nobody, neither by [authentication](crate::Builder::authenticate) nor by a
    /// [cookie](crate::Builder::browser_cookies), can take it over as a client.
    Read,
    /// Steer what users notice: messages, topics and sessions.
    Operate,
    /// Steer the nodes: limits, filters, handlers, draining.
    Admin,
}
