//! What everything is given that looks for peers, of whatever kind.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use tokio::sync::{mpsc, watch};

use super::{Sighting, network::Network, warnings::Warnings};
use crate::{id::NodeId, runtime::Tasks};

/// Tells where there may be peers, and knows which there are. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Scout {
    pub(super) sightings: mpsc::Sender<Sighting>,
    /// The live members, this node among them.
    pub(super) members: watch::Receiver<BTreeMap<NodeId, SocketAddr>>,
    pub(super) warnings: Arc<Warnings>,
    pub(super) tasks: Tasks,
    /// What is looked on, instead of the system's.
    pub(super) network: Option<Arc<dyn Network>>,
}

impl Scout {
    /// There may be a peer at `addr`. If there is no room for the news, it is told again later.
    pub(super) fn tell(&self, node: Option<NodeId>, addr: SocketAddr) {
        let _ = self.sightings.try_send(Sighting { node, addr });
    }
}

#[cfg(test)]
impl Scout {
    /// A scout that tells to what is returned, and knows of nobody.
    pub(super) fn for_tests()
    -> (Self, mpsc::Receiver<Sighting>, watch::Sender<BTreeMap<NodeId, SocketAddr>>) {
        let (sightings, heard) = mpsc::channel(64);
        let members = watch::Sender::default();
        let (warnings, tasks) = (Arc::default(), Tasks::default());
        let members_seen = members.subscribe();
        let scout = Self { sightings, members: members_seen, warnings, tasks, network: None };
        (scout, heard, members)
    }
}
