//! How long something took, counted in buckets.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// How many buckets there are, but for the one of all that took longer.
const BUCKETS: usize = BOUNDS_MICROS.len();

/// Up to what each bucket counts, in microseconds.
const BOUNDS_MICROS: [u64; 16] = [
    100,
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    5_000_000,
    30_000_000,
    120_000_000,
];

/// Times, counted as they come, by whichever task.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [AtomicU64; BUCKETS + 1],
    sum_micros: AtomicU64,
}

impl Histogram {
    pub(crate) fn record(&self, time: Duration) {
        let micros = time.as_micros() as u64;
        let bucket = BOUNDS_MICROS.partition_point(|bound| *bound < micros);
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.sum_micros.fetch_add(micros, Relaxed);
    }

    pub(crate) fn times(&self) -> Times {
        let buckets: Vec<_> = self.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect();
        let bounds = BOUNDS_MICROS.iter().map(|&bound| Some(Duration::from_micros(bound)));
        let mut sum = 0;
        let upto = bounds.chain([None]).zip(buckets).map(|(bound, count)| {
            sum += count;
            (bound, sum)
        });
        Times { upto: upto.collect(), sum: Duration::from_micros(self.sum_micros.load(Relaxed)) }
    }
}

/// How long something took, how often.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Times {
    /// How often it took so long at the most; last, how often it was measured.
    pub upto: Vec<(Option<Duration>, u64)>,
    /// All of these times together.
    pub sum: Duration,
}

impl Times {
    /// How often it was measured.
    pub fn count(&self) -> u64 {
        self.upto.last().map_or(0, |&(_, count)| count)
    }

    /// What this part of all (0.5 for the median) did not exceed, as the upper bound of a bucket;
    /// `None` if it exceeded all bounds, or nothing was measured.
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        let wanted = (self.count() as f64 * part).ceil().max(1.0) as u64;
        self.upto.iter().find(|&&(_, upto)| upto >= wanted).and_then(|&(bound, _)| bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_counted_up_to_the_bounds_that_they_do_not_exceed() {
        let histogram = Histogram::default();
        for micros in [1, 100, 101, 4_000, 500_000_000] {
            histogram.record(Duration::from_micros(micros));
        }
        let times = histogram.times();
        assert_eq!(times.count(), 5);
        assert_eq!(times.sum, Duration::from_micros(500_004_202));
        assert_eq!(
            times.upto[..2],
            [(Some(Duration::from_micros(100)), 2), (Some(Duration::from_micros(250)), 3)]
        );
        assert_eq!(times.upto.last(), Some(&(None, 5)));
        assert_eq!(times.quantile(0.5), Some(Duration::from_micros(250)));
        assert_eq!(times.quantile(0.8), Some(Duration::from_millis(5)));
        assert_eq!(times.quantile(1.0), None);
        assert_eq!(Times::default().quantile(0.5), None);
    }
}
