//! The simulated world: its nodes, its clock, and what is going to happen.

use std::{
    collections::BTreeMap,
    hash::{Hash, Hasher},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    Checked, Seen, Summary,
    clients::{Client, Connection},
    dice::Dice,
    faults::Faults,
    ghost::{End, Ghost},
    gossip::View,
    handlers::Desk,
    links::{Pair, Wire},
    oracle::Looked,
    pushers::Run,
    trace::Trace,
    violated,
};
use crate::{
    id::{MessageId, NodeId, PushKey, Seq, SessionId, TopicName},
    proto::{CloseReason, Core, Ended, Entry, Event, Gap, Lane, Mark, Position, Session, WatchKey},
};

/// Microseconds since the start.
pub(super) type Micros = u64;

/// One second.
pub(super) const SECOND: Micros = 1_000_000;

/// How long it may take until everything has come to rest once the faults have stopped.
const REST_WITHIN: Micros = 90 * SECOND;

/// Something that is going to happen.
#[derive(Debug)]
pub(super) enum Happening {
    Blow,
    Confirm { connection: usize, mark: Mark },
    Deliver { connection: usize, parcel: Parcel },
    Depart { node: usize },
    Detach { connection: usize },
    Farewell { node: usize },
    Frame { from: usize, to: usize, parcel: FrameParcel },
    Handle { node: usize, session: SessionId },
    HangUp { connection: usize },
    LinkUp { node: usize, peer: usize, generation: u64, have: Position },
    Pump { node: usize },
    Push { connection: usize, key: PushKey },
    Read { connection: usize },
    Start,
    Think { client: usize },
    Tick,
    Timer { node: usize },
}

/// What a server writes to a client.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) entries: Vec<Arc<Entry>>,
    pub(super) gaps: Vec<Gap>,
    pub(super) mark: Option<Mark>,
    /// The pushes that are acknowledged.
    pub(super) acknowledged: Vec<PushKey>,
}

/// What a node writes to a peer.
#[derive(Clone, Debug)]
pub(super) struct FrameParcel {
    pub(super) generation: u64,
    pub(super) lane: Lane,
    pub(super) bytes: Bytes,
}

/// A node's place. It is never used again.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: NodeId,
    /// Its memory, while it lives.
    pub(super) core: Option<Core>,
    /// Whether it takes no more clients.
    pub(super) leaving: bool,
    /// Until when nothing is done on it, though its memory stays.
    pub(super) paused_until: Micros,
    pub(super) died_at: Option<Micros>,
    pub(super) desks: BTreeMap<SessionId, Desk>,
    timer: Micros,
    pub(super) looked: Looked,
}

/// Everything.
#[derive(Debug)]
pub(super) struct World {
    start: Instant,
    pub(super) now: Micros,
    pub(super) dice: Dice,
    pub(super) faults: Faults,
    /// Whether things go wrong now.
    pub(super) chaos: bool,
    happenings: BTreeMap<(Micros, u64), Happening>,
    next_happening: u64,
    pub(super) nodes: Vec<Node>,
    pub(super) wires: BTreeMap<(usize, usize), Wire>,
    pub(super) pairs: BTreeMap<(usize, usize), Pair>,
    pub(super) views: BTreeMap<(usize, usize), View>,
    pub(super) clients: Vec<Client>,
    pub(super) connections: Vec<Connection>,
    pub(super) topics: Vec<TopicName>,
    /// Who waits for what becomes of which message.
    pub(super) asked: BTreeMap<(usize, WatchKey), MessageId>,
    pub(super) ghost: Ghost,
    pub(super) trace: Trace,
    pub(super) seen: Seen,
}

impl World {
    pub(super) fn new(seed: u64, start: Instant, trace: Trace) -> Self {
        let mut dice = Dice::new(seed);
        let faults = Faults::draw(&mut dice);
        let topic = |name| TopicName::parse(name).expect("a topic's name");
        let mut world = Self {
            start,
            now: 0,
            dice,
            faults,
            chaos: true,
            happenings: BTreeMap::new(),
            next_happening: 0,
            nodes: Vec::new(),
            wires: BTreeMap::new(),
            pairs: BTreeMap::new(),
            views: BTreeMap::new(),
            clients: Vec::new(),
            connections: Vec::new(),
            topics: ["/a", "/b", "/c"].map(topic).to_vec(),
            asked: BTreeMap::new(),
            ghost: Ghost::default(),
            trace,
            seen: Seen::default(),
        };
        for _ in 0..world.dice.between(3, 5) {
            world.start_node();
        }
        for client in 0..world.dice.between(4, 6) as usize {
            let run = Run::new(&mut world.dice);
            world.clients.push(Client::new(run));
            world.plan_within(500, Happening::Think { client });
        }
        world.plan(0, Happening::Tick);
        world
    }

