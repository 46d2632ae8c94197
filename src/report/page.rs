//! A part of a list.

use serde::{Deserialize, Serialize};

/// A part of a list, and where it goes on.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "control", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct Page<T> {
    /// The part.
    pub items: Vec<T>,
    /// What to ask for as `after` to get the next part; none if this was the last.
    pub next: Option<String>,
    /// How long the whole list is, if that is known.
    pub total: Option<usize>,
    /// The ids of the nodes that were asked for some of it and did not answer within a second: what only
    /// they know is missing.
    pub unanswered: Vec<String>,
}
