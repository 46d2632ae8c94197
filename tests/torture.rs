//! A short torture of real processes: see `examples/torture`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::process::Command;

/// Runs the example, which says itself whether every promise was kept.
fn torture(args: &[&str]) {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(|deps| deps.parent()).expect("target/<profile>/deps");
    let name = format!("torture{}", std::env::consts::EXE_SUFFIX);
    let executable = profile.join("examples").join(name);
    assert!(executable.exists(), "run `cargo build --examples --features client` first");
    let status = Command::new(executable).args(args).args(["--rate", "200"]).status().unwrap();
    assert!(status.success(), "{status}");
}

#[test]
fn nothing_is_lost_repeated_or_disordered_when_nodes_are_killed_and_stopped() {
    torture(&["--rounds", "6", "--fault", "kill"]);
    torture(&["--rounds", "1", "--fault", "stop"]);
}
