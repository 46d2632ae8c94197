//! How many requests whoever shows one token may have under way.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many requests are answered at a time that show the same token, the stream of events apart.
const MAX_AT_ONCE: usize = 8;

/// How many more may wait. At the limit they are refused: who asks all the time takes no turn from those
/// who show another token.
const MAX_WAITING: usize = 64;

/// The requests that show one token. Cheap to clone: a clone is of the same requests.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
}

/// A request's turn, which ends with all clones of this.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    _permits: Arc<[OwnedSemaphorePermit; 2]>,
}

impl Default for Queue {
    fn default() -> Self {
        let of = |permits| Arc::new(Semaphore::new(permits));
        Self { places: of(MAX_AT_ONCE + MAX_WAITING), turns: of(MAX_AT_ONCE) }
    }
}

impl Queue {
    /// Waits for a turn; `None` if too many wait.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the place.
    pub(super) async fn turn(&self) -> Option<Turn> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let turn = Arc::clone(&self.turns).acquire_owned().await.ok()?;
        Some(Turn { _permits: Arc::new([place, turn]) })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn so_many_are_answered_so_many_wait_and_the_rest_is_refused() {
        let queue = Queue::default();
        let mut turns: Vec<_> =
            (0..MAX_AT_ONCE).map(|_| queue.turn().now_or_never().unwrap().unwrap()).collect();
        let mut waiting: Vec<_> = (0..MAX_WAITING).map(|_| Box::pin(queue.turn())).collect();
        assert!(waiting.iter_mut().all(|it| it.now_or_never().is_none()));
        assert!(queue.turn().now_or_never().unwrap().is_none(), "too many wait");
        turns.pop();
        assert!((&mut waiting[0]).now_or_never().unwrap().is_some(), "the first is next");
        waiting.pop();
        assert!(queue.turn().now_or_never().is_none(), "there is room to wait again");
    }
}
