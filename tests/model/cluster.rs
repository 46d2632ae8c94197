//! What may happen next.

use std::ops::ControlFlow;

use exosphere::proto::Durability;
use stateright::{Model, Property};

use crate::{
    rules,
    scenario::{Break, Scenario},
    small::{Id, NODES, Op, PLAIN, Place, Upto},
    state::{Handler, NOWHERE, Node, READERS, State, Takeover, Wire},
};

/// Something that happens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Action {
    /// The next push arrives at the home of the client that pushes.
    Push,
    /// The client hears that its first push that is under way is stored.
    Acknowledge,
    /// The client that pushes goes to another node.
    PushMove(Place),
    /// The last owner of its session says what it knew, to this node.
    Release(Place),
    /// A handler is told of a push.
    Tell(Place),
    /// A handler publishes.
    Publish(Place),
    /// A handler returns.
    Finish(Place),
    /// A node applies the next operation of a journal.
    Apply(Place, Place),
    /// A node gets all that another knows.
    Snapshot(Place, Place),
    /// A reader's home tells a node how far it has read.
    Report(usize, Place),
    /// A reader is given what is next.
    Give(usize),
    /// It gets what it was given.
    Receive(usize),
    /// Its home hears that it has.
    Confirm(usize),
    /// A reader connects to a node.
    Connect(usize, Place),
    /// A reader goes away.
    Leave(usize),
    /// A session joins the topic.
    Join(usize, Place),
    /// A node gives up a session whose client is away.
    Expire(usize, Place),
    /// A node stores all on its disk.
    Sync(Place),
    /// The application publishes on this node.
    Say(Place),
    /// A node dies.
    Crash(Place),
    /// A node takes another for dead.
    Notice(Place, Place),
    /// All links of a node are cut.
    Cut(Place),
    /// They are there again.
    Heal,
    /// This process is started with the disk of that dead one.
    Restart(Place, Place),
}

/// Stops at the first that is enough.
type Flow = ControlFlow<()>;

impl Model for Scenario {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let mut tell = |action| {
            actions.push(action);
            Flow::Continue(())
        };
        let _ = self.progress(state, &mut tell);
        let _ = self.faults(state, &mut tell);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        self.happen(&mut next, action);
        self.settle(&mut next);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        rules::all()
    }
}

/// What happens by itself, sooner or later.
impl Scenario {
    /// Whether nothing more happens by itself.
    pub(crate) fn is_at_rest(&self, state: &State) -> bool {
        self.progress(state, &mut |_| Flow::Break(())).is_continue()
    }

    fn progress(&self, state: &State, tell: &mut impl FnMut(Action) -> Flow) -> Flow {
        for place in 0..NODES {
            self.spreading(state, place, tell)?;
        }
        for reader in 0..READERS {
            self.reading(state, reader, tell)?;
        }
        self.pushing(state, tell)?;
        for place in 0..NODES {
            self.handling(state, place, tell)?;
        }
        if state.cut != NOWHERE {
            tell(Action::Heal)?;
        }
        self.restarting(state, tell)
    }

    fn spreading(
        &self,
        state: &State,
        place: Place,
        tell: &mut impl FnMut(Action) -> Flow,
    ) -> Flow {
        let node = &state.nodes[place];
        if !node.up {
            return Flow::Continue(());
        }
        for origin in 0..NODES {
            if self.may_apply(state, place, origin) {
                tell(Action::Apply(place, origin))?;
            }
        }
        for peer in 0..NODES {
            if self.short_tails && self.needs_snapshot(state, peer, place) {
                tell(Action::Snapshot(peer, place))?;
            }
            if node.takes_for_live(peer) && !state.is_linked(place, peer) {
                tell(Action::Notice(place, peer))?;
            }
        }
        if self.durability == Durability::Disk && node.disk != node.applied {
            tell(Action::Sync(place))?;
        }
        Flow::Continue(())
    }

    fn may_apply(&self, state: &State, place: Place, origin: Place) -> bool {
        let node = &state.nodes[place];
        let next = node.applied.get(origin);
        let has = |peer: Place| {
            let Node { applied, tails, .. } = state.nodes[peer];
            state.is_linked(place, peer) && applied.get(origin) > next && tails.get(origin) <= next
        };
        let is_sent = node.put_off.get(origin) > next || (0..NODES).any(has);
        is_sent
            && match state.op(Id::new(origin, next)) {
                Op::Follows(after) => self.is_here_or_given_up(state, place, after),
                _ => true,
            }
    }

    /// The end of what a node was sent of a journal, if what is next there follows what is not here.
    pub(crate) fn put_off(&self, state: &State, place: Place, origin: Place) -> Option<u8> {
        let next = state.nodes[place].applied.get(origin);
        let linked = (0..NODES).filter(|&peer| state.is_linked(place, peer));
        let end = linked.map(|peer| state.nodes[peer].applied.get(origin)).max()?;
        let waits = end > next
            && matches!(state.op(Id::new(origin, next)), Op::Follows(after)
                if !state.nodes[place].applied.covers(after));
        waits.then_some(end)
    }

