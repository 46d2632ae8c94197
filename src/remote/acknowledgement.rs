//! What a node says of a push that it has stored.

use crate::proto::Level;

/// A push is stored: it is the cluster's now, and need not be sent again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Acknowledgement {
    /// How well it is stored. It may be less than the cluster was asked for, where too few nodes
    /// are reachable.
    pub level: Level,
    /// How many nodes have it, the one that says so among them.
    pub nodes: usize,
}
