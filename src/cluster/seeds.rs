//! Seeds: hosts that are looked up again and again, since names of nodes that come and go change.

mod seed;

use std::time::{Duration, Instant};

use tokio::{
    net::lookup_host,
    time::{sleep_until, timeout},
};
use tracing::debug_span;

use crate::{
    cluster::{scout::Scout, warnings::Offence},
    runtime::clock,
};

pub(crate) use seed::{InvalidSeed, Seed};

/// Starts to look up the seeds, until the node ends.
///
/// A node that is alone looks often; with peers, it looks now and then, in case the cluster is in two
/// parts.
pub(crate) fn start(seeds: Vec<Seed>, scout: Scout) {
    if !seeds.is_empty() {
        let tasks = scout.tasks.clone();
        tasks.spawn(debug_span!("seeds"), run(seeds, scout));
    }
}

async fn run(seeds: Vec<Seed>, scout: Scout) {
    let (tasks, mut members) = (scout.tasks.clone(), scout.members.clone());
    let mut pace = Pace::new(clock::now());
    loop {
        let due = pace.poll_timeout();
        tokio::select! {
            biased;
            () = tasks.cancelled() => return,
            changed = members.changed() => match changed {
                Ok(()) => {
                    let has_peer = members.borrow_and_update().len() > 1;
                    pace.handle_peer(has_peer, clock::now());
                }
                Err(_) => return,
            },
            () = sleep_until(due.into()) => {
                tokio::select! {
                    () = tasks.cancelled() => return,
                    () = look_up(&seeds, &scout) => pace.handle_looked_up(clock::now()),
                }
            }
        }
    }
}

/// Looks all seeds up, one after the other.
async fn look_up(seeds: &[Seed], scout: &Scout) {
    for seed in seeds {
        for port in seed.ports() {
            let found = match timeout(LOOKUP_PATIENCE, lookup_host((seed.host(), port))).await {
                Ok(Ok(found)) => found,
                Ok(Err(error)) => {
                    scout.warnings.note(Offence::Lookup, seed, error);
                    break;
                }
                Err(late) => {
                    scout.warnings.note(Offence::Lookup, seed, late);
                    break;
                }
            };
            found.take(MAX_ADDRS).for_each(|addr| scout.tell(None, addr));
        }
    }
}

/// How often seeds are looked up.
#[derive(Debug)]
struct Pace {
    due: Instant,
    /// Since when there has been no peer, or nothing if there is one.
    alone_since: Option<Instant>,
}

impl Pace {
    fn new(now: Instant) -> Self {
        Self { due: now, alone_since: Some(now) }
    }

    fn handle_looked_up(&mut self, now: Instant) {
        self.due = now + self.pause(now);
    }

    /// Whether there is a peer may have changed.
    fn handle_peer(&mut self, has_peer: bool, now: Instant) {
        match (has_peer, self.alone_since) {
            (true, _) => self.alone_since = None,
            (false, Some(_)) => {}
            (false, None) => {
                self.alone_since = Some(now);
                self.due = self.due.min(now + self.pause(now));
            }
        }
    }

    fn poll_timeout(&self) -> Instant {
        self.due
    }

    fn pause(&self, now: Instant) -> Duration {
        match self.alone_since {
            None => WITH_PEERS,
            Some(since) if now.duration_since(since) < EAGER_FOR => EAGER,
            Some(_) => ALONE,
        }
    }
}

/// The pause between lookups while a node has just become alone.
const EAGER: Duration = Duration::from_secs(1);

/// How long that lasts.
const EAGER_FOR: Duration = Duration::from_secs(10);

/// The pause between lookups of a node that has been alone for longer.
const ALONE: Duration = Duration::from_secs(10);

/// The pause between lookups of a node that has peers.
const WITH_PEERS: Duration = Duration::from_secs(60);

/// How long one lookup may take.
const LOOKUP_PATIENCE: Duration = Duration::from_secs(5);

/// How many addresses of one name are told.
const MAX_ADDRS: usize = 64;

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::cluster::Sighting;

    fn seeds(texts: &[&str]) -> Vec<Seed> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    async fn next(heard: &mut mpsc::Receiver<Sighting>) -> String {
        let sighting = timeout(Duration::from_secs(10), heard.recv()).await;
        sighting.expect("a sighting within ten seconds").expect("the task runs").addr.to_string()
    }

    #[tokio::test]
    async fn an_address_is_told_with_its_port_or_all_usual_ones() {
        let (scout, mut heard, _members) = Scout::for_tests();
        let tasks = scout.tasks.clone();
        let seeds = seeds(&["127.0.0.9:7", "no-such-host.invalid", "[::1]:8", "127.0.0.8"]);
        start(seeds, scout);
        assert_eq!(next(&mut heard).await, "127.0.0.9:7");
        assert_eq!(next(&mut heard).await, "[::1]:8");
        for port in 5701..=5703 {
            assert_eq!(next(&mut heard).await, format!("127.0.0.8:{port}"));
        }
        assert_eq!(next(&mut heard).await, "127.0.0.9:7", "and again");
        tasks.shutdown(Duration::from_secs(1)).await;
    }

    #[tokio::test]
    async fn without_seeds_nothing_runs() {
        let (scout, mut heard, _members) = Scout::for_tests();
        start(Vec::new(), scout);
        assert_eq!(heard.recv().await, None);
    }

    #[test]
    fn a_node_alone_looks_often_and_then_less_so() {
        let start = clock::now();
        let mut pace = Pace::new(start);
        let mut at = Vec::new();
        for _ in 0..13 {
            let due = pace.poll_timeout();
            at.push((due - start).as_secs());
            pace.handle_looked_up(due);
        }
        assert_eq!(at, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 30]);
    }

    #[test]
    fn a_node_with_peers_looks_seldom_until_it_loses_them() {
        let start = clock::now();
        let mut pace = Pace::new(start);
        pace.handle_peer(true, start);
        pace.handle_looked_up(start);
        assert_eq!(pace.poll_timeout(), start + WITH_PEERS);
        let lost = start + Duration::from_secs(30);
        pace.handle_peer(false, lost);
        assert_eq!(pace.poll_timeout(), lost + EAGER);
        pace.handle_peer(false, lost + EAGER);
        assert_eq!(pace.poll_timeout(), lost + EAGER);
    }
}
