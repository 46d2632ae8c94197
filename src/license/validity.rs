//! Whether a licence holds.

use std::time::SystemTime;

use super::grant::{DAY, Grant, seconds};

/// Whether a licence holds at some time.
///
/// ```text
///    NotYet --not_before--> Valid --expires--> Grace --grace_days--> Expired
/// ```
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Validity {
    /// It begins later.
    NotYet,
    /// It holds.
    Valid,
    /// It has ended, and nodes may still start.
    Grace,
    /// It has ended. Nodes that run go on; none starts but the first.
    Expired,
}

impl Validity {
    pub(super) fn of(grant: &Grant, now: SystemTime) -> Self {
        let now = seconds(now);
        let grace = DAY.as_secs() * u64::from(grant.grace_days);
        match grant.expires {
            _ if now < grant.not_before => Self::NotYet,
            Some(end) if now >= end.saturating_add(grace) => Self::Expired,
            Some(end) if now >= end => Self::Grace,
            _ => Self::Valid,
        }
    }

    /// Whether it counts when a node starts.
    pub fn allows_start(self) -> bool {
        matches!(self, Self::Valid | Self::Grace)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_licence_holds_from_its_first_second_to_the_end_of_its_grace() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let day = DAY.as_secs();
        let grant = Grant::new("a", 1).unwrap().for_days(at(100), 2);
        let end = 100 + 2 * day;
        for (seconds, validity) in [
            (0, Validity::NotYet),
            (99, Validity::NotYet),
            (100, Validity::Valid),
            (end - 1, Validity::Valid),
            (end, Validity::Grace),
            (end + 14 * day - 1, Validity::Grace),
            (end + 14 * day, Validity::Expired),
        ] {
            assert_eq!(Validity::of(&grant, at(seconds)), validity, "{seconds}");
        }
        let for_ever = Grant::new("a", 1).unwrap();
        assert_eq!(Validity::of(&for_ever, at(u64::from(u32::MAX))), Validity::Valid);
        let last = Grant { expires: Some(u64::MAX), ..for_ever };
        assert_eq!(Validity::of(&last, at(1 << 40)), Validity::Valid);
    }
}