    /// Lets things go wrong and come to rest, once or more often.
    pub(super) fn play(&mut self) -> Checked {
        for _ in 0..self.dice.between(1, 2) {
            self.chaos = true;
            self.plan_within(2_000, Happening::Blow);
            let until = self.now + self.dice.between(6, 14) * SECOND;
            self.run_until(until)?;
            self.calm_down()?;
            self.rest()?;
            if self.dice.chance(200) {
                // Long enough for the dead to be forgotten.
                self.run_until(self.now + 32 * SECOND)?;
                self.check_forgotten()?;
                self.rest()?;
            }
        }
        Ok(())
    }

    pub(super) fn summary(&mut self) -> Summary {
        for node in self.alive() {
            self.seen.count(&self.nodes[node].core.as_ref().expect("it lives").accounting());
        }
        Summary { hash: self.trace.hash(), steps: self.trace.steps(), seen: self.seen }
    }

    pub(super) fn into_trace(self) -> Trace {
        self.trace
    }

    /// The time, as nodes are told it.
    pub(super) fn instant(&self) -> Instant {
        self.start + Duration::from_micros(self.now)
    }

    /// Lets something happen after `delay` microseconds.
    pub(super) fn plan(&mut self, delay: Micros, happening: Happening) {
        self.happenings.insert((self.now + delay, self.next_happening), happening);
        self.next_happening += 1;
    }

    /// Lets something happen within so many milliseconds.
    pub(super) fn plan_within(&mut self, millis: u64, happening: Happening) {
        let delay = self.dice.between(0, millis * 1_000);
        self.plan(delay, happening);
    }

    pub(super) fn say(&mut self, words: impl FnOnce() -> String) {
        self.trace.say(self.now, words);
    }

