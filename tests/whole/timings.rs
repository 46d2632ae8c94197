//! How soon all know what has become of one another, in virtual time.

use std::time::Duration;

use super::{
    cluster::{Cluster, until},
    dice::Dice,
    net::Weather,
    now, simulate,
};

/// How long anything may take in virtual time, before it is said how long it took.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long what is measured may take.
const CRASH: Duration = Duration::from_secs(2);
const RESTART: Duration = Duration::from_millis(600);
const LEAVE: Duration = Duration::from_millis(300);

/// A cluster of so many machines, which is as one.
async fn form(machines: usize, dice: Dice) -> std::sync::Arc<Cluster> {
    let cluster = Cluster::new(machines, Weather::CALM, dice);
    cluster.start_all().await;
    let all: Vec<_> = (0..machines).collect();
    until("they are one cluster", PATIENCE, || cluster.see_each_other(&all)).await;
    cluster
}

/// Goal: 3, 5 and 10 nodes are one cluster within 1.0, 1.5 and 2.0 s of the last start, and so are 20 and
/// 30 within 2.0 s.
#[test]
fn nodes_are_one_cluster_soon_after_the_last_start() {
    for (machines, limit_ms) in [(3, 1_000), (5, 1_500), (10, 2_000), (20, 2_000), (30, 2_000)] {
        let took = simulate(machines as u64, async |dice| {
            let start = now();
            let cluster = form(machines, dice).await;
            start.elapsed() - cluster.last_start()
        });
        println!("{machines} nodes are one cluster after {took:?}");
        assert!(took <= Duration::from_millis(limit_ms), "{took:?}");
    }
}

/// Goal: a crash is seen by all within 2 s, and who comes back to its place is back within 0.6 s,
/// whether the others had missed it or not.
#[test]
fn all_soon_see_a_crash_and_a_restart_in_the_same_place() {
    for (machines, rounds) in [(3, 12), (10, 8), (30, 3)] {
        let worst = simulate(machines as u64, async |mut dice: Dice| {
            let cluster = form(machines, Dice::new(dice.below(u64::MAX))).await;
            let all: Vec<_> = (0..machines).collect();
            let mut worst = [Duration::ZERO; 3];
            for _ in 0..rounds {
                tokio::time::sleep(dice.between(Duration::ZERO, PATIENCE / 10)).await;
                let victim = dice.pick(&all);
                let others: Vec<_> = all.iter().copied().filter(|it| *it != victim).collect();
                cluster.crash(victim);
                let missed =
                    until("it is missed", PATIENCE, || cluster.see_each_other(&others)).await;
                let returned = restart(&cluster, victim, &all).await;
                tokio::time::sleep(dice.between(Duration::ZERO, PATIENCE / 10)).await;
                let victim = dice.pick(&all);
                cluster.crash(victim);
                let replaced = restart(&cluster, victim, &all).await;
                for (worst, took) in worst.iter_mut().zip([missed, returned, replaced]) {
                    *worst = took.max(*worst);
                }
            }
            worst
        });
        let [missed, returned, replaced] = worst;
        println!("{machines} nodes: missed {missed:?}, back {returned:?}, replaced {replaced:?}");
        assert!(missed <= CRASH, "{missed:?}");
        assert!(returned.max(replaced) <= RESTART, "{returned:?} {replaced:?}");
    }
}

/// Starts a machine again, and says how long it takes until it is one of them all.
async fn restart(cluster: &Cluster, machine: usize, all: &[usize]) -> Duration {
    let start = now();
    cluster.start(machine).await;
    until("it is back", PATIENCE, || cluster.see_each_other(all)).await;
    start.elapsed()
}

#[test]
fn all_see_at_once_that_a_node_leaves() {
    for machines in [3, 10, 30] {
        let took = simulate(machines as u64, async |dice| {
            let cluster = form(machines, dice).await;
            tokio::time::sleep(PATIENCE / 10).await;
            let others: Vec<_> = (1..machines).collect();
            let is_seen = || cluster.see_each_other(&others);
            let seen = until("it is seen to leave", PATIENCE, is_seen);
            tokio::join!(cluster.leave(0), seen).1
        });
        println!("{machines} nodes: a leave is seen after {took:?}");
        assert!(took <= LEAVE, "{took:?}");
    }
}
