//! A cluster at one moment, with its clients.

use crate::{
    scenario::Scenario,
    small::{Id, NODES, Op, PLAIN, Place, Row, Text, Upto},
};

/// How many sessions read the topic at most.
pub(crate) const READERS: usize = 2;

/// No node.
pub(crate) const NOWHERE: Place = NODES;

/// What a node writes at most.
const MAX_OPS: usize = 14;

/// How many messages there are at most, those that were published twice among them.
const MAX_MESSAGES: usize = 8;

/// Who takes over, and from whom.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Takeover {
    /// Nothing is taken over.
    None,
    /// The last owner is asked, or it is waited until it is known to be dead.
    Asking(Place),
    /// The last owner has said where its journal ends.
    Waiting(Place, u8),
}

/// A handler, which is told of one push at a time.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Handler {
    Idle,
    /// It was told of this push.
    Told(Text),
    /// It has published what that push leads to.
    Published(Text),
}

/// What a node knows.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Node {
    pub(crate) up: bool,
    /// Whether it has ever been there.
    pub(crate) was: bool,
    /// Whether another process has its disk.
    pub(crate) inherited: bool,
    /// The peers that it takes for live, a bit for each.
    pub(crate) live: u8,
    pub(crate) applied: Upto,
    /// What it was sent, and put off until what that follows is here.
    pub(crate) put_off: Upto,
    /// What of that is on its disk.
    pub(crate) disk: Upto,
    /// From where on it keeps the journals.
    pub(crate) tails: Upto,
    /// The topic's messages, in the order in which it came to know them.
    pub(crate) log: Row<Id, MAX_MESSAGES>,
    /// What of the topic it lost.
    pub(crate) lost: Upto,
    /// What it knows each reader's client to have.
    pub(crate) acknowledged: [Upto; READERS],
    /// The readers that it knows to be members, a bit for each.
    pub(crate) members: u8,
    /// The readers that it knows to be over.
    pub(crate) closed: u8,
    /// Who owns the session of the client that pushes, as far as it knows.
    pub(crate) owner: Place,
    /// How often that session was claimed, as far as it knows.
    pub(crate) epoch: u8,
    pub(crate) takeover: Takeover,
    pub(crate) handler: Handler,
    /// What its journal is said to follow.
    pub(crate) followed: Upto,
    /// From where on what it knows of a journal follows what it has given up, counted from 1.
    pub(crate) given_up: Upto,
    /// Pushes of which it knows only that they were accepted: a break.
    pub(crate) numbers: u8,
}

impl Node {
    pub(crate) fn takes_for_live(&self, peer: Place) -> bool {
        self.live & 1 << peer != 0
    }

    pub(crate) fn has_member(&self, reader: usize) -> bool {
        self.members & !self.closed & 1 << reader != 0
    }
}

/// What goes over a client's connection.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Wire {
    Nothing,
    Message(Id),
    Gap(Upto),
}

/// A client that reads.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Reader {
    /// The node that it is connected to.
    pub(crate) home: Place,
    /// What it has, by number.
    pub(crate) have: Upto,
    /// What it was given on this connection.
    pub(crate) sent: Upto,
    /// What it has shown, in this order.
    pub(crate) shown: Row<Text, MAX_MESSAGES>,
    /// Where it began to read.
    pub(crate) from: Upto,
    /// What it was told to be gone: it continues behind.
    pub(crate) told: Upto,
    pub(crate) wire: Wire,
    /// Whether it has joined.
    pub(crate) joined: bool,
    /// Whether it was told that its session is over.
    pub(crate) over: bool,
}

/// The client that pushes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Pusher {
    pub(crate) home: Place,
    /// How many of its pushes were acknowledged.
    pub(crate) acknowledged: u8,
    /// How many it has sent on this connection, or was acknowledged before.
    pub(crate) sent: u8,
    /// Of each push that it sent on this connection, what of its home's journal is to be stored.
    pub(crate) due: Row<u8, 4>,
    /// Of each push that was acknowledged, how many deaths will still have to be left for it not to
    /// be lost, or `NEVER_LOST`.
    pub(crate) promised: Row<u8, 4>,
}

/// Not even if all die who may.
pub(crate) const NEVER_LOST: u8 = u8::MAX;

/// How often what still may happen.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Left {
    pub(crate) crashes: u8,
    pub(crate) restarts: u8,
    pub(crate) moves: u8,
    pub(crate) push_moves: u8,
    pub(crate) cuts: u8,
    pub(crate) says: u8,
    pub(crate) joins: u8,
    pub(crate) expiries: u8,
}

/// A cluster with its clients.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct State {
    pub(crate) nodes: [Node; NODES],
    /// All that the nodes have ever written.
    pub(crate) journals: [Row<Op, MAX_OPS>; NODES],
    pub(crate) pusher: Pusher,
    pub(crate) readers: [Reader; READERS],
    /// The node all of whose links are cut.
    pub(crate) cut: Place,
    pub(crate) left: Left,
    /// Whether a handler was told of what its node knew to be handled, or published again what its
    /// node knew to be published.
    pub(crate) again: bool,
    /// Whether the client that pushes went on at a node that could not hear of what was acknowledged
    /// elsewhere.
    pub(crate) deaf: bool,
}