    pub(super) fn alive(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|&node| self.nodes[node].core.is_some()).collect()
    }

    pub(super) fn is_alive(&self, node: usize) -> bool {
        self.nodes[node].core.is_some()
    }

    /// The node, which lives.
    pub(super) fn core(&self, node: usize) -> &Core {
        self.nodes[node].core.as_ref().expect("the node lives")
    }

    /// The node, which lives. What it leaves to do is done by [`after`](Self::after).
    pub(super) fn core_mut(&mut self, node: usize) -> &mut Core {
        self.nodes[node].core.as_mut().expect("the node lives")
    }

    pub(super) fn index_of(&self, id: NodeId) -> Option<usize> {
        self.nodes.iter().position(|node| node.id == id)
    }

    pub(super) fn start_node(&mut self) {
        let id = NodeId::from_bits(self.dice.roll());
        let core = Some(Core::new(id, self.faults.limits));
        let node = self.nodes.len();
        for other in 0..node {
            self.pairs.insert((other, node), Pair::default());
            for way in [(other, node), (node, other)] {
                self.wires.insert(way, Wire::default());
                self.views.insert(way, View::default());
            }
        }
        let looked = Looked::default();
        self.nodes.push(Node {
            id,
            core,
            leaving: false,
            paused_until: 0,
            died_at: None,
            desks: BTreeMap::new(),
            timer: Micros::MAX,
            looked,
        });
        self.say(|| format!("n{node} starts as {id}"));
    }

    /// A node's memory is gone, and with it what nobody else has.
    pub(super) fn end_node(&mut self, node: usize) -> Checked {
        let Some(core) = self.nodes[node].core.take() else {
            return Ok(());
        };
        self.nodes[node].died_at = Some(self.now);
        self.nodes[node].desks.clear();
        self.seen.died += 1;
        self.seen.count(&core.accounting());
        self.asked.retain(|&(asked, _), _| asked != node);
        let mut left = Position::new();
        for other in self.alive() {
            left.merge(self.core(other).replica().known());
        }
        self.ghost.bury(node, core.replica().applied(), &left);
        for connection in 0..self.connections.len() {
            if self.connections[connection].node == node {
                self.connections[connection].server_open = false;
                self.plan_within(1_500, Happening::HangUp { connection });
            }
        }
        self.check_deaths(node, &core)
    }

    /// Whether a node lives, and does something.
    pub(super) fn is_awake(&self, node: usize) -> bool {
        self.is_alive(node) && self.nodes[node].paused_until <= self.now
    }

    pub(super) fn run_until(&mut self, until: Micros) -> Checked {
        while let Some(next) = self.happenings.first_entry()
            && next.key().0 <= until
        {
            let ((time, _), happening) = next.remove_entry();
            self.now = time;
            self.trace.step(time, &happening);
            self.happen(happening)?;
        }
        self.now = until;
        Ok(())
    }

    /// Does what a node wants done after it was told something, and looks at what it is like now.
    pub(super) fn after(&mut self, node: usize) -> Checked {
        while let Some(event) = self.core_mut(node).poll_event() {
            self.handle_event(node, event)?;
        }
        for key in self.core_mut(node).poll_wakes() {
            let is_its = |c: &Connection| c.node == node && c.key == key;
            if let Some(connection) = self.connections.iter().rposition(is_its) {
                self.plan_read(connection);
            }
        }
        self.pump(node);
        if let Some(due) = self.core(node).poll_timeout() {
            let due = due.saturating_duration_since(self.start).as_micros() as Micros;
            if due < self.nodes[node].timer {
                self.nodes[node].timer = due;
                self.plan(due.saturating_sub(self.now), Happening::Timer { node });
            }
        }
        self.check_verdicts(node)?;
        self.check_node(node)
    }

    /// The node that must be awake for something to happen, if one must.
    fn place_of(&self, happening: &Happening) -> Option<usize> {
        match happening {
            Happening::Confirm { connection, .. }
            | Happening::Detach { connection }
            | Happening::Push { connection, .. }
            | Happening::Read { connection } => Some(self.connections[*connection].node),
            Happening::Farewell { node }
            | Happening::Handle { node, .. }
            | Happening::LinkUp { node, .. }
            | Happening::Pump { node }
            | Happening::Timer { node } => Some(*node),
            Happening::Frame { to, .. } => Some(*to),
            _ => None,
        }
    }

    fn happen(&mut self, happening: Happening) -> Checked {
        if let Some(node) = self.place_of(&happening)
            && self.nodes[node].paused_until > self.now
        {
            self.plan(self.nodes[node].paused_until - self.now, happening);
            return Ok(());
        }
        match happening {
            Happening::Blow => self.blow(),
            Happening::Confirm { connection, mark } => self.confirm(connection, mark),
            Happening::Deliver { connection, parcel } => self.deliver(connection, parcel),
            Happening::Depart { node } => self.end_node(node),
            Happening::Detach { connection } => self.detach(connection),
            Happening::Farewell { node } => {
                if self.is_alive(node) {
                    self.pump(node);
                    self.say_goodbye(node);
                    // Who hears that takes it for dead, and waits for nothing that it did.
                    self.ghost.bereft = true;
                }
                Ok(())
            }
            Happening::Frame { from, to, parcel } => self.arrive(from, to, parcel),
            Happening::Handle { node, session } => self.handle(node, session),
            Happening::HangUp { connection } => {
                self.hang_up(connection);
                Ok(())
            }
            Happening::LinkUp { node, peer, generation, have } => {
                self.link_up(node, peer, generation, have)
            }
            Happening::Pump { node } => {
                if self.is_alive(node) {
                    self.pump(node);
                }
                Ok(())
            }
            Happening::Push { connection, key } => self.pushed(connection, key),
            Happening::Read { connection } => self.read(connection),
            Happening::Start => {
                self.start_node();
                Ok(())
            }
            Happening::Think { client } => self.think(client),
            Happening::Tick => self.tick(),
            Happening::Timer { node } => self.timer(node),
        }
    }

    fn timer(&mut self, node: usize) -> Checked {
        if self.nodes[node].timer > self.now || !self.is_alive(node) {
            return Ok(());
        }
        self.nodes[node].timer = Micros::MAX;
        let now = self.instant();
        self.core_mut(node).handle_timeout(now);
        self.after(node)
    }

    fn handle_event(&mut self, node: usize, event: Event) -> Checked {
        match event {
            Event::AttachmentEnded { key, why } => {
                let is_its = |c: &Connection| c.node == node && c.key == key;
                if let Some(connection) = self.connections.iter().rposition(is_its) {
                    self.say(|| format!("n{node} ends connection {connection}: {why:?}"));
                    self.connections[connection].server_open = false;
                    self.plan_within(100, Happening::HangUp { connection });
                    let session = self.connections[connection].session;
                    return self.check_superseded(node, session, why == Ended::Superseded);
                }
                Ok(())
            }
            Event::Pushed { session, .. } => {
                self.queue_push(node, session.id);
                Ok(())
            }
            Event::SessionEnded { session, reason } => self.end_session(node, &session, reason),
        }
    }

    fn end_session(&mut self, node: usize, session: &Session, reason: CloseReason) -> Checked {
        self.seen.ended += 1;
        let id = session.id;
        self.say(|| format!("n{node} says that session {} is over: {reason:?}", short(id)));
        let is_later = |other: &usize| {
            let known = self.core(*other).replica().session(id);
            known.is_some_and(|known| !known.claim.is_known_at(self.core(node).replica().known()))
        };
        // Who gives a client up that is with a node it cannot hear of speaks too early.
        let is_there = |other: &usize| self.core(*other).attachment_of(id).is_some();
        let is_abandoned = matches!(reason, CloseReason::Abandoned(_));
        let raced =
            self.alive().iter().any(|other| is_later(other) || (is_abandoned && is_there(other)));
        if is_abandoned {
            self.ghost.closed.insert(id);
        } else if !self.ghost.closed.contains(&id) {
            let text = format!("n{node} ended session {id}: {reason:?}, but nobody closed it");
            return violated("S8 one home", text);
        }
        let (core, known) = (self.core(node), self.core(node).replica().known().clone());
        let last = known.get(core.id()).get().saturating_sub(1);
        let at = MessageId::new(core.id(), Seq::new(last));
        self.ghost.ends.entry(id).or_default().push(End { node, at, known, raced });
        Ok(())
    }

    /// Lets no more go wrong, and lets everybody notice.
    fn calm_down(&mut self) -> Checked {
        self.say(|| "from here on nothing breaks".to_owned());
        self.chaos = false;
        for wire in self.wires.values_mut() {
            wire.mend();
        }
        for view in self.views.values_mut() {
            view.suspected_until = 0;
        }
        for connection in 0..self.connections.len() {
            self.hear_again(connection);
        }
        for client in 0..self.clients.len() {
            self.give_back(client);
        }
        Ok(())
    }

    /// Waits until everything has come to rest, and says what has not.
    fn rest(&mut self) -> Checked {
        let latest = self.now + REST_WITHIN;
        loop {
            self.run_until(self.now + SECOND)?;
            match self.check_rest() {
                Ok(()) => return Ok(()),
                Err(violation) if self.now >= latest => return Err(violation),
                Err(_) => {}
            }
        }
    }
}

/// The first digits of a session's name.
pub(super) fn short(session: SessionId) -> String {
    format!("{:04x}", session.to_bits() & 0xffff)
}

impl Hash for Happening {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Self::Blow | Self::Start | Self::Tick => {}
            Self::Depart { node }
            | Self::Farewell { node }
            | Self::Pump { node }
            | Self::Timer { node } => node.hash(state),
            Self::Think { client } => client.hash(state),
            Self::Detach { connection }
            | Self::HangUp { connection }
            | Self::Read { connection } => connection.hash(state),
            Self::Handle { node, session } => (node, session.to_bits()).hash(state),
            Self::Push { connection, key } => (connection, key).hash(state),
            Self::Confirm { connection, mark } => (connection, mark.get()).hash(state),
            Self::Deliver { connection, parcel } => {
                (connection, parcel.gaps.len(), &parcel.acknowledged).hash(state);
                parcel.entries.iter().for_each(|entry| entry.id().hash(state));
            }
            Self::Frame { from, to, parcel } => (from, to, &parcel.bytes[..]).hash(state),
            Self::LinkUp { node, peer, generation, have } => {
                (node, peer, generation, have).hash(state);
            }
        }
    }
}
