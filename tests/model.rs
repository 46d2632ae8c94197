//! Goal: within a small scope, whatever happens in whatever order, nothing that was promised is lost.
//!
//! Method: a small model of the design, of which every state is visited. The simulation has the real
//! nodes, and sees some of what can happen to a large cluster; this has a model, and sees all that
//! can happen to a small one. `scenarios.rs` lists what happens, `rules.rs` what must hold. Where a
//! part of the design is taken out, a rule must be found broken: a check that cannot fail says
//! nothing.
//!
//! What the model leaves out: time (what is waited for comes, or is known never to), claims on their
//! way (linked nodes hear of them at once, but for the last owner), and snapshots in parts.
//!
//! `cargo test --test model` tries all; `SCENARIO=H` tries that one, and tells how a rule was broken.
//! `-- --nocapture` shows the table.

use std::{
    collections::BTreeSet,
    env,
    time::{Duration, Instant},
};

use stateright::{Checker, HasDiscoveries, Model};

#[path = "model/alike.rs"]
mod alike;
#[path = "model/cluster.rs"]
mod cluster;
#[path = "model/rules.rs"]
mod rules;
#[path = "model/scenario.rs"]
mod scenario;
#[path = "model/scenarios.rs"]
mod scenarios;
#[path = "model/small.rs"]
mod small;
#[path = "model/state.rs"]
mod state;
#[path = "model/steps.rs"]
mod steps;

use scenario::Scenario;

/// How many states the scenarios that hold have together, at least.
const STATES: usize = 5_000_000;

/// What came of a scenario.
struct Outcome {
    states: usize,
    took: Duration,
    /// What was found: rules that are broken, and what was to be reached.
    found: BTreeSet<&'static str>,
    /// How each of these came to be.
    paths: Vec<String>,
}

#[expect(clippy::disallowed_methods, reason = "how long it takes is told")]
fn now() -> Instant {
    Instant::now()
}

fn run(scenario: Scenario) -> Outcome {
    let start = now();
    let finish = match scenario.finds {
        Some(rule) => HasDiscoveries::AllOf(BTreeSet::from([rule])),
        None => HasDiscoveries::AnyFailures,
    };
    let checker = scenario.checker().threads(2).finish_when(finish).spawn_bfs().join();
    let found = checker.discoveries();
    Outcome {
        states: checker.unique_state_count(),
        took: now() - start,
        found: found.keys().copied().collect(),
        paths: found
            .into_iter()
            .map(|(rule, path)| format!("{rule}: {:?}", path.into_actions()))
            .collect(),
    }
}

/// Runs scenarios, and says how many states those have. `wrong` says what is wrong with one.
fn run_all(scenarios: &[Scenario], wrong: fn(&Scenario, &Outcome) -> bool) -> usize {
    let only = env::var("SCENARIO").ok();
    let mut states = 0;
    let mut failed = Vec::new();
    for scenario in scenarios {
        if only.as_ref().is_some_and(|only| only != scenario.name) {
            continue;
        }
        let outcome = run(*scenario);
        let found: Vec<_> = outcome.found.iter().copied().collect();
        let Outcome { states: visited, took, .. } = outcome;
        println!("{scenario} {visited:>9} {:>6.2} s  {}", took.as_secs_f64(), found.join(", "));
        states += visited;
        let is_wrong = wrong(scenario, &outcome);
        if is_wrong || only.is_some() {
            outcome.paths.iter().for_each(|path| println!("    {path}"));
        }
        if is_wrong {
            failed.push(scenario.name);
        }
    }
    assert!(failed.is_empty(), "not as expected: {failed:?}");
    match only {
        Some(_) => STATES,
        None => states,
    }
}

#[test]
fn the_design_holds_whatever_happens_in_whatever_order() {
    let states = run_all(scenarios::SCENARIOS, |scenario, outcome| {
        let lost = scenario.loses.then_some(rules::LOST);
        outcome.found != BTreeSet::from_iter([rules::REACHED].into_iter().chain(lost))
    });
    println!("{states} states");
    assert!(states >= STATES, "the scope has become too small: {states} states");
}

#[test]
fn what_is_taken_out_of_the_design_is_missed() {
    run_all(scenarios::BREAKS, |scenario, outcome| {
        !scenario.finds.is_some_and(|rule| outcome.found.contains(rule))
    });
}
