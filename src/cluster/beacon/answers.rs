//! Answers to the queries of other nodes: each after a short pause, and not too many.
//!
//! The pause keeps all nodes of a cluster from answering in the same instant. Every queue here is
//! bounded; a query that finds it full is not answered, and its sender asks again.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::id::NodeId;

/// The answers that a node owes, and whom it answered lately.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// In the order in which they were asked for.
    owed: VecDeque<(Instant, SocketAddr)>,
    lately: BTreeMap<NodeId, Instant>,
}

impl Answers {
    /// The longest that an answer waits.
    pub(super) const LONGEST_PAUSE: Duration = Duration::from_millis(50);

    /// `node` asks from `from`. It is answered after `pause`, unless that was done just now.
    pub(super) fn handle_query(
        &mut self,
        node: NodeId,
        from: SocketAddr,
        pause: Duration,
        now: Instant,
    ) {
        self.lately.retain(|_, answered| now.duration_since(*answered) < AGAIN_AFTER);
        let full = self.owed.len() == MAX_OWED || self.lately.len() == MAX_LATELY;
        if full || self.lately.contains_key(&node) {
            return;
        }
        self.lately.insert(node, now);
        self.owed.push_back((now + pause.min(Self::LONGEST_PAUSE), from));
    }

    /// Whom to answer now.
    pub(super) fn poll_transmit(&mut self, now: Instant) -> Option<SocketAddr> {
        let at = self.owed.iter().position(|(due, _)| *due <= now)?;
        self.owed.remove(at).map(|(_, to)| to)
    }

    /// When the next answer is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.owed.iter().map(|(due, _)| *due).min()
    }
}

/// How many answers may be owed.
const MAX_OWED: usize = 64;

/// How many nodes are remembered to have been answered. Beyond, nobody new is answered for a while.
const MAX_LATELY: usize = 256;

/// How long after an answer the same node is not answered again.
const AGAIN_AFTER: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::clock;

    fn from(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    #[test]
    fn a_query_is_answered_once_after_its_pause() {
        let (mut answers, now) = (Answers::default(), clock::now());
        let pause = Duration::from_millis(20);
        answers.handle_query(NodeId::from_bits(1), from(1), pause, now);
        answers.handle_query(NodeId::from_bits(1), from(1), pause, now);
        assert_eq!(answers.poll_timeout(), Some(now + pause));
        assert_eq!(answers.poll_transmit(now), None);
        assert_eq!(answers.poll_transmit(now + pause), Some(from(1)));
        assert_eq!(answers.poll_transmit(now + pause), None);
        assert_eq!(answers.poll_timeout(), None);
    }

    #[test]
    fn the_same_node_is_answered_again_later() {
        let (mut answers, now) = (Answers::default(), clock::now());
        for ask in [now, now + AGAIN_AFTER] {
            answers.handle_query(NodeId::from_bits(1), from(1), Duration::ZERO, ask);
            assert_eq!(answers.poll_transmit(ask), Some(from(1)));
        }
    }

    #[test]
    fn the_shortest_pause_is_answered_first() {
        let (mut answers, now) = (Answers::default(), clock::now());
        answers.handle_query(NodeId::from_bits(1), from(1), Duration::from_secs(9), now);
        answers.handle_query(NodeId::from_bits(2), from(2), Duration::ZERO, now);
        assert_eq!(answers.poll_transmit(now), Some(from(2)));
        assert_eq!(answers.poll_timeout(), Some(now + Answers::LONGEST_PAUSE));
    }

    #[test]
    fn a_flood_of_queries_is_bounded() {
        let (mut answers, now) = (Answers::default(), clock::now());
        for node in 0..10_000 {
            answers.handle_query(NodeId::from_bits(node), from(1), Duration::ZERO, now);
            assert!(answers.owed.len() <= MAX_OWED && answers.lately.len() <= MAX_LATELY);
        }
        let mut answered = 0;
        while answers.poll_transmit(now).is_some() {
            answered += 1;
        }
        assert_eq!(answered, MAX_OWED);
        let later = now + AGAIN_AFTER;
        answers.handle_query(NodeId::from_bits(1), from(7), Duration::ZERO, later);
        assert_eq!(answers.poll_transmit(later), Some(from(7)));
    }
}
