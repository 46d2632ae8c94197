//! Which topics are closed, by whose word: of two decisions about a topic the later one holds, on
//! every node, in whatever order they are heard of.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{MessageId, TopicName};

/// What was decided last about whether a topic is closed. The later one is the greater.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[non_exhaustive]
pub struct Closure {
    /// How many decisions about the topic came before, as far as who made this one knew.
    pub turn: u64,
    /// The operation that says so.
    pub by: MessageId,
    /// Whether the topic is closed.
    pub is_closed: bool,
}

impl Closure {
    /// What the operation `by` decides.
    pub const fn new(turn: u64, by: MessageId, is_closed: bool) -> Self {
        Self { turn, by, is_closed }
    }
}

/// What was decided of all topics that were ever closed.
#[derive(Debug, Default)]
pub struct Closures(BTreeMap<TopicName, Closure>);

impl Closures {
    /// How many topics are remembered that are closed or were. Beyond that none can be closed unless
    /// one that is open again can be forgotten, the one of the lowest turn first.
    pub const MAX: usize = 1_024;

    /// Learns of a decision. Whether it holds and is news.
    pub(super) fn merge(&mut self, topic: &TopicName, closure: Closure) -> bool {
        if self.get(topic).is_some_and(|here| here >= closure) {
            return false;
        }
        self.0.insert(topic.clone(), closure);
        if self.0.len() > Self::MAX {
            // One that is open is as one that never was closed; nobody closes one too many who knows.
            let least = self.0.iter().min_by_key(|(_, it)| (it.is_closed, **it));
            let least = least.map(|(name, _)| name.clone()).expect("there are too many");
            self.0.remove(&least);
        }
        true
    }

    /// Whether nobody may publish to a topic, or join it.
    pub fn are_closed(&self, topic: &TopicName) -> bool {
        self.get(topic).is_some_and(|closure| closure.is_closed)
    }

    /// Whether one more topic can be closed.
    pub fn have_room(&self) -> bool {
        self.0.len() < Self::MAX || self.0.values().any(|closure| !closure.is_closed)
    }

    /// What was decided last of a topic, if anything was.
    pub fn get(&self, topic: &TopicName) -> Option<Closure> {
        self.0.get(topic).copied()
    }

    /// What was decided last of each topic, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&TopicName, Closure)> {
        self.0.iter().map(|(topic, &closure)| (topic, closure))
    }

    /// The topics that are closed, by name.
    pub fn closed(&self) -> impl Iterator<Item = &TopicName> {
        self.0.iter().filter(|(_, closure)| closure.is_closed).map(|(topic, _)| topic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{NodeId, Seq};

    fn closure(turn: u64, node: u64, is_closed: bool) -> Closure {
        Closure::new(turn, MessageId::new(NodeId::from_bits(node), Seq::FIRST), is_closed)
    }

    #[test]
    fn the_later_decision_holds_in_whatever_order_they_come() {
        let topic = TopicName::parse("/a").unwrap();
        let decided = [closure(0, 1, true), closure(0, 2, false), closure(1, 1, true)];
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut closures = Closures::default();
            let news: Vec<_> =
                order.iter().map(|&at| closures.merge(&topic, decided[at])).collect();
            assert_eq!(closures.get(&topic), Some(decided[2]), "{order:?}");
            assert!(closures.are_closed(&topic) && news.contains(&true));
            assert!(!closures.merge(&topic, decided[1]), "it is no news");
        }
    }

    #[test]
    fn those_that_are_open_again_are_forgotten_first() {
        let name = |at: usize| TopicName::parse(&format!("/{at}")).unwrap();
        let mut closures = Closures::default();
        closures.merge(&name(0), closure(9, 1, false));
        for at in 1..Closures::MAX {
            closures.merge(&name(at), closure(0, 1, true));
        }
        assert!(closures.have_room());
        closures.merge(&name(Closures::MAX), closure(0, 1, true));
        assert_eq!((closures.get(&name(0)), closures.closed().count()), (None, Closures::MAX));
        assert!(!closures.have_room());
        closures.merge(&name(Closures::MAX + 1), closure(0, 2, true));
        assert_eq!(closures.iter().count(), Closures::MAX);
    }
}
