//! What a task was woken for.
//!
//! A task that serves a client is mostly woken to write. Reading costs a system call even when there
//! is nothing, and asking a timer costs too, so each is asked only once it has called.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Wake, Waker},
};

use parking_lot::Mutex;

/// What has called since the task last looked. At first, everything has.
#[derive(Debug)]
pub(super) struct Signals {
    reading: AtomicBool,
    timing: AtomicBool,
    task: Mutex<Waker>,
}

impl Signals {
    pub(super) fn new() -> Arc<Self> {
        let fired = || AtomicBool::new(true);
        Arc::new(Self {
            reading: fired(),
            timing: fired(),
            task: Mutex::new(Waker::noop().clone()),
        })
    }

    /// Whose waker is to be called. To be told again when it changes.
    pub(super) fn register(&self, task: &Waker) {
        self.task.lock().clone_from(task);
    }

    /// The socket is to be read, though it has not called.
    pub(super) fn set_reading(&self) {
        self.reading.store(true, Ordering::Release);
    }

    /// The timer is to be asked, though it has not called.
    pub(super) fn set_timing(&self) {
        self.timing.store(true, Ordering::Release);
    }

    /// Whether the socket is to be read, and stays to be read.
    pub(super) fn is_reading(&self) -> bool {
        self.reading.load(Ordering::Acquire)
    }

    /// Whether the socket is to be read.
    pub(super) fn take_reading(&self) -> bool {
        take(&self.reading)
    }

    /// Whether the timer is to be asked.
    pub(super) fn take_timing(&self) -> bool {
        take(&self.timing)
    }

    /// The waker for the socket.
    pub(super) fn reading_waker(self: &Arc<Self>) -> Waker {
        Waker::from(Arc::clone(self))
    }

    /// The waker for the timer.
    pub(super) fn timing_waker(self: &Arc<Self>) -> Waker {
        Waker::from(Arc::new(Timing(Arc::clone(self))))
    }

    fn wake_task(&self) {
        let task = self.task.lock().clone();
        task.wake();
    }
}

/// A look costs less than a change, and there is mostly nothing.
fn take(fired: &AtomicBool) -> bool {
    fired.load(Ordering::Acquire) && fired.swap(false, Ordering::AcqRel)
}

impl Wake for Signals {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.set_reading();
        self.wake_task();
    }
}

struct Timing(Arc<Signals>);

impl Wake for Timing {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.set_timing();
        self.0.wake_task();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A task, as far as it can be woken.
    #[derive(Default)]
    struct Task(AtomicBool);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Release);
        }
    }

    #[test]
    fn the_task_is_woken_and_learns_what_for() {
        let (signals, task) = (Signals::new(), Arc::<Task>::default());
        assert!(signals.take_reading() && signals.take_timing(), "at first nobody has looked");
        assert!(!signals.take_reading() && !signals.take_timing());
        signals.register(&Waker::from(Arc::clone(&task)));
        signals.reading_waker().wake_by_ref();
        assert!(take(&task.0) && !signals.take_timing() && signals.take_reading());
        signals.timing_waker().wake();
        assert!(take(&task.0) && !signals.take_reading() && signals.take_timing());
    }
}
