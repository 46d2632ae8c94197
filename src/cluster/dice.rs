//! The random numbers of the cluster, from the operating system.
//!
//! By way of the C library, where a simulation of whole nodes has dice of its own.

use std::time::Duration;

/// Random bytes, fit for keys.
pub(super) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system has randomness");
    bytes
}

/// A random duration below `limit`, or zero if that is zero.
pub(super) fn below(limit: Duration) -> Duration {
    let nanos = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX).max(1);
    Duration::from_nanos(u64::from_le_bytes(bytes()) % nanos)
}