    /// Whether what is followed is here, or will never come: nobody who lives has it.
    fn is_here_or_given_up(&self, state: &State, place: Place, after: Id) -> bool {
        let node = &state.nodes[place];
        let is_gone = !node.takes_for_live(after.origin())
            && state.up().all(|other| !other.applied.covers(after))
            && !self.lacks(Break::GivingUp);
        node.applied.covers(after) || is_gone
    }

    /// Whether `place` lacks what the journals of `peer` no longer hold.
    fn needs_snapshot(&self, state: &State, peer: Place, place: Place) -> bool {
        let (from, to) = (&state.nodes[peer], &state.nodes[place]);
        let is_gone = |origin| {
            let next = to.applied.get(origin);
            from.applied.get(origin) > next && from.tails.get(origin) > next
        };
        state.is_linked(place, peer) && !self.lacks(Break::Stability) && (0..NODES).any(is_gone)
    }

    /// Whether a node's oldest message may go.
    pub(crate) fn may_trim(&self, state: &State, place: Place) -> bool {
        let node = &state.nodes[place];
        let Some(&first) = node.log.as_slice().first() else {
            return false;
        };
        let has = |reader: usize| node.acknowledged[reader].covers(first);
        let is_settled = (0..READERS).all(|reader| !node.has_member(reader) || has(reader));
        let is_floor_over = !self.floor
            || self.lacks(Break::Floor)
            || state.up().all(|other| node.applied.includes(other.applied));
        (is_settled || self.lacks(Break::Settled))
            && self.stable(state, place).covers(first)
            && is_floor_over
    }

    /// What every node that is taken for live has stored.
    pub(crate) fn stable(&self, state: &State, place: Place) -> Upto {
        let node = &state.nodes[place];
        let mut stable = node.applied;
        for peer in 0..NODES {
            if node.takes_for_live(peer) {
                stable.meet(state.nodes[peer].applied);
            }
        }
        stable
    }

    pub(crate) fn reading<T>(
        &self,
        state: &State,
        index: usize,
        tell: &mut impl FnMut(Action) -> ControlFlow<T>,
    ) -> ControlFlow<T> {
        let reader = &state.readers[index];
        if !reader.joined || reader.over {
            return ControlFlow::Continue(());
        }
        if reader.wire != Wire::Nothing {
            tell(Action::Receive(index))?;
        }
        let Some(home) = state.nodes.get(reader.home).filter(|home| home.up) else {
            return (0..NODES)
                .filter(|&place| can_connect(state, index, place))
                .try_for_each(|place| tell(Action::Connect(index, place)));
        };
        if reader.wire == Wire::Nothing && home.has_member(index) {
            let is_behind = home.log.as_slice().iter().any(|&id| !reader.sent.covers(id));
            if is_behind || !reader.sent.includes(home.lost) {
                tell(Action::Give(index))?;
            }
            if !home.acknowledged[index].includes(reader.sent) {
                tell(Action::Confirm(index))?;
            }
        }
        for place in 0..NODES {
            let node = &state.nodes[place];
            let is_news = !node.acknowledged[index].includes(home.acknowledged[index]);
            if is_news
                && state.is_linked(reader.home, place)
                && node.has_member(index)
                && node.applied.includes(home.applied)
            {
                tell(Action::Report(index, place))?;
            }
        }
        ControlFlow::Continue(())
    }

    fn pushing(&self, state: &State, tell: &mut impl FnMut(Action) -> Flow) -> Flow {
        for place in 0..NODES {
            if let Takeover::Asking(from) = state.nodes[place].takeover
                && state.is_linked(place, from)
            {
                tell(Action::Release(place))?;
            }
        }
        let pusher = &state.pusher;
        let home = &state.nodes[pusher.home];
        if !home.up || home.owner != pusher.home {
            return (0..NODES)
                .filter(|&place| state.nodes[place].up && place != pusher.home)
                .try_for_each(|place| tell(Action::PushMove(place)));
        }
        let under_way = pusher.sent - pusher.acknowledged;
        if home.takeover == Takeover::None && pusher.sent < self.pushes && under_way < self.window {
            tell(Action::Push)?;
        }
        if let Some(&due) = pusher.due.as_slice().first()
            && self.is_stored(state, due)
        {
            tell(Action::Acknowledge)?;
        }
        Flow::Continue(())
    }

    /// Whether the journal of the client's home is stored as well as it should be, before `due`.
    fn is_stored(&self, state: &State, due: u8) -> bool {
        let place = state.pusher.home;
        let home = &state.nodes[place];
        match self.durability {
            Durability::Replicated(wanted) => {
                self.copies(state, due) >= wanted.min(home.live.count_ones() as usize)
            }
            Durability::Disk if !self.lacks(Break::Sync) => {
                let is_there = state.accepted(home.disk, state.pusher.acknowledged + 1).is_some();
                home.disk.get(place) >= due && is_there
            }
            _ => true,
        }
    }

