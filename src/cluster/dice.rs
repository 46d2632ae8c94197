//! The random numbers of the cluster, from the operating system.

use std::time::Duration;

use ring::rand::{Random, RandomlyConstructable, SystemRandom, generate};

/// Random bytes, fit for keys.
pub(super) fn bytes<const N: usize>() -> [u8; N]
where
    [u8; N]: RandomlyConstructable,
{
    let random: Random<[u8; N]> =
        generate(&SystemRandom::new()).expect("the operating system has randomness");
    random.expose()
}

/// A random duration below `limit`, or zero if that is zero.
pub(super) fn below(limit: Duration) -> Duration {
    let nanos = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX).max(1);
    Duration::from_nanos(u64::from_le_bytes(bytes()) % nanos)
}
