//! What is gone of a topic.

use super::Position;
use crate::id::NodeId;

/// Up to where messages of a topic are gone.
#[derive(Clone, Debug, Default)]
pub(super) struct Gone {
    /// What was dropped though somebody may have lacked it lies below this.
    pub(super) lost: Position,
    /// What was dropped because everybody had it, as far as this node knew, lies below this.
    pub(super) settled: Position,
}

impl Gone {
    /// Whether nothing is gone.
    pub(super) fn is_nothing(&self) -> bool {
        self.lost == Position::new() && self.settled == Position::new()
    }

    /// Forgets an origin that no message is left of.
    pub(super) fn forget(&mut self, origin: NodeId) {
        self.lost.forget(origin);
        self.settled.forget(origin);
    }
}
