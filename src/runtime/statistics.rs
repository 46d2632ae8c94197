//! What a node counts, so that it can be watched.
//!
//! Counters are atomics that are added to without order, by whoever does what is counted, and read
//! when somebody asks. What happens at each delivery is counted by the core, which is locked then
//! anyway. Latencies are samples: one delivery in [`SAMPLE_EVERY`], and a published message every
//! [`SETTLED_EVERY`].

mod browser;
mod histogram;

use std::{
    sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

pub use browser::Browser;
pub(crate) use histogram::Histogram;
pub use histogram::Times;

use super::clock;
use crate::{
    connection::Transport,
    proto::{CloseReason, Detachment},
};

/// Of how many wake-ups of a connection one is looked at, how long its first message took.
pub(super) const SAMPLE_EVERY: u32 = 16;

/// How often a published message is looked at, how long it takes until all have it.
pub(super) const SETTLED_EVERY: Duration = Duration::from_millis(250);

/// How many messages are watched at a time until all have them. At the limit no further one is.
pub(super) const MAX_SETTLING: usize = 16;

/// What a node counts.
#[derive(Debug)]
pub(crate) struct Counters {
    is_on: AtomicBool,
    /// By transport; last, bare WebSockets.
    open: [AtomicI64; KINDS],
    opened: [AtomicU64; KINDS],
    /// By why.
    detached: [AtomicU64; WHYS.len()],
    browsers: [AtomicU64; Browser::ALL.len()],
    requests: AtomicU64,
    received: AtomicU64,
    refused: AtomicU64,
    begun: AtomicU64,
    closed: [AtomicU64; REASONS.len()],
    parked: AtomicI64,
    pub(super) delivery: Histogram,
    pub(super) settled: Histogram,
    handler: Histogram,
}

/// How many ways there are to be connected.
const KINDS: usize = Transport::ALL.len() + 1;

const WHYS: [Detachment; 8] = [
    Detachment::Left,
    Detachment::Lost,
    Detachment::NodeDied,
    Detachment::NodeLeft,
    Detachment::Resumed,
    Detachment::Slow,
    Detachment::Violation,
    Detachment::Other,
];

/// What ended a session.
const REASONS: [&str; 4] = ["abandoned", "application", "client", "other"];

impl Default for Counters {
    fn default() -> Self {
        Self {
            is_on: AtomicBool::new(true),
            open: Default::default(),
            opened: Default::default(),
            detached: Default::default(),
            browsers: Default::default(),
            requests: AtomicU64::default(),
            received: AtomicU64::default(),
            refused: AtomicU64::default(),
            begun: AtomicU64::default(),
            closed: Default::default(),
            parked: AtomicI64::default(),
            delivery: Histogram::default(),
            settled: Histogram::default(),
            handler: Histogram::default(),
        }
    }
}

impl Counters {
    /// Counts from now on, or no longer. What is open now is counted in any case.
    pub(super) fn switch(&self, on: bool) {
        self.is_on.store(on, Relaxed);
    }

    pub(crate) fn is_on(&self) -> bool {
        self.is_on.load(Relaxed)
    }

    /// A client is connected; by a bare WebSocket, if by no transport.
    pub(crate) fn opened(&self, transport: Option<Transport>) {
        self.open[kind_of(transport)].fetch_add(1, Relaxed);
        self.count(&self.opened[kind_of(transport)]);
    }

    /// A client that was connected is no longer.
    pub(crate) fn ended(&self, transport: Option<Transport>) {
        self.open[kind_of(transport)].fetch_sub(1, Relaxed);
    }

    /// A session's connection is gone, for this reason.
    pub(super) fn detached(&self, why: Detachment) {
        if let Some(at) = WHYS.iter().position(|it| *it == why) {
            self.count(&self.detached[at]);
        }
    }

    /// A client says what it is, as it connects.
    pub(crate) fn told(&self, user_agent: Option<&str>) {
        if self.is_on() {
            let browser = Browser::of(user_agent);
            let at = Browser::ALL.iter().position(|it| *it == browser);
            at.into_iter().for_each(|at| self.count(&self.browsers[at]));
        }
    }

    /// A client made a request.
    pub(crate) fn requested(&self) {
        self.count(&self.requests);
    }

    /// A client sent a message.
    pub(crate) fn received(&self) {
        self.count(&self.received);
    }

    /// A filter did not let a message be published.
    pub(crate) fn refused(&self) {
        self.count(&self.refused);
    }

    /// A session began here.
    pub(super) fn begun(&self) {
        self.count(&self.begun);
    }

    /// A session is over whose handler this node tells.
    pub(super) fn closed(&self, reason: CloseReason) {
        self.count(
            &self.closed[match reason {
                CloseReason::Abandoned(_) => 0,
                CloseReason::Application => 1,
                CloseReason::Client => 2,
                CloseReason::Other => 3,
            }],
        );
    }

    /// A poll waits for something to be said.
    pub(crate) fn park(&self) {
        self.parked.fetch_add(1, Relaxed);
    }

    /// A poll waits no longer.
    pub(crate) fn unpark(&self) {
        self.parked.fetch_sub(1, Relaxed);
    }

    /// A handler is about to be told something.
    pub(crate) fn begin_call(&self) -> Option<Instant> {
        self.is_on().then(clock::now)
    }

    /// A handler has returned.
    pub(crate) fn end_call(&self, began: Option<Instant>) {
        if let Some(began) = began {
            self.handler.record(clock::now() - began);
        }
    }

    /// How many clients are connected, by transport.
    pub(crate) fn open(&self) -> impl Iterator<Item = (Option<Transport>, u64)> {
        let kinds = Transport::ALL.into_iter().map(Some).chain([None]);
        kinds.zip(self.open.iter().map(|open| open.load(Relaxed).max(0) as u64))
    }

    /// All of it, but for what the core counts.
    pub(super) fn read(&self) -> Statistics {
        let of = |counter: &AtomicU64| counter.load(Relaxed);
        let connections = self
            .open()
            .zip(&self.opened)
            .map(|((transport, open), total)| Connections { transport, open, total: of(total) });
        let detached =
            |why| WHYS.iter().position(|it| *it == why).map_or(0, |at| of(&self.detached[at]));
        Statistics {
            connections: connections.collect(),
            detached: WHYS.map(|why| (why, detached(why))).to_vec(),
            browsers: Browser::ALL.into_iter().zip(self.browsers.iter().map(of)).collect(),
            requests: of(&self.requests),
            received: of(&self.received),
            refused: of(&self.refused),
            sessions_begun: of(&self.begun),
            sessions_closed: REASONS.into_iter().zip(self.closed.iter().map(of)).collect(),
            parked_polls: self.parked.load(Relaxed).max(0) as u64,
            delivery: self.delivery.times(),
            settled: self.settled.times(),
            handler: self.handler.times(),
            ..Statistics::default()
        }
    }

    fn count(&self, counter: &AtomicU64) {
        if self.is_on() {
            counter.fetch_add(1, Relaxed);
        }
    }
}

fn kind_of(transport: Option<Transport>) -> usize {
    Transport::ALL.iter().position(|it| Some(*it) == transport).unwrap_or(Transport::ALL.len())
}

/// What a node has counted since it was started, as long as that was
/// [switched on](crate::Node::count_statistics).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Statistics {
    /// The connections of clients, by transport.
    pub connections: Vec<Connections>,
    /// How many connections of sessions came to an end, by why. Who [left](Detachment::Left), or was
    /// sent to [another node](Detachment::NodeLeft), did so cleanly.
    pub detached: Vec<(Detachment, u64)>,
    /// How many clients connected, by what they say they are.
    pub browsers: Vec<(Browser, u64)>,
    /// Requests of clients, upgrades to WebSockets and polls among them.
    pub requests: u64,
    /// Messages of clients that handlers were told of.
    pub received: u64,
    /// Messages that a filter did not let be published on this node.
    pub refused: u64,
    /// Messages that were taken for connections of clients.
    pub given: u64,
    /// Those of them that a filter kept back, and that were handed to nobody.
    pub withheld: u64,
    /// Those of them that clients have confirmed.
    pub confirmed: u64,
    /// How often a client was told of a gap.
    pub gaps: u64,
    /// How often a client that was connected did not read as fast as was published, and was told of a gap
    /// or closed: see [`SlowConsumers`](crate::SlowConsumers).
    pub slow: u64,
    /// Sessions that began on this node.
    pub sessions_begun: u64,
    /// Sessions that are over and whose handler was this node's to tell, by what ended them:
    /// `abandoned`, `application`, `client`, `other`.
    pub sessions_closed: Vec<(&'static str, u64)>,
    /// Polls that wait now.
    pub parked_polls: u64,
    /// How long it took from when this node had a message until it was handed to the connection of a
    /// client that was connected all the while. One wake-up in 16 is looked at.
    pub delivery: Times,
    /// How long it took from when a message was published on this node until every session that was to
    /// get it had it or was gone. A message every quarter of a second is looked at.
    pub settled: Times,
    /// How long handlers took for what they were told.
    pub handler: Times,
}

impl Statistics {
    /// How many messages were handed to connections of clients.
    pub fn delivered(&self) -> u64 {
        self.given.saturating_sub(self.withheld)
    }

    /// How many connections ended well: the client left, or was sent to another node, or to come anew.
    pub fn clean(&self) -> u64 {
        self.ended(|why| {
            matches!(why, Detachment::Left | Detachment::NodeLeft | Detachment::Resumed)
        })
    }

    /// How many connections ended otherwise.
    pub fn dirty(&self) -> u64 {
        self.ended(|why| {
            !matches!(why, Detachment::Left | Detachment::NodeLeft | Detachment::Resumed)
        })
    }

    fn ended(&self, which: impl Fn(Detachment) -> bool) -> u64 {
        self.detached.iter().filter(|(why, _)| which(*why)).map(|(_, count)| count).sum()
    }
}

/// The connections of clients by one transport.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Connections {
    /// Which; `None` for bare WebSockets.
    pub transport: Option<Transport>,
    /// How many are open. A client that polls has one between two polls, too.
    pub open: u64,
    /// How many there were.
    pub total: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_is_counted_also_while_nothing_else_is() {
        let counters = Counters::default();
        counters.opened(Some(Transport::Grpc));
        counters.switch(false);
        counters.opened(Some(Transport::Grpc));
        counters.opened(None);
        counters.ended(Some(Transport::Grpc));
        counters.detached(Detachment::Lost);
        counters.requested();
        assert_eq!(counters.begin_call(), None);
        counters.switch(true);
        counters.detached(Detachment::Left);
        counters.detached(Detachment::Slow);
        let read = counters.read();
        let of = |transport| {
            let found = read.connections.iter().find(|it| it.transport == transport).unwrap();
            (found.open, found.total)
        };
        assert_eq!(of(Some(Transport::Grpc)), (1, 1));
        assert_eq!(of(None), (1, 0));
        assert_eq!((read.clean(), read.dirty(), read.requests), (1, 1, 0));
    }
}
