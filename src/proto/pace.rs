//! How fast the clients of a node are sent to others.

use std::{num::NonZeroU32, time::Duration};

/// How fast the clients of a node that [drains](crate::Node::drain) are sent to others.
///
/// Each of them costs the node where it goes a handshake, so all at once is a burst that the others
/// must be able to bear. Defaults to 200 a second.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Pace {
    /// So many clients a second.
    PerSecond(NonZeroU32),
    /// All of them in this time, one after the other.
    Within(Duration),
}

impl Pace {
    /// How long after the beginning the turn of client `number` comes, of `total`.
    pub fn turn(self, number: usize, total: usize) -> Duration {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        match self {
            Self::PerSecond(clients) => Duration::from_secs(1) * number / clients.get(),
            Self::Within(time) => {
                let total = u32::try_from(total).unwrap_or(u32::MAX);
                (time / total.max(1)).saturating_mul(number)
            }
        }
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self::PerSecond(NonZeroU32::new(200).expect("it is not zero"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_go_one_after_the_other() {
        let second = Duration::from_secs(1);
        let ten = Pace::PerSecond(NonZeroU32::new(10).unwrap());
        assert_eq!(
            [0, 1, 25].map(|number| ten.turn(number, 26)),
            [Duration::ZERO, second / 10, second * 5 / 2]
        );
        let within = Pace::Within(second * 8);
        assert_eq!(
            [0, 1, 3].map(|number| within.turn(number, 4)),
            [Duration::ZERO, second * 2, second * 6]
        );
        assert_eq!(within.turn(0, 0), Duration::ZERO);
        assert!(Pace::default().turn(usize::MAX, usize::MAX) > second);
    }
}
