//! Goal: whatever breaks, nothing that was promised is lost in silence, and all nodes agree in the
//! end.
//!
//! Method: thousands of seeds, each a cluster in virtual time with faults of its own
//! (`exosphere::proto::sim` says which, and what is checked).
//!
//! | variable | what it does |
//! |---|---|
//! | `SEED=n` | runs this seed only |
//! | `SEEDS=n` | runs so many seeds; 2,000 if it is not set |
//! | `FIRST=n` | begins with this seed; 0 if it is not set |
//! | `ALL=1` | goes on after a failure, and lists all |
//! | `LINES=n` | shows so many steps of a failed run; 40 if it is not set |

use std::{
    env,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Instant,
};

use exosphere::proto::sim::{self, Seen};

/// How many seeds are tried at the same time.
const THREADS: usize = 2;

#[expect(clippy::disallowed_methods, reason = "some instant to count from")]
fn start() -> Instant {
    Instant::now()
}

fn variable(name: &str, default: u64) -> u64 {
    let text = env::var(name).ok();
    text.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}

fn lines() -> usize {
    variable("LINES", 40) as usize
}

/// What the seeds of one thread came to.
#[derive(Default)]
struct Tally {
    seeds: u64,
    seen: Seen,
    failures: Vec<sim::Failure>,
}

/// Runs the seeds of one thread, until a seed fails anywhere.
fn run_some(thread: u64, is_over: &AtomicBool) -> Tally {
    let first = variable("FIRST", 0);
    let mut tally = Tally::default();
    for seed in (first + thread..first + variable("SEEDS", 2_000)).step_by(THREADS) {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        tally.seeds += 1;
        match sim::run(seed, start(), lines()) {
            Ok(summary) => tally.seen.add(&summary.seen),
            Err(failure) => {
                is_over.store(env::var("ALL").is_err(), Ordering::Relaxed);
                tally.failures.push(*failure);
            }
        }
    }
    tally
}

#[test]
fn every_promise_is_kept_and_all_agree_whatever_breaks() {
    if let Ok(seed) = env::var("SEED") {
        match sim::run(seed.parse().expect("SEED is a number"), start(), lines()) {
            Ok(summary) => return println!("{summary:?}"),
            Err(failure) => panic!("{failure}"),
        }
    }
    let is_over = &AtomicBool::new(false);
    let tallies: Vec<_> = thread::scope(|scope| {
        let run = |thread| scope.spawn(move || run_some(thread, is_over));
        let threads: Vec<_> = (0..THREADS as u64).map(run).collect();
        threads.into_iter().map(|thread| thread.join().expect("failures are values")).collect()
    });
    let mut total = Tally::default();
    for tally in tallies {
        total.seeds += tally.seeds;
        total.seen.add(&tally.seen);
        total.failures.extend(tally.failures);
    }
    println!("{} seeds: {:?}", total.seeds, total.seen);
    for failure in &total.failures {
        println!("seed {}: {}: {}", failure.seed, failure.invariant, failure.what);
    }
    if let Some(failure) = total.failures.first() {
        panic!("{} of {} seeds failed, first {failure}", total.failures.len(), total.seeds);
    }
}

#[test]
fn a_seed_always_does_the_same() {
    for seed in 0..3 {
        let [once, again] = [(); 2].map(|()| sim::run(seed, start(), lines()));
        let (once, again) = (once.expect("it holds"), again.expect("it holds"));
        assert_eq!(once, again, "seed {seed}");
    }
}
