//! What others do wrong: each is counted, and warned of now and then.
//!
//! Anybody can send us rubbish, as often as they like. So it must not fill the log; and that there is
//! some, and how much, must be seen by who looks.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tracing::{debug, warn};

use crate::runtime::clock;

/// What somebody did wrong.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Offence {
    /// It said to everybody what is no beacon of anybody's, or was forged.
    Beacon,
    /// It has no certificate that we accept, or does not accept ours: another secret, mostly.
    Handshake,
    /// It is no node to be linked with.
    Greeting,
    /// It said what is no frame.
    Frame,
    /// It said what is no gossip, or would do harm.
    Gossip,
    /// A name does not resolve.
    Lookup,
}

impl Offence {
    fn sentence(self) -> &'static str {
        match self {
            Self::Beacon => "beacons are ignored that are forged or broken",
            Self::Handshake => "no handshake with nodes of another secret, cluster or authority",
            Self::Greeting => "nodes are turned away",
            Self::Frame => "a peer misbehaves; its link is closed",
            Self::Gossip => "gossip is ignored that makes no sense",
            Self::Lookup => "addresses of other nodes cannot be found",
        }
    }
}

/// How often each happened.
#[derive(Debug, Default)]
pub(crate) struct Warnings(Mutex<BTreeMap<Offence, Count>>);

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    total: u64,
    warned: Option<(Instant, u64)>,
}

impl Warnings {
    /// Somebody did something wrong. It is counted, and warned of unless that was done lately.
    pub(crate) fn note(&self, offence: Offence, who: impl fmt::Display, why: impl fmt::Display) {
        let sentence = offence.sentence();
        match self.count(offence, clock::now()) {
            Some(times) => warn!(%who, %why, times, "{sentence}"),
            None => debug!(%who, %why, "{sentence}"),
        }
    }

    /// How often it happened since the last warning, if it is to be warned of.
    fn count(&self, offence: Offence, now: Instant) -> Option<u64> {
        let mut counts = self.0.lock();
        let count = counts.entry(offence).or_default();
        count.total += 1;
        let is_recent = |(at, _): (Instant, u64)| now.saturating_duration_since(at) < WARN_EVERY;
        if count.warned.is_some_and(is_recent) {
            return None;
        }
        let before = count.warned.replace((now, count.total)).map_or(0, |(_, total)| total);
        Some(count.total - before)
    }
}

/// How long after a warning the same is not warned of again.
const WARN_EVERY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_offence_is_warned_of_at_once_and_then_once_a_minute_with_how_many_there_were() {
        let (warnings, start) = (Warnings::default(), clock::now());
        assert_eq!(warnings.count(Offence::Beacon, start), Some(1));
        assert_eq!(warnings.count(Offence::Gossip, start), Some(1));
        for _ in 0..1000 {
            let soon = start + WARN_EVERY - Duration::from_millis(1);
            assert_eq!(warnings.count(Offence::Beacon, soon), None);
        }
        assert_eq!(warnings.count(Offence::Beacon, start + WARN_EVERY), Some(1001));
        assert_eq!(warnings.count(Offence::Beacon, start + WARN_EVERY), None);
    }
}
