//! Those who look at much of a node at once take turns.

use std::time::{Duration, Instant};

use super::Node;
use crate::{proto::Core, runtime::clock};

/// How many times as long as somebody looks it is until the next does: those who look have a fifth of a
/// node's time at most, however many they are and however often they ask.
const PERIOD: u32 = 5;

/// What a look is taken to have lasted at most: it may have been interrupted.
const MAX_LOOK: Duration = Duration::from_millis(500);

/// A pause that is not longer is added to the next one.
const MIN_PAUSE: Duration = Duration::from_millis(2);

/// When somebody may look next, who has the turn then.
#[derive(Debug, Default)]
pub(super) struct Turns(tokio::sync::Mutex<Option<Instant>>);

impl Node {
    /// Looks at what the node knows, while nothing else happens on it, once it is the caller's turn.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the turn to the next, who waits for what was looked at before.
    pub(super) async fn in_turn<T>(&self, look: impl FnOnce(&Core) -> T) -> T {
        let mut next = self.inner.turns.0.lock().await;
        if let Some(next) = *next
            && next > clock::now() + MIN_PAUSE
        {
            tokio::time::sleep_until(next.into()).await;
        }
        self.inner.hub.with(|core, _| {
            let began = clock::now();
            let seen = look(core);
            let ended = clock::now();
            *next = Some(next_turn(*next, began, ended));
            seen
        })
    }
}

/// When the next may look, after somebody did who could do so from `due` on.
fn next_turn(due: Option<Instant>, began: Instant, ended: Instant) -> Instant {
    let took = ended.saturating_duration_since(began).min(MAX_LOOK);
    let last = ended.checked_sub(took).unwrap_or(ended);
    due.map_or(last, |due| due.max(last)) + took * PERIOD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_looks_all_the_time_has_a_fifth_of_it() {
        const LOOK: Duration = Duration::from_micros(100);
        let start = clock::now();
        let (mut now, mut due, mut looked) = (start, None, Duration::ZERO);
        for _ in 0..10_000 {
            // As long as the pause is too short to be made, what is owed adds up.
            now = due.filter(|&due| due > now + MIN_PAUSE).unwrap_or(now);
            due = Some(next_turn(due, now, now + LOOK));
            now += LOOK;
            looked += LOOK;
        }
        let share = looked.as_secs_f64() / (now - start).as_secs_f64();
        assert!((0.19..0.21).contains(&share), "{share}");
    }

    #[test]
    fn who_was_interrupted_is_not_waited_for_long() {
        let start = clock::now();
        let due = next_turn(None, start, start + Duration::from_secs(9));
        assert_eq!(due - (start + Duration::from_secs(9)), MAX_LOOK * (PERIOD - 1));
    }
}
