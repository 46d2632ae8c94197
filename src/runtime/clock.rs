//! The one place that reads the clock.

use std::time::Instant;
#[cfg(feature = "node")]
use std::time::SystemTime;

/// The time, as the runtime tells it, so that a test can pause it.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The time of the calendar, for what is limited by that: it may jump.
#[cfg(feature = "node")]
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub(crate) fn calendar() -> SystemTime {
    SystemTime::now()
}

/// An instant that no wait reaches.
pub(crate) fn far_off() -> Instant {
    now() + std::time::Duration::from_secs(86_400 * 365)
}
