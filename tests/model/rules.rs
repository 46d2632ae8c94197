//! What must hold, by the names that the simulator has for it.

use stateright::Property;

use crate::{
    cluster::is_plain,
    scenario::Scenario,
    small::{Id, Op, Text},
    state::{NEVER_LOST, Node, READERS, Reader, State, Takeover},
};

/// All that must hold, and what a scenario must be able to reach to be worth anything.
pub(crate) fn all() -> Vec<Property<Scenario>> {
    vec![
        Property::always(KEPT, kept),
        Property::always(ONCE, once),
        Property::always(ORDER, in_order),
        Property::always(ACKNOWLEDGED, acknowledged),
        Property::always(TRIMMED, trimmed),
        Property::always(TOLD, told),
        Property::always(NEEDLESS, no_needless_gap),
        Property::always(ANSWERED, |model, state| {
            answered(model, state) || !model.is_at_rest(state)
        }),
        Property::always(HANDLED, |model, state| handled(model, state) || !model.is_at_rest(state)),
        Property::always(DELIVERED, |model, state| delivered(state) || !model.is_at_rest(state)),
        Property::always(SETTLED, |model, state| settled(state) || !model.is_at_rest(state)),
        Property::always(EQUAL, |model, state| equal(state) || !model.is_at_rest(state)),
        Property::sometimes(LOST, lost),
        Property::sometimes(REACHED, |model: &Scenario, state: &State| {
            state.pusher.acknowledged == model.pushes && model.is_at_rest(state)
        }),
    ]
}

/// What is acknowledged is not lost while fewer die than it was stored for.
pub(crate) const KEPT: &str = "S1 kept";
/// A client shows nothing twice, and no node does twice what it knows to be done.
pub(crate) const ONCE: &str = "S2 once";
/// A client shows what another pushed in the order in which it was pushed.
pub(crate) const ORDER: &str = "S3 order";
/// What a node believes that a client has, it has.
pub(crate) const ACKNOWLEDGED: &str = "S4 acknowledged";
/// What is dropped, all who were to get it have, or will be told of.
pub(crate) const TRIMMED: &str = "S5 trimmed";
/// A client that passes something over was told so.
pub(crate) const TOLD: &str = "S9 no silent gap";
/// Where no limit is met, nobody is told of a gap.
pub(crate) const NEEDLESS: &str = "S9 no needless gap";
/// At rest, every push is acknowledged.
pub(crate) const ANSWERED: &str = "L1 acknowledged";
/// At rest, no push is open.
pub(crate) const HANDLED: &str = "L1 handled";
/// At rest, all who read have all that any node has.
pub(crate) const DELIVERED: &str = "L2 delivered";
/// At rest, nothing is kept.
pub(crate) const SETTLED: &str = "L3 trimmed";
/// At rest, all nodes know the same.
pub(crate) const EQUAL: &str = "L4 equal";
/// Something is lost that was acknowledged: nobody has it who lives, and not all have had it.
pub(crate) const LOST: &str = "something is lost";
/// Rest is reached, with every push acknowledged.
pub(crate) const REACHED: &str = "reached";

/// The sessions that read, and are not over.
fn readers(state: &State) -> impl Iterator<Item = (usize, &Reader)> {
    let is_there = |reader: &Reader| reader.joined && !reader.over;
    (0..READERS).map(|at| (at, &state.readers[at])).filter(move |(_, reader)| is_there(reader))
}

/// Whether a session is over, though its client was not told yet.
fn is_closed(state: &State, reader: usize) -> bool {
    state.ops(state.everything()).any(|(_, op)| op == Op::Closed(reader as u8))
}

/// The messages that say this.
fn messages(state: &State, text: Text) -> impl Iterator<Item = Id> {
    let ops = state.ops(state.everything());
    ops.filter(move |&(_, op)| op == Op::Published(text)).map(|(id, _)| id)
}

/// What is acknowledged is lost only if as many nodes have died since as were said to have it.
fn kept(model: &Scenario, state: &State) -> bool {
    let promised = state.pusher.promised.as_slice();
    (1..).zip(promised).all(|(push, &left)| {
        let is_void = left != NEVER_LOST && state.left.crashes <= left;
        is_void || is_held(model, state, push) || is_had(state, push)
    })
}

