//! A watch of the cluster.

use tokio::sync::watch;

use crate::proto::Roster;

/// The nodes of the cluster, now and whenever that changes.
#[derive(Clone, Debug)]
pub struct Members(watch::Receiver<Roster>);

impl Members {
    pub(crate) fn new(roster: watch::Receiver<Roster>) -> Self {
        Self(roster)
    }

    /// The live nodes, this one among them.
    pub fn current(&self) -> Roster {
        self.0.borrow().clone()
    }

    /// Waits until the nodes are others than when this was last asked, and says which; `None` once
    /// the node has been shut down.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future misses no change.
    pub async fn changed(&mut self) -> Option<Roster> {
        self.0.changed().await.ok()?;
        Some(self.0.borrow_and_update().clone())
    }
}