    /// How many peers have stored the journal of the client's home, before `due`.
    pub(crate) fn copies(&self, state: &State, due: u8) -> usize {
        let place = state.pusher.home;
        let counts = |peer: Place| {
            let dead_count = self.lacks(Break::LiveCopies) && peer != place;
            state.nodes[place].takes_for_live(peer) || dead_count
        };
        let has = |peer: Place| state.nodes[peer].applied.get(place) >= due;
        (0..NODES).filter(|&peer| counts(peer) && has(peer)).count()
    }

    fn handling(&self, state: &State, place: Place, tell: &mut impl FnMut(Action) -> Flow) -> Flow {
        let node = &state.nodes[place];
        if !node.up {
            return Flow::Continue(());
        }
        match node.handler {
            Handler::Idle if self.next_told(state, place).is_some() => tell(Action::Tell(place)),
            Handler::Idle => Flow::Continue(()),
            Handler::Told(_) => tell(Action::Publish(place)),
            Handler::Published(_) => tell(Action::Finish(place)),
        }
    }

    /// The push that a node's handler is to be told of.
    pub(crate) fn next_told(&self, state: &State, place: Place) -> Option<u8> {
        let node = &state.nodes[place];
        let is_owner = node.owner == place && node.takeover == Takeover::None;
        is_owner.then(|| (1..=self.pushes).find(|&push| self.is_open(state, place, push)))?
    }

    pub(crate) fn is_open(&self, state: &State, place: Place, push: u8) -> bool {
        if !self.lacks(Break::Inbox) {
            return state.is_open(place, push);
        }
        let count = |wanted| state.ops_at(place).filter(|&(_, op)| op == wanted).count();
        count(Op::Accepted(push)) > count(Op::Handled(push))
    }

    fn restarting(&self, state: &State, tell: &mut impl FnMut(Action) -> Flow) -> Flow {
        let unborn = state.nodes.iter().position(|node| !node.was);
        let Some(unborn) = unborn.filter(|_| state.left.restarts > 0) else {
            return Flow::Continue(());
        };
        (0..NODES)
            .filter(|&dead| state.nodes[dead].was && !state.nodes[dead].up)
            .filter(|&dead| !state.nodes[dead].inherited)
            .try_for_each(|dead| tell(Action::Restart(unborn, dead)))
    }
}

/// What need not happen.
impl Scenario {
    fn faults(&self, state: &State, tell: &mut impl FnMut(Action) -> Flow) -> Flow {
        for place in (0..NODES).filter(|&place| state.nodes[place].up) {
            if state.left.crashes > 0 {
                tell(Action::Crash(place))?;
            }
            if state.left.cuts > 0 && state.cut == NOWHERE {
                tell(Action::Cut(place))?;
            }
            if state.left.says > 0 && state.plain() < self.says {
                tell(Action::Say(place))?;
            }
            let is_elsewhere = place != state.pusher.home && state.nodes[state.pusher.home].up;
            if state.left.push_moves > 0 && is_elsewhere {
                tell(Action::PushMove(place))?;
            }
        }
        for reader in 0..READERS {
            self.reader_faults(state, reader, tell)?;
        }
        Flow::Continue(())
    }

    fn reader_faults(
        &self,
        state: &State,
        index: usize,
        tell: &mut impl FnMut(Action) -> Flow,
    ) -> Flow {
        let reader = &state.readers[index];
        let is_home_up = state.nodes.get(reader.home).is_some_and(|home| home.up);
        for place in (0..NODES).filter(|&place| state.nodes[place].up) {
            if state.left.joins > 0 && !reader.joined && index < self.sessions() {
                tell(Action::Join(index, place))?;
            }
            let is_elsewhere = reader.home != place && is_home_up;
            if state.left.moves > 0 && is_elsewhere && can_connect(state, index, place) {
                tell(Action::Connect(index, place))?;
            }
            let is_away = reader.joined && reader.home == NOWHERE && !reader.over;
            if state.left.expiries > 0 && is_away && state.nodes[place].has_member(index) {
                tell(Action::Expire(index, place))?;
            }
        }
        if state.left.expiries > 0 && is_home_up && !reader.over {
            tell(Action::Leave(index))?;
        }
        Flow::Continue(())
    }

    /// How many sessions there are, those that join later among them.
    fn sessions(&self) -> usize {
        usize::from(self.readers + self.joins)
    }
}

/// Whether a node knows enough of a reader's session to continue it, or to say that it is over.
fn can_connect(state: &State, index: usize, place: Place) -> bool {
    let (node, reader) = (&state.nodes[place], &state.readers[index]);
    let is_known = node.members & 1 << index != 0;
    node.up && reader.joined && !reader.over && is_known
}

/// Whether the application published this text by itself.
pub(crate) fn is_plain(text: u8) -> bool {
    text >= PLAIN
}
