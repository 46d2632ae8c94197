//! A watch of the cluster.

use tokio::sync::{broadcast, watch};

use crate::proto::{MemberEvent, Roster};

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

/// What happens to the nodes of the cluster, one after the other.
#[derive(Debug)]
pub struct MemberEvents(broadcast::Receiver<MemberEvent>);

impl MemberEvents {
    pub(crate) fn new(events: broadcast::Receiver<MemberEvent>) -> Self {
        Self(events)
    }

    /// Waits for what happens next; `None` once the node has been shut down.
    ///
    /// What happens while nobody waits is kept, up to 1,024 events; who is later than that is told how
    /// many are [missed](MemberEvent::Missed).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future misses nothing.
    pub async fn next(&mut self) -> Option<MemberEvent> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(MemberEvent::Missed(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