impl State {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let node = |place: Place| Node {
            up: scenario.first & 1 << place != 0,
            was: scenario.first & 1 << place != 0,
            inherited: false,
            live: scenario.first & !(1 << place),
            applied: Upto::default(),
            put_off: Upto::default(),
            disk: Upto::default(),
            tails: Upto::default(),
            log: Row::new(Id::default()),
            lost: Upto::default(),
            acknowledged: [Upto::default(); READERS],
            members: (1 << scenario.readers) - 1,
            closed: 0,
            owner: 0,
            epoch: 1,
            takeover: Takeover::None,
            handler: Handler::Idle,
            followed: Upto::default(),
            given_up: Upto::default(),
            numbers: 0,
        };
        let reader = |reader: usize| Reader {
            home: if reader < usize::from(scenario.readers) {
                Self::home_of(scenario)
            } else {
                NOWHERE
            },
            have: Upto::default(),
            sent: Upto::default(),
            shown: Row::new(0),
            from: Upto::default(),
            told: Upto::default(),
            wire: Wire::Nothing,
            joined: reader < usize::from(scenario.readers),
            over: false,
        };
        let pusher =
            Pusher { home: 0, acknowledged: 0, sent: 0, due: Row::new(0), promised: Row::new(0) };
        Self {
            nodes: std::array::from_fn(node),
            journals: [Row::new(Op::Handled(0)); NODES],
            pusher,
            readers: std::array::from_fn(reader),
            cut: NOWHERE,
            left: Left {
                crashes: scenario.crashes,
                restarts: scenario.restarts,
                moves: scenario.moves,
                push_moves: scenario.push_moves,
                cuts: scenario.cuts,
                says: scenario.says,
                joins: scenario.joins,
                expiries: scenario.expiries,
            },
            again: false,
            deaf: false,
        }
    }

    /// Where readers are at first: not where the pushes go, if there is another node.
    fn home_of(scenario: &Scenario) -> Place {
        usize::from(scenario.first & 0b10 != 0)
    }

    /// Whether two nodes can reach each other.
    pub(crate) fn is_linked(&self, a: Place, b: Place) -> bool {
        a != b && self.nodes[a].up && self.nodes[b].up && self.cut != a && self.cut != b
    }

    /// The nodes that are up.
    pub(crate) fn up(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.up)
    }

    /// What a node goes by: that a handler has returned means nothing behind what was given up.
    pub(crate) fn ops_at(&self, place: Place) -> impl Iterator<Item = (Id, Op)> {
        let node = &self.nodes[place];
        self.ops(node.applied).filter(move |&(id, op)| {
            let given_up = node.given_up.get(id.origin());
            let is_void = given_up > 0 && id.seq() + 1 >= given_up;
            !(is_void && matches!(op, Op::Handled(_)))
        })
    }

    /// The operations that are covered, and their names.
    pub(crate) fn ops(&self, upto: Upto) -> impl Iterator<Item = (Id, Op)> {
        self.journals.iter().enumerate().flat_map(move |(origin, journal)| {
            let known = &journal.as_slice()[..usize::from(upto.get(origin))];
            known.iter().enumerate().map(move |(seq, &op)| (Id::new(origin, seq as u8), op))
        })
    }

    pub(crate) fn op(&self, id: Id) -> Op {
        self.journals[id.origin()].as_slice()[usize::from(id.seq())]
    }

    /// The text of a message.
    pub(crate) fn text(&self, id: Id) -> Text {
        match self.op(id) {
            Op::Published(text) => text,
            other => unreachable!("{other:?} is no message"),
        }
    }

    /// All that was ever written.
    pub(crate) fn everything(&self) -> Upto {
        Upto(std::array::from_fn(|origin| self.journals[origin].len() as u8))
    }

    /// Where a push was accepted, as far as is known to who knows `upto`.
    pub(crate) fn accepted(&self, upto: Upto, push: Text) -> Option<Id> {
        self.ops(upto).find(|&(_, op)| op == Op::Accepted(push)).map(|(id, _)| id)
    }

    pub(crate) fn is_handled(&self, place: Place, push: Text) -> bool {
        self.ops_at(place).any(|(_, op)| op == Op::Handled(push))
    }

    pub(crate) fn is_open(&self, place: Place, push: Text) -> bool {
        let is_accepted = self.accepted(self.nodes[place].applied, push).is_some();
        is_accepted && !self.is_handled(place, push)
    }

    /// What was published for a push, as far as is known to who knows `upto`.
    pub(crate) fn effect(&self, upto: Upto, push: Text) -> Option<Id> {
        self.ops(upto).find(|&(_, op)| op == Op::Published(push)).map(|(id, _)| id)
    }

    /// The messages that the application published by itself, so far.
    pub(crate) fn plain(&self) -> u8 {
        let is_plain = |op: &Op| matches!(op, Op::Published(text) if *text >= PLAIN);
        self.ops(self.everything()).filter(|(_, op)| is_plain(op)).count() as u8
    }
}
