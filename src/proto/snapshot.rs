//! Snapshots: all that a node knows, for who is too far behind the tails of the journals.
//!
//! A snapshot holds every session (whoever owns it: what is not in it is over), those that were
//! closed of late, the messages that are still kept and that its receiver lacks, of every origin,
//! what topics have lost, what was taken back, and which topics are closed. It replaces the operations of all journals before its `view`; the
//! journals continue from there. It is all of this or nothing: a node that knew of sessions what it
//! lacks in messages would know something that no journal could tell anybody else.

use std::collections::BTreeMap;

use super::{
    Inbox, Position, Replica, SessionState,
    peer::Arriving,
    wire::{Encoded, SnapshotPart},
};

/// A snapshot for who has `have`, as frames in an order in which they may be applied. `number` is
/// larger than that of any snapshot that this node made before.
pub(super) fn frames_of(replica: &Replica, number: u64, have: &Position) -> Vec<Encoded> {
    let mut frames = Vec::new();
    let mut push = |part: SnapshotPart| {
        let index = u32::try_from(frames.len()).expect("a snapshot has fewer than 2^32 parts");
        frames.push(Encoded::snapshot(number, index, &part));
    };
    for session in replica.sessions() {
        let state = replica.state_of(session.id).expect("it was just listed");
        push_session(state, replica.inbox(session.id).expect("it was just listed"), &mut push);
    }
    for (session, closed) in replica.closed_since(have) {
        push(SnapshotPart::Closed { session, closed });
    }
    for (_, topic) in replica.topics().iter() {
        let lost = topic.log.lost();
        if *lost != Position::new() {
            push(SnapshotPart::Lost { topic: topic.name.clone(), before: lost.clone() });
        }
        for entry in topic.log.iter().filter(|entry| !have.covers(entry.id())) {
            push(SnapshotPart::Message { topic: topic.name.clone(), entry: entry.clone() });
        }
    }
    for (topic, lost) in replica.topics().forgotten_lost() {
        push(SnapshotPart::Lost { topic: topic.clone(), before: lost.clone() });
    }
    for (topic, id, from) in replica.withdrawn() {
        push(SnapshotPart::Withdrawn { topic: topic.clone(), id, from: from.clone() });
    }
    for (topic, closure) in replica.closures().iter() {
        push(SnapshotPart::Closure { topic: topic.clone(), closure });
    }
    push(SnapshotPart::End { view: replica.known().clone() });
    frames
}

fn push_session(state: SessionState, inbox: &Inbox, mut push: impl FnMut(SnapshotPart)) {
    let (session, memory) = (state.session.id, inbox.memory());
    push(SnapshotPart::Session(state));
    if !memory.is_empty() {
        push(SnapshotPart::Inbox { session, memory });
    }
    for open in inbox.open() {
        push(SnapshotPart::Push { session, push: open.clone() });
    }
}

impl Arriving {
    pub(super) fn new(number: u64) -> Self {
        Self { number, parts: BTreeMap::new(), end: None, bytes: 0 }
    }

    /// Takes a part. Says whether all are there now.
    pub(super) fn take(&mut self, index: u32, part: SnapshotPart, limit_bytes: usize) -> bool {
        if let SnapshotPart::End { view } = &part {
            self.end = Some((index, view.clone()));
        }
        self.bytes += part.cost();
        if self.bytes <= limit_bytes {
            self.parts.insert(index, part);
        }
        self.end.as_ref().is_some_and(|(end, _)| self.parts.len() as u64 == u64::from(*end) + 1)
    }

    /// What the sender knew, and the parts in their order.
    pub(super) fn into_parts(self) -> (Position, Vec<SnapshotPart>) {
        let view = self.end.map_or_else(Position::new, |(_, view)| view);
        (view, self.parts.into_values().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        id::{MessageId, NodeId, Seq, SessionId, TopicName},
        proto::Recipients,
    };

    #[test]
    fn a_part_is_counted_with_all_whom_it_names() {
        let withdrawn = |named: u128| SnapshotPart::Withdrawn {
            topic: TopicName::parse("/a").unwrap(),
            id: MessageId::new(NodeId::from_bits(1), Seq::FIRST),
            from: Recipients::only((0..named).map(SessionId::from_bits)),
        };
        let lost = |origins: u64| SnapshotPart::Lost {
            topic: TopicName::parse("/a").unwrap(),
            before: (1..=origins).map(|it| (NodeId::from_bits(it), Seq::new(9))).collect(),
        };
        let takes = |part, limit| {
            let mut arriving = Arriving::new(1);
            arriving.take(0, part, limit);
            arriving.parts.len() == 1
        };
        assert!(takes(withdrawn(1), 1_000) && takes(lost(1), 1_000));
        assert!(!takes(withdrawn(100), 1_000) && !takes(lost(100), 1_000));
        assert!(takes(withdrawn(100), 4_000) && takes(lost(100), 4_000));
    }
}
