//! Where to connect next, and how long to wait before.

use std::{num::NonZeroUsize, time::Duration};

use super::dice::Dice;

/// Goes round the nodes, and waits longer each time round.
#[derive(Debug)]
pub(super) struct Backoff {
    nodes: NonZeroUsize,
    /// Which node is next.
    next: usize,
    /// How many attempts have failed since one succeeded.
    failed: usize,
}

impl Backoff {
    /// How long is waited the first time round.
    pub(super) const SHORTEST: Duration = Duration::from_millis(50);

    /// How long is waited at most.
    pub(super) const LONGEST: Duration = Duration::from_secs(5);

    pub(super) const fn new(nodes: NonZeroUsize) -> Self {
        Self { nodes, next: 0, failed: 0 }
    }

    /// The attempt or the connection failed. Returns how long to wait before the next attempt.
    pub(super) fn handle_failure(&mut self, dice: &mut Dice) -> Duration {
        let rounds = u32::try_from(self.failed / self.nodes).unwrap_or(u32::MAX);
        self.failed = self.failed.saturating_add(1);
        self.next = (self.next + 1) % self.nodes;
        let longer = Self::SHORTEST.saturating_mul(2_u32.saturating_pow(rounds));
        dice.shorten(longer.min(Self::LONGEST))
    }

    /// There is one node more than `listed` ones, behind them, and it is next.
    pub(super) fn add_next(&mut self, listed: NonZeroUsize) {
        self.nodes = listed.saturating_add(1);
        self.next = listed.get();
    }

    /// A connection proved to be sound.
    pub(super) const fn handle_success(&mut self) {
        self.failed = 0;
    }

    /// The node to connect to next, by its place in the list.
    pub(super) const fn node(&self) -> usize {
        self.next
    }

    /// Whether every node has failed since one succeeded.
    pub(super) const fn has_tried_all(&self) -> bool {
        self.failed >= self.nodes.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_is_added_is_next_and_then_one_of_them() {
        let listed = NonZeroUsize::new(2).unwrap();
        let (mut backoff, mut dice) = (Backoff::new(listed), Dice::new(1));
        for _another in 0..2 {
            backoff.add_next(listed);
            for node in [2, 0, 1, 2, 0] {
                assert_eq!(backoff.node(), node);
                backoff.handle_failure(&mut dice);
            }
        }
    }

    #[test]
    fn each_time_round_the_nodes_it_waits_twice_as_long() {
        let mut backoff = Backoff::new(NonZeroUsize::new(3).unwrap());
        let mut dice = Dice::new(1);
        let mut nodes = Vec::new();
        for round in 0..10 {
            for _ in 0..3 {
                nodes.push(backoff.node());
                let wait = backoff.handle_failure(&mut dice);
                let longest = (Backoff::SHORTEST * (1 << round)).min(Backoff::LONGEST);
                assert!((longest / 2..longest).contains(&wait), "{wait:?} in round {round}");
            }
        }
        assert_eq!(nodes[..4], [0, 1, 2, 0]);
        assert!(backoff.has_tried_all());
        backoff.handle_success();
        assert!(!backoff.has_tried_all());
        assert!(backoff.handle_failure(&mut dice) < Backoff::SHORTEST);
    }
}
