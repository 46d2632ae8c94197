//! What is looked up again and again: seeds, since names of nodes that come and go change, and what
//! the application finds in a way of its own.

mod seed;

use std::{
    error::Error,
    fmt,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    net::lookup_host,
    time::{sleep_until, timeout},
};
use tracing::debug_span;

use crate::{
    cluster::{
        discovery::{Boxed, Found},
        scout::Scout,
        warnings::Offence,
    },
    runtime::clock,
};

pub(crate) use seed::{InvalidSeed, Seed};

/// What can be looked up.
#[derive(Clone)]
pub(crate) enum Source {
    Seed(Seed),
    Own(Arc<dyn Boxed>),
}

/// Starts to look up each of the sources, until the node ends.
///
/// A node that is alone looks often; with peers, it looks now and then, in case the cluster is in two
/// parts.
pub(crate) fn start(sources: Vec<Source>, scout: &Scout) {
    for source in sources {
        scout.tasks.spawn(debug_span!("seed", %source), run(source, scout.clone()));
    }
}

async fn run(source: Source, scout: Scout) {
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
                    () = look_up(&source, &scout) => pace.handle_looked_up(clock::now()),
                }
            }
        }
    }
}

async fn look_up(source: &Source, scout: &Scout) {
    let found = timeout(LOOKUP_PATIENCE, source.addrs()).await;
    match found.map_err(Into::into).flatten() {
        Ok(found) => found.into_iter().take(MAX_ADDRS).for_each(|addr| scout.tell(None, addr)),
        Err(error) => scout.warnings.note(Offence::Lookup, source, error),
    }
}

impl Source {
    fn addrs(&self) -> Found {
        match self {
            Self::Seed(seed) => Box::pin(addrs_of(seed.clone())),
            Self::Own(own) => Arc::clone(own).addresses(),
        }
    }
}

async fn addrs_of(seed: Seed) -> Result<Vec<SocketAddr>, Box<dyn Error + Send + Sync>> {
    let mut found = Vec::new();
    for port in seed.ports() {
        found.extend(lookup_host((seed.host(), port)).await?);
    }
    Ok(found)
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seed(seed) => seed.fmt(f),
            Self::Own(_) => f.write_str("the application's own discovery"),
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

/// How many addresses of one source are told.
const MAX_ADDRS: usize = 64;

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::cluster::{Discover, Sighting};

    fn seed(text: &str) -> Source {
        Source::Seed(text.parse().unwrap())
    }

    async fn next(heard: &mut mpsc::Receiver<Sighting>) -> String {
        let sighting = timeout(Duration::from_secs(10), heard.recv()).await;
        sighting.expect("a sighting within ten seconds").expect("the task runs").addr.to_string()
    }

    #[tokio::test]
    async fn an_address_is_told_with_its_port_or_all_usual_ones_again_and_again() {
        for (text, addrs) in [
            ("127.0.0.9:7", &["127.0.0.9:7"][..]),
            ("[::1]:8", &["[::1]:8"]),
            ("127.0.0.8", &["127.0.0.8:5701", "127.0.0.8:5702", "127.0.0.8:5703"]),
        ] {
            let (scout, mut heard, _members) = Scout::for_tests();
            start(vec![seed("no-such-host.invalid"), seed(text)], &scout);
            for addr in addrs.repeat(2) {
                assert_eq!(next(&mut heard).await, addr);
            }
            scout.tasks.shutdown(Duration::from_secs(1)).await;
        }
    }

    /// Goal: what an application finds is told, also after it could find nothing.
    #[tokio::test]
    async fn a_way_of_the_applications_own_is_asked_again_and_again() {
        struct Own(std::sync::atomic::AtomicU16);
        impl Discover for Own {
            async fn addresses(&self) -> Result<Vec<SocketAddr>, Box<dyn Error + Send + Sync>> {
                match self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
                    1 => Err("just now it cannot be asked".into()),
                    asked => Ok(vec![([127, 0, 0, 1], asked + 1).into(); 2]),
                }
            }
        }
        let (scout, mut heard, _members) = Scout::for_tests();
        start(vec![Source::Own(Arc::new(Own(0.into())))], &scout);
        for addr in ["127.0.0.1:1", "127.0.0.1:1", "127.0.0.1:3", "127.0.0.1:3"] {
            assert_eq!(next(&mut heard).await, addr);
        }
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
