//! Whole nodes, from what they say to clients down to QUIC and TLS, on a network that is played, in
//! virtual time.
//!
//! Everything is real but sockets and clock. All chances are drawn from a seed: how long datagrams
//! are under way, which are lost, what hash maps and gossip draw; so that a seed always does the
//! same, and a failure can be had again.
//!
//! | variable | what it does |
//! |---|---|
//! | `SEED=n` | lives the life of this seed only, in this process, and says what it came to |
//! | `MACHINES=n` | has so many machines in it |
//! | `SEEDS=n` | lives so many; 30 if it is not set |
//! | `FIRST=n` | begins with this seed; 0 if it is not set |
//! | `SESSIONS=n` | has so many sessions in the test of state, which splits once then; 2,000 if it is not set |
//! | `RUST_LOG=..` | logs what nodes say |

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "whole/cluster.rs"]
mod cluster;
#[path = "whole/crowd.rs"]
mod crowd;
#[path = "whole/dice.rs"]
mod dice;
#[path = "whole/entropy.rs"]
mod entropy;
#[path = "whole/licensed.rs"]
mod licensed;
#[path = "whole/net.rs"]
mod net;
#[path = "whole/reader.rs"]
mod reader;
#[path = "whole/story.rs"]
mod story;
#[path = "whole/timings.rs"]
mod timings;

use std::{
    collections::BTreeMap,
    env, panic,
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use dice::Dice;
use story::Lived;
use tokio::time::Instant;

/// How many seeds are lived at the same time.
const THREADS: usize = 2;

/// Virtual time.
#[expect(clippy::disallowed_methods, reason = "the tests are no node")]
fn now() -> Instant {
    Instant::now()
}

/// The time of whoever waits for the test.
#[expect(clippy::disallowed_methods, reason = "the tests are no node")]
fn wall() -> std::time::Instant {
    std::time::Instant::now()
}

/// Starts a task of the test.
#[expect(clippy::disallowed_methods, reason = "the tests are no node")]
fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}

/// Runs something in a thread and in a time of its own, where all chances are drawn from `seed`.
fn simulate<T: Send>(seed: u64, run: impl AsyncFnOnce(Dice) -> T + Send) -> T {
    let _ = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_test_writer()
        .try_init(); // Another test was first.
    let simulated = || {
        entropy::draw_from(seed);
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(run(Dice::new(seed)))
    };
    thread::scope(|scope| scope.spawn(simulated).join())
        .unwrap_or_else(|panic| panic::resume_unwind(panic))
}

fn variable(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}

/// The life of a seed, in this process: the first runtime of a process is the only one whose dice
/// are the same each time.
fn live_here(seed: u64) -> Result<Lived, String> {
    simulate(seed, async |mut dice: Dice| {
        let machines = 3 + dice.below(4);
        let machines = variable("MACHINES").unwrap_or(machines) as usize;
        story::live(machines, dice).await
    })
}

/// The life of a seed, in a process of its own, which says what it came to.
fn live(seed: u64, variables: &[(&str, &str)]) -> Result<String, String> {
    const TEST: &str = "whatever_goes_wrong_all_agree_in_the_end_and_nothing_is_lost";
    let mut process = Command::new(env::current_exe().unwrap());
    process.args([TEST, "--exact", "--nocapture"]).env("SEED", seed.to_string());
    let output = process.envs(variables.iter().copied()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    match said.lines().find_map(|line| line.strip_prefix(LIVED)) {
        Some(lived) if output.status.success() => Ok(lived.to_owned()),
        _ => Err(format!("{said}{}", String::from_utf8_lossy(&output.stderr))),
    }
}

/// What the line begins with in which a process says what a life came to.
const LIVED: &str = "lived: ";

/// Goal: whatever goes wrong, in the end all know the same, and everybody has what was promised.
///
/// Method: many lives, each of 3 to 6 machines and of three quarters of a minute, in which the
/// network is split and cut, machines crash, leave and come back, and all publish.
#[test]
fn whatever_goes_wrong_all_agree_in_the_end_and_nothing_is_lost() {
    if let Some(seed) = variable("SEED") {
        let lived = live_here(seed).unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}"));
        return println!("\n{LIVED}{lived}");
    }
    let (first, seeds) = (variable("FIRST").unwrap_or(0), variable("SEEDS").unwrap_or(30));
    let next = AtomicU64::new(first);
    let (seen, failed) = (Mutex::new(BTreeMap::new()), Mutex::new(Vec::new()));
    let live_some = || {
        while let seed = next.fetch_add(1, Ordering::Relaxed)
            && seed < first + seeds
        {
            match live(seed, &[]) {
                Ok(lived) => add(&mut seen.lock().unwrap(), &lived),
                Err(wrong) => failed.lock().unwrap().push((seed, wrong)),
            }
        }
    };
    thread::scope(|scope| (0..THREADS).for_each(|_| drop(scope.spawn(live_some))));
    let (seen, failed) = (seen.into_inner().unwrap(), failed.into_inner().unwrap());
    println!("{seeds} lives: {seen:?}");
    for (seed, wrong) in &failed {
        println!("seed {seed}: {wrong}");
    }
    assert!(failed.is_empty(), "{} of {seeds} seeds failed", failed.len());
    if seeds >= 30 {
        let too_kind = seen.iter().find(|(_, times)| **times == 0);
        assert_eq!(too_kind, None, "something never went wrong");
    }
}

/// Adds up what happened in a life.
fn add(seen: &mut BTreeMap<String, u64>, lived: &str) {
    for (what, times) in lived.split(' ').filter_map(|word| word.split_once('=')) {
        *seen.entry(what.to_owned()).or_default() += times.parse::<u64>().unwrap();
    }
}

#[test]
fn a_seed_always_does_the_same() {
    let lives = [0, 0, 1, 1, 2, 2].map(|seed| live(seed, &[]).unwrap());
    assert_eq!((&lives[0], &lives[2], &lives[4]), (&lives[1], &lives[3], &lives[5]));
    assert_ne!(lives[0], lives[2]);
}

/// Goal: twenty machines become one cluster, agree though they are split, crash and come back.
#[test]
fn twenty_machines_form_split_heal_crash_and_come_back() {
    println!("{}", live(20, &[("MACHINES", "20")]).unwrap());
}
