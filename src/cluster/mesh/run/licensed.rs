//! How the mesh keeps to the licences.

use std::{collections::BTreeMap, net::SocketAddr};

use quinn::Connection;
use tracing::warn;

use super::Run;
use crate::{
    cluster::{membership::Membership, warden::Warden},
    id::NodeId,
    proto::{Departure, licensing::Papers},
    runtime::clock,
};

/// The code that the connections of a node are closed with that is one too many.
const ONE_TOO_MANY: u32 = 0x25;

/// What the mesh of a node that is under a limit knows of the others that are.
#[derive(Debug)]
pub(super) struct Licensed {
    warden: Warden,
    /// What is heard now.
    heard: BTreeMap<NodeId, Papers>,
    /// What those have told that are there, though nothing may be heard of them for a moment.
    told: BTreeMap<NodeId, Papers>,
    /// Where those are, or were, that matter.
    addrs: BTreeMap<NodeId, SocketAddr>,
    /// Those that there are no links to, and where they were.
    refused: BTreeMap<NodeId, Option<SocketAddr>>,
    /// What this node has told.
    presented: Option<Papers>,
}

impl Licensed {
    pub(super) fn new(warden: Warden) -> Self {
        Self {
            warden,
            heard: BTreeMap::new(),
            told: BTreeMap::new(),
            addrs: BTreeMap::new(),
            refused: BTreeMap::new(),
            presented: None,
        }
    }

    /// Members tell other things than before.
    pub(super) fn handle_news(&mut self, heard: BTreeMap<NodeId, Papers>) {
        self.heard = heard;
    }

    pub(super) fn refuses(&self, node: NodeId) -> bool {
        self.refused.contains_key(&node)
    }

    pub(super) fn refuses_at(&self, addr: SocketAddr) -> bool {
        self.refused.values().any(|&at| at == Some(addr))
    }

    /// These nodes are there; of the others, `has_left` says whether they are gone for certain. Returns
    /// those that are refused from now on.
    fn look(
        &mut self,
        there: &BTreeMap<NodeId, SocketAddr>,
        has_left: impl Fn(NodeId) -> bool,
    ) -> Vec<NodeId> {
        let (now, calendar) = (clock::now(), clock::calendar());
        self.told.extend(self.heard.iter().map(|(&node, papers)| (node, papers.clone())));
        self.told.retain(|node, _| there.contains_key(node));
        let told = &self.told;
        self.addrs.extend(there.iter().filter(|(node, _)| told.contains_key(node)));
        let addrs = &self.addrs;
        // Who is gone, and another where it was, does not come back.
        let is_replaced = |node: NodeId| {
            let at = addrs.get(&node);
            there.iter().any(|(&other, addr)| other != node && Some(addr) == at)
        };
        let is_gone = |node| has_left(node) || is_replaced(node);
        self.warden.handle_members(told, is_gone, now, calendar);
        let refused = self.warden.refused(now).into_iter();
        let refused = refused.map(|node| (node, self.addrs.get(&node).copied())).collect();
        let before = std::mem::replace(&mut self.refused, refused);
        let warden = &self.warden;
        self.addrs.retain(|&node, _| there.contains_key(&node) || warden.knows(node));
        self.refused.keys().filter(|node| !before.contains_key(node)).copied().collect()
    }

    /// What to tell the others, if it is news.
    fn present(&mut self) -> Option<Papers> {
        let papers = self.warden.papers(clock::calendar());
        let is_news = self.presented.as_ref() != Some(&papers);
        is_news.then(|| self.presented.insert(papers).clone())
    }
}

impl Run {
    /// Looks at who is there, and at the clock. To be called several times a second.
    pub(super) async fn handle_licenses(&mut self) {
        let Some(licensed) = &mut self.licensed else { return };
        let mut there: BTreeMap<_, _> = self.peers.iter().collect();
        there.extend(&self.live);
        let departed = &self.departed;
        there.retain(|node, _| !departed.contains_key(node));
        let refused = licensed.look(&there, |node| departed.contains_key(&node));
        let news = licensed.present();
        for node in refused {
            self.refuse(node);
        }
        if let Some(papers) = news {
            self.shared.gossip.present(&papers).await;
        }
    }

    /// Whether there are to be no links to this node, which says hello.
    pub(super) fn turns_away(&self, node: NodeId, connection: &Connection) -> bool {
        let is_refused = self.licensed.as_ref().is_some_and(|licensed| licensed.refuses(node));
        if is_refused {
            connection.close(ONE_TOO_MANY.into(), b"one node too many");
        }
        is_refused
    }

    fn refuse(&mut self, node: NodeId) {
        warn!(peer = %node.short(), "a node is one too many, and does not give way; its links are closed");
        let connections = self.peers.active(node).into_iter().chain(self.peers.spare(node));
        for established in connections {
            established.connection.close(ONE_TOO_MANY.into(), b"one node too many");
        }
        self.depart(node, Departure::Died);
    }
}
