//! A timer that knows when it is due without being asked.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use tokio::time::Sleep;

use crate::runtime::clock;

/// A timer that can be set again and again.
#[derive(Debug)]
pub(super) struct Alarm {
    /// Kept here, too, because what the runtime keeps lies elsewhere.
    due: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Alarm {
    pub(super) fn new(due: Instant) -> Self {
        Self { due, sleep: Box::pin(tokio::time::sleep_until(due.into())) }
    }

    /// Lets it be due at another time. To be [polled](Self::poll) afterwards.
    pub(super) fn set(&mut self, due: Instant) {
        self.due = due;
        self.sleep.as_mut().reset(due.into());
    }

    /// When it is due.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Waits until it is due, and says what time it is then. To be [set](Self::set) afterwards.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        ready!(self.sleep.as_mut().poll(cx));
        Poll::Ready(clock::now())
    }
}
