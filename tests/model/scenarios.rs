//! All scenarios, with what is expected of each.

use exosphere::proto::Durability;

use crate::{
    rules::*,
    scenario::{Break, Scenario},
};

/// One crash, and one move of the reader.
const BASE: Scenario = Scenario { crashes: 1, moves: 1, ..Scenario::new("", "") };

/// The client that pushes moves.
const MOVE: Scenario = Scenario { push_moves: 1, eager: true, ..Scenario::new("", "") };

/// It moves, the reader moves, and a node dies.
const BOTH: Scenario = Scenario { pushes: 1, push_moves: 1, eager: true, ..BASE };

/// A push is stored on three nodes.
const THREE: Scenario = Scenario {
    durability: Durability::Replicated(2),
    crashes: 2,
    eager: true,
    ..Scenario::new("", "")
};

/// A push is stored on one node.
const ALONE: Scenario =
    Scenario { durability: Durability::Local, crashes: 1, ..Scenario::new("", "") };

/// The links of a node are cut, and each side takes the other for dead.
const CUT: Scenario = Scenario { cuts: 1, push_moves: 1, eager: true, ..Scenario::new("", "") };

/// The same, but each node takes others for dead in its own time, or not at all.
const DOUBT: Scenario = Scenario { pushes: 1, slow_notice: true, ..CUT };

/// The application publishes on both sides of a cut.
const SIDES: Scenario = Scenario { pushes: 1, says: 1, push_moves: 0, moves: 1, ..CUT };

/// Who was cut off lacks what the journals no longer hold.
const SNAPSHOT: Scenario = Scenario { short_tails: true, ..SIDES };

/// The same, with a log that holds one message.
const LOST_SNAPSHOT: Scenario = Scenario { log_limit: 1, says: 2, eager: false, ..SNAPSHOT };

/// A session joins late.
const JOIN: Scenario = Scenario {
    pushes: 1,
    says: 1,
    readers: 0,
    joins: 1,
    moves: 1,
    floor: true,
    ..Scenario::new("", "")
};

/// A client is away for too long.
const EXPIRY: Scenario = Scenario { expiries: 1, ..Scenario::new("", "") };

/// A push that was accepted on one node dies with it, and with the one that followed it.
const DEAD_CAUSE: Scenario = Scenario {
    pushes: 1,
    readers: 0,
    durability: Durability::Local,
    push_moves: 1,
    crashes: 2,
    eager: true,
    ..Scenario::new("", "")
};

/// One node with a disk, which dies and is started again.
const DISK: Scenario = Scenario {
    first: 0b001,
    durability: Durability::Disk,
    crashes: 2,
    restarts: 2,
    eager: true,
    ..Scenario::new("", "")
};

/// One of two nodes dies, and is started again.
const PAIR: Scenario = Scenario { first: 0b011, pushes: 1, crashes: 1, restarts: 1, ..DISK };

/// A log holds one message.
const FULL: Scenario =
    Scenario { log_limit: 1, pushes: 1, says: 1, moves: 1, ..Scenario::new("", "") };

const fn named(name: &'static str, what: &'static str, scenario: Scenario) -> Scenario {
    Scenario { name, what, ..scenario }
}

/// What is expected of the design.
pub(crate) const SCENARIOS: &[Scenario] = &[
    named("A", "one node dies, the reader moves", BASE),
    named("E", "a push is on three nodes, and two die", THREE),
    named("H", "the client that pushes moves", MOVE),
    named("I", "one node dies, both clients move", BOTH),
    named(
        "K",
        "the client moves from a node that is cut off and lives",
        Scenario { first: 0b011, ..CUT },
    ),
    named("K2", "as K, and each node notices in its own time", DOUBT),
    named("Y", "as K, and one node dies", Scenario { crashes: 1, push_moves: 0, ..CUT }).losing(),
    named("P", "both sides of a cut go on", SIDES),
    named("T", "as P, and who comes back gets a snapshot", SNAPSHOT),
    named("R", "two sessions read, one node dies", Scenario { readers: 2, pushes: 1, ..BASE }),
    named("W", "a session joins while it is published", JOIN),
    named("X", "a session is given up while its client is away", EXPIRY),
    named("Q", "a log is full: the reader is told of a gap", FULL),
    named("U", "what is followed died with the only nodes that had it", DEAD_CAUSE),
    named("V", "the only node dies, twice, and is started with its disk", DISK),
    named("V2", "one of two nodes dies, and is started with its disk", PAIR),
];

/// What must be found if a part of the design is taken out, or too much happens.
pub(crate) const BREAKS: &[Scenario] = &[
    named("B", "what is given counts as what the client has", BASE)
        .without(Break::Confirmation, ACKNOWLEDGED),
    named("C", "a push is on one node, which dies", ALONE).beyond(LOST),
    named("D", "a push is on two nodes, and both die", Scenario { crashes: 2, ..BASE })
        .beyond(LOST),
    named("E-", "the dead count as having stored a push", THREE).without(Break::LiveCopies, KEPT),
    named("F", "a cut, and clients do not go by the cause", CUT).without(Break::Causes, ONCE),
    named("G", "a death, and clients do not go by the cause", BASE).without(Break::Causes, ONCE),
    named("H-", "what a client says elsewhere follows nothing", MOVE)
        .without(Break::Follows, ORDER),
    named("Z", "a takeover brings the numbers of pushes only", BOTH)
        .without(Break::WholePushes, KEPT),
    named(
        "L",
        "a journal is not kept for those that lack it",
        Scenario { short_tails: true, ..BASE },
    )
    .without(Break::Stability, EQUAL),
    named("M", "a push is accepted as often as it comes", MOVE).without(Break::Inbox, ONCE),
    named("N", "what a handler published before is not known", BOTH).without(Break::Effects, ONCE),
    named("O", "a takeover waits for nothing", MOVE).without(Break::Takeover, ORDER),
    named("O2", "a handler of the last owner goes on, and nobody waits for it", MOVE)
        .without(Break::LateHandlers, ORDER),
    named("S", "a log drops what not all have", BASE).without(Break::Settled, TRIMMED),
    named("Q-", "a log does not know what it lost", FULL).without(Break::Lost, TOLD),
    named("T-", "a snapshot does not tell what was lost", LOST_SNAPSHOT)
        .without(Break::LostInSnapshots, TRIMMED),
    named("U-", "what is followed is waited for for ever", DEAD_CAUSE)
        .without(Break::GivingUp, EQUAL),
    named("E2", "what a handler did is given up, and that it returned is not", THREE)
        .without(Break::GivenUpToo, KEPT),
    named("V-", "a push is acknowledged before it is on the disk", DISK).without(Break::Sync, KEPT),
    named("W-", "a log does not wait for joins on their way", JOIN).without(Break::Floor, NEEDLESS),
    named("X-", "nobody tells a client that its session is over", EXPIRY)
        .without(Break::Telling, DELIVERED),
];
