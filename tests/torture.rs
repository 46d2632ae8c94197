//! A short torture of real processes: see `examples/torture`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::process::{Command, ExitStatus};

/// The status of a torture that this machine does not allow.
const SKIPPED: i32 = 77;

/// Runs the example, which says itself whether every promise was kept.
fn torture(args: &[&str]) {
    let status = run(args);
    assert!(status.success(), "{status}");
}

fn run(args: &[&str]) -> ExitStatus {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(|deps| deps.parent()).expect("target/<profile>/deps");
    let name = format!("torture{}", std::env::consts::EXE_SUFFIX);
    let executable = profile.join("examples").join(name);
    assert!(executable.exists(), "run `cargo build --examples --features client` first");
    Command::new(executable).args(args).args(["--rate", "200"]).status().unwrap()
}

#[test]
fn nothing_is_lost_repeated_or_disordered_when_nodes_are_killed_and_stopped() {
    torture(&["--rounds", "6", "--fault", "kill"]);
    torture(&["--rounds", "1", "--fault", "stop"]);
}

/// A rolling restart: each node is told to end, one after the other, twice.
#[test]
fn nothing_is_lost_repeated_or_disordered_when_nodes_drain() {
    torture(&["--rounds", "6", "--fault", "drain"]);
}

#[test]
fn nothing_is_lost_repeated_or_disordered_when_all_nodes_are_killed_at_once() {
    torture(&["--rounds", "2", "--fault", "all"]);
}

/// One node is not heard by the others, one is apart from them, one does not hear them, each for
/// about four seconds: long enough to be taken for dead.
#[test]
fn nothing_is_lost_or_repeated_when_nodes_are_apart() {
    let status = run(&["--rounds", "3", "--fault", "partition", "--seed", "583"]);
    let is_ci = std::env::var_os("CI").is_some_and(|ci| !ci.is_empty());
    if status.code() == Some(SKIPPED) && !is_ci {
        return; // It has said why.
    }
    assert!(status.success(), "{status}");
}
