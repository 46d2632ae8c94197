//! The simulator: a cluster in one thread, in which everything that can break does.
//!
//! A run is nodes, which are real [`Core`](super::Core)s, the wires between them, which carry the
//! very bytes that production sends, and clients that come and go. Time is a number, and every
//! chance is drawn from one seed: a run that failed can be had again, as often as one likes.
//!
//! Each run has its own few of all faults, at its own rates: frames that are lost, late, repeated or
//! overtaken; links that are cut, one way or both; partitions; slow links; nodes that crash, leave,
//! start, pause, or are believed to be dead and are not; clients that vanish, connect twice, share a
//! session with another, or never say what they have. Limits are small, so that logs overflow and snapshots are needed.
//!
//! # What is checked
//!
//! After each step, of the node that took it:
//!
//! | name | what holds |
//! |---|---|
//! | S0 recipients | nobody gets what is not for them |
//! | S1 kept | a push is stored on as many nodes as its acknowledgement says, and no fewer deaths lose it |
//! | S2 once | nobody handles what it knows to be handled, nor publishes what it knows to be published for the same cause; who removes duplicates removes nothing else |
//! | S3 order | a client gets the messages of an origin in their order, repeats apart, and what one run of a client pushed in that order |
//! | S4 acknowledged | what a node believes that a client has, the client has, or was told of |
//! | S5 trimmed | what is dropped, all who were to get it have, or will be told of |
//! | S6 forward | positions never go back |
//! | S7 names | an id names one message, for ever |
//! | S8 one home | who has a session's attachment owns it; sessions go when they were closed |
//! | S9 no silent gap | what a client was promised it gets, or is told of |
//! | S10 memory | every queue, log and map keeps to its limit |
//! | S11 receipts | who asks what became of a message is told what is so, once |
//! | S12 accounted | every message that was stored is kept, or was counted as ended, once |
//!
//! And once the faults have stopped and everything has come to rest:
//!
//! | name | what holds |
//! |---|---|
//! | S1 kept | what was acknowledged was handled, and what that led to is not gone |
//! | L1 acknowledged | every push of a client that is there was acknowledged |
//! | L1 handled | no push is open on any node |
//! | L2 delivered | every promise was kept, or the client told |
//! | L3 trimmed | nothing is kept that nobody waits for |
//! | L4 equal | all nodes know the same; every session has one owner, which has its attachment |
//! | L5 over | a session whose client is gone is over, and its handler was told once |
//! | L6 answered | who asked what becomes of a message was told |
//!
//! Pauses are shorter than `dead_kept`. What is not played: disks, clients that poll or post, and clocks
//! that go wrong.
//!
//! A message is promised to a session if the node that published it had applied that the session
//! joined. The promise ends with the session, with the session's leaving before it knew of the
//! message, and with the last node that had the message or the join.

mod blows;
mod clients;
pub(crate) mod dice;
mod explained;
mod faults;
mod ghost;
mod gossip;
mod handlers;
mod links;
mod oracle;
mod pushed;
mod pushers;
mod receipts;
mod settled;
mod trace;
mod withdrawals;
mod world;

use std::{fmt, panic, time::Instant};

use super::{Accounting, Tally};
use trace::Trace;
use world::World;

/// What a run came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// The same for two runs that did the same.
    pub hash: u64,
    /// How many things happened.
    pub steps: u64,
    /// How much of what is to be tested happened.
    pub seen: Seen,
}

/// How often something happened that a simulation is worth little without.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Seen {
    /// Messages that were published.
    pub published: u64,
    /// Messages that clients got.
    pub received: u64,
    /// Pushes that clients made.
    pub pushed: u64,
    /// Acknowledgements of pushes, repeated ones included.
    pub acknowledged: u64,
    /// Pushes that handlers were told of.
    pub handled: u64,
    /// Those among them that another node's handler had been told of.
    pub handled_again: u64,
    /// Gaps that clients were told of.
    pub gaps: u64,
    /// Parts of snapshots that arrived.
    pub snapshot_parts: u64,
    /// Attachments that continued a session.
    pub resumed: u64,
    /// Sessions that ended.
    pub ended: u64,
    /// Nodes that died or left.
    pub died: u64,
    /// Nodes that were believed to be dead and were not.
    pub suspected: u64,
    /// Messages that nodes dropped because nobody fetched them in time.
    pub expired: u64,
    /// Messages that nodes dropped at a limit.
    pub dropped: u64,
    /// Messages that nodes dropped before they heard of a session that was to get them.
    pub unheard: u64,
    /// Messages that nodes dropped because they were taken back.
    pub withdrawn: u64,
}

impl Seen {
    /// What happened in another run happened too.
    pub fn add(&mut self, other: &Self) {
        self.published += other.published;
        self.received += other.received;
        self.pushed += other.pushed;
        self.acknowledged += other.acknowledged;
        self.handled += other.handled;
        self.handled_again += other.handled_again;
        self.gaps += other.gaps;
        self.snapshot_parts += other.snapshot_parts;
        self.resumed += other.resumed;
        self.ended += other.ended;
        self.died += other.died;
        self.suspected += other.suspected;
        self.expired += other.expired;
        self.dropped += other.dropped;
        self.unheard += other.unheard;
        self.withdrawn += other.withdrawn;
    }

    /// A node counted this.
    fn count(&mut self, accounting: &Accounting) {
        let Tally { expired, dropped, .. } = accounting.stored;
        self.expired += expired;
        self.dropped += dropped.total() - dropped.unheard - dropped.withdrawn;
        self.unheard += dropped.unheard;
        self.withdrawn += dropped.withdrawn;
    }
}

/// A run in which something did not hold.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Failure {
    /// The seed, with which it is had again.
    pub seed: u64,
    /// The name of what did not hold.
    pub invariant: &'static str,
    /// What happened instead.
    pub what: String,
    /// The last steps before it, oldest first.
    pub trace: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}: {}: {}", self.seed, self.invariant, self.what)?;
        self.trace.iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}

/// Something does not hold.
#[derive(Debug)]
struct Violation {
    invariant: &'static str,
    what: String,
}

type Checked = Result<(), Violation>;

fn violated(invariant: &'static str, what: String) -> Checked {
    Err(Violation { invariant, what })
}

/// Simulates what `seed` says. `start` is any instant: a run never reads the clock.
///
/// If something does not hold, the run is had again for its last `lines` steps in words.
///
/// # Errors
///
/// [`Failure`] says what did not hold.
pub fn run(seed: u64, start: Instant, lines: usize) -> Result<Summary, Box<Failure>> {
    run_once(seed, start, None).or_else(|_| run_once(seed, start, Some(lines)))
}

fn run_once(seed: u64, start: Instant, lines: Option<usize>) -> Result<Summary, Box<Failure>> {
    let mut world = World::new(seed, start, Trace::new(lines));
    let played = panic::catch_unwind(panic::AssertUnwindSafe(|| world.play()));
    let violation = match played {
        Ok(Ok(())) => return Ok(world.summary()),
        Ok(Err(violation)) => violation,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
            Violation { invariant: "no panic", what: text.unwrap_or_default() }
        }
    };
    let Violation { invariant, what } = violation;
    Err(Box::new(Failure { seed, invariant, what, trace: world.into_trace().into_lines() }))
}
