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
//! | `LINES=n` | shows so many steps of a failed run; 40 if it is not set |

use std::{
    env,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Instant,
};

use exosphere::proto::sim::{self, Seen};

/// How many seeds are tried at the same time.
const THREADS: u64 = 2;

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

/// Runs the seeds of one thread, until a seed fails anywhere.
fn run_some(thread: u64, is_over: &AtomicBool, done: &AtomicU64) -> Result<Seen, Box<sim::Failure>> {
    let first = variable("FIRST", 0);
    let mut seen = Seen::default();
    for seed in (first + thread..first + variable("SEEDS", 2_000)).step_by(THREADS as usize) {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        match sim::run(seed, start(), lines()) {
            Ok(summary) => seen.add(&summary.seen),
            Err(failure) => {
                is_over.store(true, Ordering::Relaxed);
                return Err(failure);
            }
        }
        done.fetch_add(1, Ordering::Relaxed);
    }
    Ok(seen)
}

#[test]
fn every_promise_is_kept_and_all_agree_whatever_breaks() {
    if let Ok(seed) = env::var("SEED") {
        let run = sim::run(seed.parse().expect("SEED is a number"), start(), lines());
        return run.map(|summary| println!("{summary:?}")).unwrap_or_else(|failure| panic!("{failure}"));
    }
    let (is_over, done) = (AtomicBool::new(false), AtomicU64::new(0));
    let results: Vec<_> = thread::scope(|scope| {
        let (is_over, done) = (&is_over, &done);
        let run = |thread| scope.spawn(move || run_some(thread, is_over, done));
        let threads: Vec<_> = (0..THREADS).map(run).collect();
        threads.into_iter().map(|thread| thread.join().expect("failures are values")).collect()
    });
    let mut seen = Seen::default();
    for result in results {
        match result {
            Ok(some) => seen.add(&some),
            Err(failure) => panic!("after {} seeds: {failure}", done.load(Ordering::Relaxed)),
        }
    }
    println!("{done:?} seeds: {seen:?}");
}

#[test]
fn a_seed_always_does_the_same() {
    for seed in 0..3 {
        let [once, again] = [(); 2].map(|()| sim::run(seed, start(), lines()));
        let (once, again) = (once.expect("it holds"), again.expect("it holds"));
        assert_eq!(once, again, "seed {seed}");
    }
}
