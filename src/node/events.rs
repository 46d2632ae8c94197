//! What happens on a node.

use tokio::sync::broadcast;
#[cfg(feature = "control")]
use tokio::sync::watch;

use super::Node;
#[cfg(feature = "control")]
use crate::license::License;
use crate::proto::NodeEvent;

/// What happens on a node, and is heard of there, one thing after the other.
#[derive(Debug)]
pub struct NodeEvents(broadcast::Receiver<NodeEvent>);

impl NodeEvents {
    /// Waits for what happens next; `None` once the node has been shut down.
    ///
    /// What happens while nobody waits is kept, up to 4,096 events; who is later than that is told how
    /// many are [missed](NodeEvent::Missed).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future misses nothing.
    pub async fn next(&mut self) -> Option<NodeEvent> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(NodeEvent::Missed(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

impl Node {
    /// What happens from now on to sessions of the whole cluster, as this node hears of it, and to the
    /// topics and messages that it has. It costs nothing while nobody follows.
    pub fn events(&self) -> NodeEvents {
        NodeEvents(self.inner.hub.follow())
    }

    /// Which licence holds, whenever that changes.
    #[cfg(feature = "control")]
    pub(crate) fn licenses(&self) -> Licenses {
        let mut licenses = self.inner.mesh.licenses();
        licenses.as_mut().into_iter().for_each(watch::Receiver::mark_unchanged);
        Licenses(licenses)
    }
}

/// Which licence holds, whenever that changes.
#[cfg(feature = "control")]
pub(crate) struct Licenses(Option<watch::Receiver<Option<License>>>);

#[cfg(feature = "control")]
impl Licenses {
    /// Waits until another licence holds than this said last; `None` once the node has been shut down.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future misses no change.
    pub(crate) async fn next(&mut self) -> Option<Option<License>> {
        let Some(licenses) = &mut self.0 else { return std::future::pending().await };
        licenses.changed().await.ok()?;
        Some(licenses.borrow_and_update().clone())
    }
}
