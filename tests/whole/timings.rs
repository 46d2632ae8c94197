//! How soon all know what has become of one another, in virtual time.

use std::time::Duration;

use super::{
    cluster::{Cluster, until},
    crowd::Crowd,
    dice::Dice,
    net::Weather,
    now, simulate, variable, wall,
};

/// How long anything may take in virtual time, before it is said how long it took.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long what is measured may take.
const CRASH: Duration = Duration::from_secs(2);
const RESTART: Duration = Duration::from_millis(600);
const LEAVE: Duration = Duration::from_millis(300);
const SPLIT: Duration = Duration::from_millis(2_500);
const HEAL: Duration = Duration::from_secs(2);
const CONVERGE: Duration = Duration::from_secs(1);

/// After how long gossip has forgotten the dead, and some time more.
const FORGOTTEN: Duration = Duration::from_secs(13 * 60);

/// How soon who has been forgotten is heard of: by the next beacon, which is 12 s away at the most.
const FOUND: Duration = Duration::from_secs(14);

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

/// Goal: a partition is seen within 2.5 s and is healed within 2 s of its end; a second later all know
/// the same, of many sessions too, some of which came and went on both sides.
#[test]
fn a_partition_is_seen_and_healed_and_all_know_the_same_again() {
    let asked = variable("SESSIONS").map(|sessions| sessions as usize);
    let sessions = asked.unwrap_or(2_000);
    for (machines, rounds) in [(2, 8), (4, 4), (10, 1), (20, 1)] {
        let rounds = if asked.is_some() { 1 } else { rounds };
        // Each machine keeps all of them, so that more machines have fewer each.
        let each = sessions * 4 / (machines * machines.max(4));
        let begun = wall();
        let worst = simulate(machines as u64, async |mut dice: Dice| {
            let cluster = form(machines, Dice::new(dice.below(u64::MAX))).await;
            let mut crowds = Vec::new();
            for machine in 0..machines {
                let mut crowd = Crowd::new(cluster.node(machine));
                crowd.come(each).await;
                crowds.push(crowd);
            }
            until("all know all", PATIENCE, || cluster.differs().is_none()).await;
            let mut worst = [Duration::ZERO; 3];
            for _ in 0..rounds {
                let lasts = dice.between(PATIENCE / 2, PATIENCE);
                let took = split_and_heal(&cluster, &mut crowds, lasts).await;
                worst = std::array::from_fn(|at| worst[at].max(took[at]));
            }
            worst
        });
        let [seen, healed, converged] = worst;
        println!(
            "{machines} nodes, {} sessions: seen {seen:?}, healed {healed:?}, the same {converged:?} \
             later; {:?} of work",
            each * machines,
            begun.elapsed(),
        );
        assert!(seen <= SPLIT, "{seen:?}");
        assert!(healed <= HEAL, "{healed:?}");
        assert!(converged <= CONVERGE, "{converged:?}");
    }
}

/// Goal: two sides that have long forgotten each other are one cluster soon after they can be, as
/// beacons go on for ever.
///
/// Method: split them for longer than the ten minutes that gossip remembers the dead.
#[test]
fn two_sides_that_have_forgotten_each_other_are_one_again() {
    let healed = simulate(7, async |dice: Dice| {
        let cluster = form(4, dice).await;
        let (these, those) = ([0, 1], [2, 3]);
        cluster.net.split(&these, &those);
        let is_seen = || cluster.see_each_other(&these) && cluster.see_each_other(&those);
        until("the partition is seen", PATIENCE, is_seen).await;
        tokio::time::sleep(FORGOTTEN).await;
        cluster.net.heal();
        until("they are one again", PATIENCE, || cluster.see_each_other(&[0, 1, 2, 3])).await
    });
    println!("healed {healed:?} after the end of a partition of {FORGOTTEN:?}");
    assert!(healed <= FOUND, "{healed:?}");
}

/// Splits a cluster in halves for as long as it `lasts`, in which clients come and go and are published
/// to on both sides, and heals it. Says how long it takes until that is seen, until it is healed,
/// and from then on until all know the same.
async fn split_and_heal(cluster: &Cluster, crowds: &mut [Crowd], lasts: Duration) -> [Duration; 3] {
    let all: Vec<_> = (0..crowds.len()).collect();
    let (these, those) = all.split_at(crowds.len() / 2);
    cluster.net.split(these, those);
    let is_seen = || cluster.see_each_other(these) && cluster.see_each_other(those);
    let seen = until("the partition is seen", PATIENCE, is_seen).await;
    for crowd in crowds {
        crowd.change().await;
    }
    tokio::time::sleep(lasts).await;
    cluster.net.heal();
    let is_whole = || cluster.see_each_other(&all);
    let healed = until("the partition is healed", PATIENCE, is_whole).await;
    let is_even = || cluster.differs().is_none();
    [seen, healed, until("all know the same", PATIENCE, is_even).await]
}

/// Goal: nodes that have nothing to say cost little: 12 KB/s each where there are ten.
#[test]
fn idle_nodes_say_little() {
    for (machines, limit_bytes) in [(3, 12_000), (10, 12_000)] {
        let seconds = 30;
        let bytes = simulate(machines as u64, async |dice| {
            let cluster = form(machines, dice).await;
            tokio::time::sleep(PATIENCE).await;
            let before = cluster.net.trace();
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            cluster.net.trace().bytes_since(before)
        });
        let each = bytes / seconds / machines as u64;
        println!("{machines} nodes: each says {each} B/s when idle");
        assert!(each <= limit_bytes, "{each}");
    }
}
