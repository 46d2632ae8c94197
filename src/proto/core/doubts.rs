//! What a dead node said that rests on what is lost.
//!
//! A handler that is told of a push again does not publish again what it published on a node that has
//! died: its new node says that it [follows](Op::Follows) that, and then that the handler has
//! [returned](Op::Handled). Where what was followed had to be given up, it is gone, and so would the
//! push be. So behind what was given up it does not count that a handler has returned: the push stays
//! open, and the handler is told again, by whoever owns the session then. Clients remove by its cause
//! what it publishes twice.
//!
//! What is followed may still come, from who was out of sight. Then all counts that was said behind
//! it. So it does if who said it turns out to be there, and without what it follows: a node passes on
//! what another had told it to wait for, and what it never had, its handlers did not rely on.

use std::{collections::BTreeMap, time::Instant};

use super::Core;
use crate::{
    id::{MessageId, NodeId},
    proto::{Op, Position},
};

/// How often of one node it does not count that a handler has returned. At the limit it counts.
const MAX_DOUBTED: usize = 4_096;

/// What is not believed of one node.
#[derive(Debug, Default)]
struct Doubt {
    /// What it said to follow, and was given up.
    missing: Position,
    /// What it said since of handlers.
    handled: Vec<(MessageId, Op)>,
}

/// Of each node what is not believed.
#[derive(Debug, Default)]
pub(super) struct Doubts(BTreeMap<NodeId, Doubt>);

impl Core {
    /// The operations that were applied and do not count for now.
    pub fn doubted(&self) -> impl Iterator<Item = MessageId> {
        self.doubts.0.values().flat_map(|doubt| doubt.handled.iter().map(|&(id, _)| id))
    }

    /// What there is to be applied of an operation, which is the next of its origin.
    pub(super) fn believe(&mut self, id: MessageId, op: Op) -> Op {
        if let Op::Follows { after } = op {
            let mut followed = Position::new();
            followed.advance(after.origin, after.seq.next());
            if !self.replica.knows(&followed) {
                self.doubts.0.entry(id.origin).or_default().missing.merge(&followed);
            }
        }
        match (op, self.doubts.0.get_mut(&id.origin)) {
            (op @ Op::Handled { .. }, Some(doubt)) if doubt.handled.len() < MAX_DOUBTED => {
                doubt.handled.push((id, op));
                Op::Unknown
            }
            (op, _) => op,
        }
    }

    /// Believes what rests on what has come after all, or on what will never come and has been
    /// forgotten since: who looks after the sessions has told the handlers again by then.
    pub(super) fn check_doubts(&mut self, now: Instant) {
        let is_settled = |doubt: &Doubt| self.replica.knows(&doubt.missing);
        let settled: Vec<_> = self.doubts.0.iter().filter(|(_, doubt)| is_settled(doubt)).collect();
        let settled: Vec<_> = settled.into_iter().map(|(&node, _)| node).collect();
        settled.into_iter().for_each(|node| self.end_doubt(node, now));
    }

    /// Believes who is there, and does not have itself what it said to follow.
    pub(super) fn trust_the_living(&mut self, now: Instant) {
        let lacks = |(node, doubt): &(&NodeId, &Doubt)| {
            let peer = self.peers.get(node).filter(|peer| peer.linked && self.live.contains(node));
            let mut missing = doubt.missing.iter();
            peer.is_some_and(|peer| missing.all(|(origin, next)| peer.have.get(origin) < next))
        };
        let trusted: Vec<_> = self.doubts.0.iter().filter(lacks).map(|(&node, _)| node).collect();
        trusted.into_iter().for_each(|node| self.end_doubt(node, now));
    }

    fn end_doubt(&mut self, node: NodeId, now: Instant) {
        for (id, op) in self.doubts.0.remove(&node).into_iter().flat_map(|doubt| doubt.handled) {
            self.replica.apply_late(id, op, now);
        }
    }
}
