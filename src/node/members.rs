//! A watch of the cluster.

use tokio::sync::watch;

use crate::proto::Roster;

/// The nodes of the cluster, now and whenever that changes.
#[derive(Clone, Debug)]
pub struct Members(watch::Receiver<Roster>);

impl Members {
    pub(crate) fn new(mut roster: watch::Receiver<Roster>) -> Self {
        roster.mark_unchanged();
        Self(roster)
    }

    /// The live nodes, this one among them.
    pub fn current(&self) -> Roster {
        self.0.borrow().clone()
    }

    /// Waits until the nodes are others than this said last, or than when
    /// [`Node::members`](crate::Node::members) gave this out, and says which; `None` once the node
    /// has been shut down.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future misses no change.
    pub async fn changed(&mut self) -> Option<Roster> {
        self.0.changed().await.ok()?;
        Some(self.0.borrow_and_update().clone())
    }
}
