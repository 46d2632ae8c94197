//! Which members are shown to be alive, given what the failure detector says.
//!
//! A process that was itself stopped for a while has heard from nobody, and its failure detector
//! declares everybody dead the moment it goes on. So a roster watches the time between its own
//! inputs, which come many times a second. After a gap it believes no death for as long as the
//! others need to be heard again.
//!
//! # Invariants
//!
//! 1. Nobody who left is shown.
//! 2. Everybody who is alive and has not left is shown.
//! 3. Nobody else is shown, except after a gap, for [`HOLD`].

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::id::NodeId;

/// The members of the cluster, as one node sees them.
#[derive(Debug)]
pub(super) struct Roster {
    alive: BTreeMap<NodeId, SocketAddr>,
    left: BTreeSet<NodeId>,
    shown: BTreeMap<NodeId, SocketAddr>,
    /// When the last input came.
    awake: Instant,
    hold_until: Instant,
    longest_gap: Duration,
}

impl Roster {
    /// A roster of nobody but `own`, which has an input at least every `longest_gap`.
    pub(super) fn new(own: (NodeId, SocketAddr), longest_gap: Duration, now: Instant) -> Self {
        let alive = BTreeMap::from([own]);
        let shown = alive.clone();
        Self { alive, left: BTreeSet::new(), shown, awake: now, hold_until: now, longest_gap }
    }

    /// The failure detector holds these to be alive, of whom some said that they leave.
    pub(super) fn handle_alive(
        &mut self,
        alive: BTreeMap<NodeId, SocketAddr>,
        left: BTreeSet<NodeId>,
        now: Instant,
    ) {
        self.alive = alive;
        self.left = left;
        self.handle_timeout(now);
    }

    /// Time has passed. May be called early, late or twice without harm.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if now.saturating_duration_since(self.awake) > self.longest_gap {
            self.hold_until = now + HOLD;
        }
        self.awake = now;
        if now >= self.hold_until {
            self.shown.clear();
        }
        self.shown.extend(&self.alive);
        self.shown.retain(|node, _| !self.left.contains(node));
        self.check();
    }

    /// Who is shown to be alive.
    pub(super) fn shown(&self) -> &BTreeMap<NodeId, SocketAddr> {
        &self.shown
    }

    fn check(&self) {
        let is_shown = |node: &NodeId| self.shown.contains_key(node);
        debug_assert!(!self.left.iter().any(is_shown));
        debug_assert!(self.alive.keys().all(|node| self.left.contains(node) || is_shown(node)));
        let held = self.awake < self.hold_until;
        debug_assert!(held || self.shown.keys().all(|node| self.alive.contains_key(node)));
    }
}

/// How long no death is believed after a gap: what the failure detector takes to declare one.
pub(super) const HOLD: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::{super::forge::member, *};
    use crate::runtime::clock;

    const GAP: Duration = Duration::from_millis(600);
    const TICK: Duration = Duration::from_millis(50);

    fn members(ids: &[u64]) -> BTreeMap<NodeId, SocketAddr> {
        ids.iter().map(|id| member(*id)).collect()
    }

    fn left(ids: &[u64]) -> BTreeSet<NodeId> {
        members(ids).into_keys().collect()
    }

    #[test]
    fn a_death_is_shown_at_once() {
        let mut now = clock::now();
        let mut roster = Roster::new(member(1), GAP, now);
        assert_eq!(*roster.shown(), members(&[1]));
        now += TICK;
        roster.handle_alive(members(&[1, 2, 3]), left(&[]), now);
        assert_eq!(*roster.shown(), members(&[1, 2, 3]));
        now += GAP;
        roster.handle_alive(members(&[1, 3]), left(&[]), now);
        assert_eq!(*roster.shown(), members(&[1, 3]));
    }

    #[test]
    fn who_was_stopped_believes_no_death_for_a_while() {
        let mut now = clock::now();
        let mut roster = Roster::new(member(1), GAP, now);
        roster.handle_alive(members(&[1, 2, 3]), left(&[]), now);
        now += GAP + TICK;
        roster.handle_alive(members(&[1]), left(&[]), now);
        assert_eq!(*roster.shown(), members(&[1, 2, 3]));
        roster.handle_alive(members(&[1, 2, 4]), left(&[]), now);
        assert_eq!(*roster.shown(), members(&[1, 2, 3, 4]), "news of life is believed");
        for _ in 0..39 {
            now += TICK;
            roster.handle_timeout(now);
            assert_eq!(*roster.shown(), members(&[1, 2, 3, 4]));
        }
        roster.handle_timeout(now + TICK);
        assert_eq!(*roster.shown(), members(&[1, 2, 4]), "by now it would have been heard");
    }

    #[test]
    fn who_left_is_gone_even_so() {
        let mut now = clock::now();
        let mut roster = Roster::new(member(1), GAP, now);
        roster.handle_alive(members(&[1, 2, 3]), left(&[]), now);
        now += GAP * 9;
        roster.handle_alive(members(&[1, 2, 3]), left(&[3]), now);
        assert_eq!(*roster.shown(), members(&[1, 2]));
        roster.handle_alive(members(&[1]), left(&[]), now);
        assert_eq!(*roster.shown(), members(&[1, 2]));
    }
}
