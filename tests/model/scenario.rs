//! What a scenario is: what may happen, how often, and what is taken out of the design.

use std::fmt;

use exosphere::proto::Durability;

/// What may happen, and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    /// By which it is asked for.
    pub(crate) name: &'static str,
    /// What it is about.
    pub(crate) what: &'static str,
    /// Which nodes are there from the start, a bit for each.
    pub(crate) first: u8,
    /// How many pushes the client makes.
    pub(crate) pushes: u8,
    /// How many of them may wait for their acknowledgement.
    pub(crate) window: u8,
    /// How many sessions read the topic from the start.
    pub(crate) readers: u8,
    /// How well a push is stored before it is acknowledged.
    pub(crate) durability: Durability,
    /// How many nodes die.
    pub(crate) crashes: u8,
    /// How many dead nodes are started again, with their disk.
    pub(crate) restarts: u8,
    /// How often a reader goes to another node though its own is well.
    pub(crate) moves: u8,
    /// How often the client that pushes does.
    pub(crate) push_moves: u8,
    /// How often all links of a node are cut.
    pub(crate) cuts: u8,
    /// How many messages the application publishes by itself.
    pub(crate) says: u8,
    /// How many sessions join later.
    pub(crate) joins: u8,
    /// How many sessions are given up while their client is away.
    pub(crate) expiries: u8,
    /// How many messages a log holds. 0 is no limit.
    pub(crate) log_limit: u8,
    /// Whether journals are kept only for those that lack something: others get a snapshot.
    pub(crate) short_tails: bool,
    /// Whether messages are kept until joins that are on their way are here.
    pub(crate) floor: bool,
    /// Whether the death of a node is noticed by each of the others in its own time.
    pub(crate) slow_notice: bool,
    /// Whether readers read at once, so that there is less to tell apart.
    pub(crate) eager: bool,
    /// What is taken out of the design.
    pub(crate) broken: Option<Break>,
    /// What must be found broken. Without any, all must hold.
    pub(crate) finds: Option<&'static str>,
    /// Whether something that was acknowledged is lost in it, beyond what was promised.
    pub(crate) loses: bool,
}

impl Scenario {
    /// The scenario that the others differ from: three nodes, two pushes, one reader, and a push is
    /// on two nodes before it is acknowledged.
    pub(crate) const fn new(name: &'static str, what: &'static str) -> Self {
        Self {
            name,
            what,
            first: 0b111,
            pushes: 2,
            window: 1,
            readers: 1,
            durability: Durability::Replicated(1),
            crashes: 0,
            restarts: 0,
            moves: 0,
            push_moves: 0,
            cuts: 0,
            says: 0,
            joins: 0,
            expiries: 0,
            log_limit: 0,
            short_tails: false,
            floor: false,
            slow_notice: false,
            eager: false,
            broken: None,
            finds: None,
            loses: false,
        }
    }

    /// Without this part of the design, that rule must be found broken.
    pub(crate) const fn without(self, broken: Break, finds: &'static str) -> Self {
        Self { broken: Some(broken), finds: Some(finds), ..self }
    }

    /// More happens than is promised to be survived: that rule must be found broken.
    pub(crate) const fn beyond(self, finds: &'static str) -> Self {
        Self { finds: Some(finds), ..self }
    }

    /// More die than have what is acknowledged, as the client was told.
    pub(crate) const fn losing(self) -> Self {
        Self { loses: true, ..self }
    }

    /// Whether the design lacks this.
    pub(crate) fn lacks(&self, part: Break) -> bool {
        self.broken == Some(part)
    }

    /// Whether a message may go that nobody has read.
    pub(crate) fn may_lose(&self) -> bool {
        self.log_limit > 0
    }
}

/// A part of the design that is taken out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Break {
    /// What a client is given counts as what it has.
    Confirmation,
    /// The dead no longer count as having stored a push.
    LiveCopies,
    /// A client shows one message for each cause.
    Causes,
    /// What a client says on one node follows what it said on another.
    Follows,
    /// A takeover brings the pushes, not only their numbers.
    WholePushes,
    /// A journal is kept until all live nodes have it.
    Stability,
    /// A push is accepted once.
    Inbox,
    /// What a handler published before its node died is not published again.
    Effects,
    /// A node that takes over waits for what the last owner did.
    Takeover,
    /// What a handler does after its session went elsewhere comes before what is told there next.
    LateHandlers,
    /// A log keeps what not all sessions have.
    Settled,
    /// A log remembers what it lost.
    Lost,
    /// A snapshot tells what was lost.
    LostInSnapshots,
    /// What only the dead had is waited for no longer.
    GivingUp,
    /// That a handler has returned does not count where what it did is given up.
    GivenUpToo,
    /// A push is on the disk before it is acknowledged.
    Sync,
    /// A log keeps what all have until joins on their way are here.
    Floor,
    /// A session is told that it is over.
    Telling,
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<3} {:<66}", self.name, self.what)
    }
}
