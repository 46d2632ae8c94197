//! When a node sends its next beacon: often at first, and then for ever, so that the two sides of a
//! partition that have forgotten each other meet again.

use std::time::{Duration, Instant};

/// The beacons of one node, counted.
#[derive(Debug)]
pub(super) struct Schedule {
    sent: u32,
    due: Instant,
}

impl Schedule {
    /// The first beacon is due at once.
    pub(super) fn new(now: Instant) -> Self {
        Self { sent: 0, due: now }
    }

    /// A beacon was sent. The dice are a number below 1,000.
    pub(super) fn handle_sent(&mut self, dice: u32, now: Instant) {
        self.due = now + Self::pause(self.sent, dice);
        self.sent = self.sent.saturating_add(1);
    }

    /// When the next is due.
    pub(super) fn poll_timeout(&self) -> Instant {
        self.due
    }

    /// Whether the node has just started, and looks for a cluster to join.
    pub(super) fn is_young(&self) -> bool {
        self.sent < EAGER.len() as u32 + SOON_BEACONS
    }

    fn pause(sent: u32, dice: u32) -> Duration {
        match EAGER.get(sent as usize) {
            Some(&pause) => pause,
            None if sent < EAGER.len() as u32 + SOON_BEACONS - 1 => SOON,
            None => SELDOM * (800 + dice * 400 / 999) / 1000,
        }
    }
}

/// The pauses after the first beacons: sent at 0, 100, 300 and 700 ms.
const EAGER: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(200), Duration::from_millis(400)];

/// The pause after each of the beacons that follow.
const SOON: Duration = Duration::from_secs(1);

/// How many of those there are, with the last eager one.
const SOON_BEACONS: u32 = 11;

/// The pause after all others, give or take a fifth, so that nodes do not fall into step.
const SELDOM: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::clock;

    #[test]
    fn beacons_are_frequent_at_first_and_never_end() {
        let start = clock::now();
        let (mut schedule, mut at) = (Schedule::new(start), Vec::new());
        for _ in 0..17 {
            let due = schedule.poll_timeout();
            at.push((due - start).as_millis());
            schedule.handle_sent(500, due);
        }
        let soon = (1..=10).map(|second| 700 + second * 1000);
        let mut expected: Vec<u128> = [0, 100, 300, 700].into_iter().chain(soon).collect();
        expected.extend([20_700, 30_700, 40_700]);
        assert!(
            at.iter().zip(&expected).all(|(at, expected)| at.abs_diff(*expected) < 20),
            "{at:?}"
        );
    }

    #[test]
    fn later_pauses_differ_by_a_fifth() {
        let pause = |dice| Schedule::pause(1000, dice);
        assert_eq!(pause(0), Duration::from_secs(8));
        assert_eq!(pause(999), Duration::from_secs(12));
    }

    #[test]
    fn a_node_is_young_until_its_beacons_are_rare() {
        let now = clock::now();
        let mut schedule = Schedule::new(now);
        let young = (0..100).take_while(|_| {
            let young = schedule.is_young();
            schedule.handle_sent(0, now);
            young
        });
        assert_eq!(young.count(), 14);
    }
}
