//! Which addresses are dialed, and when again.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

/// How long after a first failure an address is dialed again; twice as long after each further one.
const FIRST_BACKOFF: Duration = Duration::from_millis(200);

/// The longest between two dials of one address: a partition that ends is to be noticed within two
/// seconds, however long it lasted. What is sent in vain is some 3 KB in a second.
const MAX_BACKOFF: Duration = Duration::from_millis(800);

/// How many addresses are remembered. At the limit new ones are dialed only once others are
/// forgotten, which they are after a while.
const MAX_ADDRESSES: usize = 1_024;

/// How many dials are under way at the most.
const MAX_UNDER_WAY: usize = 64;

/// How long an address is remembered that nobody asks for.
const REMEMBERED_FOR: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug)]
struct Dial {
    under_way: bool,
    failures: u32,
    last: Instant,
}

/// The addresses that were dialed.
#[derive(Debug, Default)]
pub(super) struct Dials(BTreeMap<SocketAddr, Dial>);

impl Dials {
    /// Whether `addr` is to be dialed now. If so, it counts as under way.
    pub(super) fn begin(&mut self, addr: SocketAddr, now: Instant) -> bool {
        let under_way = self.0.values().filter(|dial| dial.under_way).count();
        if under_way >= MAX_UNDER_WAY {
            return false;
        }
        let failures = match self.0.get(&addr) {
            Some(dial) if dial.under_way || now < dial.last + backoff(dial.failures) => {
                return false;
            }
            Some(dial) => dial.failures,
            None if self.0.len() >= MAX_ADDRESSES => return false,
            None => 0,
        };
        self.0.insert(addr, Dial { under_way: true, failures, last: now });
        true
    }

    /// A dial has ended.
    pub(super) fn end(&mut self, addr: SocketAddr, succeeded: bool, now: Instant) {
        if let Some(dial) = self.0.get_mut(&addr) {
            dial.under_way = false;
            dial.failures = if succeeded { 0 } else { dial.failures.saturating_add(1) };
            dial.last = now;
        }
    }

    /// Forgets what was dialed long ago.
    pub(super) fn sweep(&mut self, now: Instant) {
        self.0.retain(|_, dial| {
            dial.under_way || now.saturating_duration_since(dial.last) < REMEMBERED_FOR
        });
    }
}

fn backoff(failures: u32) -> Duration {
    match failures {
        0 => FIRST_BACKOFF,
        _ => MAX_BACKOFF.min(FIRST_BACKOFF * 2_u32.saturating_pow(failures.min(10))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::clock;

    #[test]
    fn an_address_is_dialed_once_at_a_time_and_ever_more_rarely() {
        let (addr, start) = (SocketAddr::from(([127, 0, 0, 1], 5701)), clock::now());
        let mut dials = Dials::default();
        assert!(dials.begin(addr, start));
        assert!(!dials.begin(addr, start + MAX_BACKOFF), "it is under way");
        let mut now = start;
        let mut waits = Vec::new();
        for _ in 0..7 {
            dials.end(addr, false, now);
            let failed = now;
            while !dials.begin(addr, now) {
                now += Duration::from_millis(100);
            }
            waits.push((now - failed).as_millis());
        }
        assert_eq!(waits, [400, 800, 800, 800, 800, 800, 800]);
        dials.end(addr, true, now);
        dials.sweep(now + REMEMBERED_FOR);
        assert!(dials.0.is_empty());
    }

    #[test]
    fn strangers_cannot_make_a_node_dial_without_end() {
        let now = clock::now();
        let mut dials = Dials::default();
        let begun = (1..2_000)
            .filter(|&port| dials.begin(SocketAddr::from(([127, 0, 0, 1], port)), now))
            .count();
        assert_eq!(begun, MAX_UNDER_WAY);
    }
}
