//! Room for so much at a time.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Room for so much at a time, which can be made larger and smaller. Cheap to clone: a clone is the same
/// room.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    /// Never runs out: what is taken of it is compared with `most`.
    permits: Arc<Semaphore>,
    most: Arc<AtomicUsize>,
}

impl Room {
    /// Room for so much.
    pub(crate) fn new(most: usize) -> Self {
        let permits = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        Self { permits, most: Arc::new(AtomicUsize::new(most)) }
    }

    /// Takes some of it, if there is as much, until that is dropped. Of two that take the last at the same
    /// moment, neither may get it.
    pub(crate) fn take(&self, much: u32) -> Option<OwnedSemaphorePermit> {
        let taken = Arc::clone(&self.permits).try_acquire_many_owned(much).ok()?;
        (self.taken() <= self.most.load(Ordering::Relaxed)).then_some(taken)
    }

    /// How much of it is taken.
    pub(crate) fn taken(&self) -> usize {
        Semaphore::MAX_PERMITS - self.permits.available_permits()
    }

    /// Lets there be room for so much from now on. What is taken beyond that stays taken.
    pub(crate) fn resize(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_as_much_room_as_was_said_last() {
        let room = Room::new(3);
        let two = room.take(2).unwrap();
        assert!(room.take(2).is_none());
        assert_eq!(room.taken(), 2, "what was refused is not taken");
        room.resize(5);
        let more = room.take(3).unwrap();
        room.resize(1);
        assert!(room.take(1).is_none());
        drop(two);
        assert_eq!(room.taken(), 3);
        drop(more);
        assert!(room.take(1).is_some());
        room.resize(0);
        assert!(room.take(1).is_none() && room.take(0).is_some());
    }
}