fn lost(model: &Scenario, state: &State) -> bool {
    !(1..=state.pusher.acknowledged).all(|push| is_held(model, state, push) || is_had(state, push))
}

/// Whether somebody has a push who can still hand it on, or say that it is gone.
fn is_held(model: &Scenario, state: &State, push: Text) -> bool {
    let is_on_disk = |node: &Node| model.restarts > 0 && state.accepted(node.disk, push).is_some();
    let is_here = |place: usize| {
        let node = &state.nodes[place];
        let is_in_log = || node.log.as_slice().iter().any(|&id| state.text(id) == push);
        let is_lost = || messages(state, push).any(|id| node.lost.covers(id));
        node.up && (model.is_open(state, place, push) || is_in_log() || is_lost())
    };
    (0..state.nodes.len()).any(is_here) || state.nodes.iter().any(is_on_disk)
}

/// Whether all have what a push led to, or know that it is gone.
fn is_had(state: &State, push: Text) -> bool {
    readers(state).all(|(at, reader)| {
        reader.shown.has(push)
            || messages(state, push).any(|id| reader.told.covers(id) || reader.from.covers(id))
            || is_closed(state, at)
    })
}

fn once(_: &Scenario, state: &State) -> bool {
    let is_once = |reader: &Reader| {
        let shown = reader.shown.as_slice();
        shown.iter().enumerate().all(|(at, text)| !shown[..at].contains(text))
    };
    !state.again && state.readers.iter().all(is_once)
}

fn in_order(_: &Scenario, state: &State) -> bool {
    let is_asked = !state.deaf;
    !is_asked
        || state.readers.iter().all(|reader| {
            let shown = reader.shown.as_slice();
            shown.iter().enumerate().all(|(at, text)| {
                let before = &shown[..at];
                let is_overtaken = || before.iter().any(|it| !is_plain(*it) && it > text);
                is_plain(*text) || before.contains(text) || !is_overtaken()
            })
        })
}

fn acknowledged(_: &Scenario, state: &State) -> bool {
    readers(state).all(|(at, reader)| {
        state.up().filter(|node| node.has_member(at)).all(|node| {
            let mut ops = state.ops(node.acknowledged[at]);
            ops.all(|(id, op)| !matches!(op, Op::Published(_)) || reader.have.covers(id))
        })
    })
}

fn trimmed(_: &Scenario, state: &State) -> bool {
    state.up().all(|node| {
        let mut ops = state.ops(node.applied);
        ops.all(|(id, op)| {
            let is_gone = matches!(op, Op::Published(_)) && !node.log.has(id);
            !is_gone
                || node.lost.covers(id)
                || readers(state).all(|(at, reader)| !node.has_member(at) || reader.have.covers(id))
        })
    })
}

fn told(_: &Scenario, state: &State) -> bool {
    readers(state).all(|(_, reader)| {
        state.ops(reader.have).all(|(id, op)| match op {
            Op::Published(text) => {
                reader.from.covers(id) || reader.told.covers(id) || reader.shown.has(text)
            }
            _ => true,
        })
    })
}

fn no_needless_gap(model: &Scenario, state: &State) -> bool {
    model.may_lose() || readers(state).all(|(_, reader)| reader.told == Default::default())
}

fn answered(model: &Scenario, state: &State) -> bool {
    state.pusher.acknowledged == model.pushes
}

fn handled(model: &Scenario, state: &State) -> bool {
    let mut up = (0..state.nodes.len()).filter(|&place| state.nodes[place].up);
    up.all(|place| {
        state.nodes[place].takeover == Takeover::None
            && (1..=model.pushes).all(|push| !state.is_open(place, push))
    })
}

fn delivered(state: &State) -> bool {
    readers(state).all(|(_, reader)| {
        state.up().all(|node| {
            let mut ops = state.ops(node.applied);
            ops.all(|(id, op)| !matches!(op, Op::Published(_)) || reader.have.covers(id))
        })
    })
}

fn settled(state: &State) -> bool {
    state.up().all(|node| node.log.len() == 0)
}

fn equal(state: &State) -> bool {
    let mut up = state.up();
    let first = up.next();
    state.up().all(|node| node.put_off == Default::default())
        && up.all(|node| first.is_none_or(|first| first.applied == node.applied))
}
