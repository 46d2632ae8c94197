//! What lies between the nodes: which run, who reaches whom, and who believes whom to be alive.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{links, machine::Machine};
use crate::{
    id::{NodeId, SessionId},
    proto::sim::dice::Dice,
    runtime::{Tasks, clock},
};

/// How often everybody looks around.
const TICK: Duration = Duration::from_millis(50);

/// How long what is said is under way, in milliseconds.
const LATENCY: Range<u64> = 1..21;

/// How long it takes to make a link, in milliseconds.
const LINK_MADE: Range<u64> = 50..500;

/// How long the loss of a link goes unnoticed, in milliseconds.
const LINK_LOST: Range<u64> = 500..3_000;

/// How long it takes gossip to tell of a life, or a death, in milliseconds.
const GOSSIPED: Range<u64> = 100..1_000;

/// What lies between the nodes.
pub(super) struct Network {
    tasks: Tasks,
    state: Mutex<State>,
    /// Notified whenever a link or a way changes. It wakes in a fixed order, which a `watch` does not.
    changed: Notify,
}

struct State {
    dice: Dice,
    machines: Vec<Option<Arc<Machine>>>,
    /// The ways, each from one place to another, on which nothing comes through.
    cuts: BTreeSet<(usize, usize)>,
    links: BTreeMap<(usize, usize), Link>,
    /// What nodes believe of others.
    views: BTreeMap<(NodeId, NodeId), View>,
}

/// The link between two places.
#[derive(Default)]
struct Link {
    /// Between which nodes there is one.
    between: Option<(NodeId, NodeId)>,
    generation: u64,
    /// When it comes to be as it should.
    due: Option<Instant>,
}

/// What one node believes of another.
#[derive(Default)]
struct View {
    is_live: bool,
    /// When it comes to believe what is so.
    due: Option<Instant>,
}

/// What a node is told.
enum News {
    Down(NodeId),
    Live(NodeId),
    Dead(NodeId),
}

impl Network {
    pub(super) fn new(seed: u64, nodes: usize, tasks: Tasks) -> Self {
        let pairs = (0..nodes).flat_map(|a| (a + 1..nodes).map(move |b| (a, b)));
        let state = State {
            dice: Dice::new(seed),
            machines: vec![None; nodes],
            cuts: BTreeSet::new(),
            links: pairs.map(|pair| (pair, Link::default())).collect(),
            views: BTreeMap::new(),
        };
        Self { tasks, state: Mutex::new(state), changed: Notify::new() }
    }

    /// Lets everybody look around, for ever.
    pub(super) async fn tend(self: Arc<Self>) {
        loop {
            let now = clock::now();
            self.tend_links(now);
            self.tend_views(now);
            tokio::time::sleep(TICK).await;
        }
    }

    /// How many places there are.
    pub(super) fn len(&self) -> usize {
        self.state.lock().machines.len()
    }

    /// The node at a place, unless it has crashed.
    pub(super) fn machine(&self, place: usize) -> Option<Arc<Machine>> {
        self.state.lock().machines[place].clone()
    }

    /// The node at a place or, if that has crashed, at the next.
    pub(super) fn machine_from(&self, place: usize) -> Option<Arc<Machine>> {
        let state = self.state.lock();
        let (before, after) = state.machines.split_at(place);
        after.iter().chain(before).flatten().next().cloned()
    }

    pub(super) fn machines(&self) -> Vec<Arc<Machine>> {
        self.state.lock().machines.iter().flatten().cloned().collect()
    }

    /// Another node is at a place, or none. Returns who was there before.
    pub(super) fn put(&self, place: usize, machine: Option<Machine>) -> Option<Arc<Machine>> {
        let before =
            std::mem::replace(&mut self.state.lock().machines[place], machine.map(Arc::new));
        self.changed.notify_waiters();
        before
    }

    /// Lets nothing come through from one place to another.
    pub(super) fn cut(&self, from: usize, to: usize) {
        let mut state = self.state.lock();
        let places = state.machines.len();
        assert!(from < places && to < places, "there are {places} nodes, counted from 0");
        state.cuts.insert((from, to));
        drop(state);
        self.changed.notify_waiters();
    }

    /// Lets everything come through.
    pub(super) fn heal(&self) {
        self.state.lock().cuts.clear();
        self.changed.notify_waiters();
    }

    /// Whether all nodes know each other, and have links.
    pub(super) fn is_whole(&self) -> bool {
        let state = self.state.lock();
        state.links.values().all(|link| link.between.is_some())
    }

    /// Some time that it takes to say something.
    pub(super) fn latency(&self) -> Duration {
        self.state.lock().dice.millis(LATENCY)
    }

    pub(super) fn fresh_node(&self) -> NodeId {
        NodeId::from_bits(self.state.lock().dice.roll())
    }

    pub(super) fn fresh_session(&self) -> SessionId {
        let mut state = self.state.lock();
        let (high, low) = (state.dice.roll(), state.dice.roll());
        SessionId::from_bits(u128::from(high) << 64 | u128::from(low))
    }

    pub(super) fn roll(&self) -> u64 {
        self.state.lock().dice.roll()
    }

    /// Waits until a link is no longer the one that it was.
    pub(super) async fn ended(&self, way: (usize, usize), generation: u64) {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            if self.generation(way) != generation {
                return;
            }
            changed.await;
        }
    }

    /// Waits until something can come through on a link. False if the link is gone by then.
    pub(super) async fn passes(&self, way: (usize, usize), generation: u64) -> bool {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            if self.generation(way) != generation {
                return false;
            }
            if !self.state.lock().cuts.contains(&way) {
                return true;
            }
            changed.await;
        }
    }

    fn generation(&self, (from, to): (usize, usize)) -> u64 {
        self.state.lock().links[&(from.min(to), from.max(to))].generation
    }

    fn tend_links(self: &Arc<Self>, now: Instant) {
        let mut state = self.state.lock();
        let (mut lost, mut made) = (Vec::new(), Vec::new());
        let pairs: Vec<_> = state.links.keys().copied().collect();
        for pair in pairs {
            let wanted = state.reach_each_other(pair);
            let range = match state.links[&pair].between {
                None => LINK_MADE,
                Some(_) => LINK_LOST,
            };
            let delay = state.dice.millis(range);
            let link = state.links.get_mut(&pair).expect("there is a link for each pair");
            if link.between == wanted {
                link.due = None;
            } else if *link.due.get_or_insert(now + delay) <= now {
                link.generation += 1;
                link.due = None;
                lost.extend(link.between.take());
                if let Some((a, b)) = wanted {
                    link.between = wanted;
                    made.push((pair, link.generation, a, b));
                }
            }
        }
        for &(_, _, a, b) in &made {
            for view in [(a, b), (b, a)] {
                state.views.insert(view, View { is_live: true, due: None });
            }
        }
        let machines = state.machines.clone();
        drop(state);
        self.changed.notify_waiters();
        for (a, b) in lost {
            tell(&machines, a, &News::Down(b));
            tell(&machines, b, &News::Down(a));
        }
        for (pair, generation, ..) in made {
            if let (Some(a), Some(b)) = (&machines[pair.0], &machines[pair.1]) {
                links::make(self, &self.tasks, pair, generation, [a, b]);
            }
        }
    }

    fn tend_views(&self, now: Instant) {
        let mut state = self.state.lock();
        let groups = state.groups();
        let running: Vec<_> =
            state.machines.iter().map(|it| it.as_ref().map(|it| it.id())).collect();
        let of = |id: NodeId| running.iter().position(|it| *it == Some(id)).map(|it| groups[it]);
        let live: Vec<_> = running.iter().flatten().copied().collect();
        for &node in &live {
            for &other in live.iter().filter(|&&other| other != node) {
                state.views.entry((node, other)).or_default();
            }
        }
        state.views.retain(|(node, _), _| live.contains(node));
        let links: BTreeSet<_> = state.links.values().filter_map(|link| link.between).collect();
        let mut news = Vec::new();
        let State { views, dice, .. } = &mut *state;
        for (&(node, other), view) in views {
            let is_linked = links.contains(&(node, other)) || links.contains(&(other, node));
            let is_live = is_linked || of(other).is_some_and(|group| of(node) == Some(group));
            if view.is_live == is_live {
                view.due = None;
            } else if *view.due.get_or_insert_with(|| now + dice.millis(GOSSIPED)) <= now {
                *view = View { is_live, due: None };
                news.push((node, if is_live { News::Live(other) } else { News::Dead(other) }));
            }
        }
        let machines = state.machines.clone();
        drop(state);
        for (node, news) in news {
            tell(&machines, node, &news);
        }
    }
}

impl State {
    /// The nodes at two places, if each reaches the other.
    fn reach_each_other(&self, (a, b): (usize, usize)) -> Option<(NodeId, NodeId)> {
        let is_cut = self.cuts.contains(&(a, b)) || self.cuts.contains(&(b, a));
        let (one, other) = (self.machines[a].as_ref()?, self.machines[b].as_ref()?);
        (!is_cut).then(|| (one.id(), other.id()))
    }

    /// For each place, the first of those that it reaches, through others too.
    fn groups(&self) -> Vec<usize> {
        let mut groups: Vec<_> = (0..self.machines.len()).collect();
        for _ in 0..groups.len() {
            for &(a, b) in self.links.keys() {
                if self.reach_each_other((a, b)).is_some() {
                    let first = groups[a].min(groups[b]);
                    (groups[a], groups[b]) = (first, first);
                }
            }
        }
        groups
    }
}

/// Tells a node, if it runs still.
fn tell(machines: &[Option<Arc<Machine>>], node: NodeId, news: &News) {
    let found = machines.iter().flatten().find(|machine| machine.id() == node);
    if let Some(machine) = found {
        machine.hub.with(|core, now| match *news {
            News::Down(other) => core.handle_link_down(other),
            News::Live(other) => core.handle_live(other, now),
            News::Dead(other) => core.handle_dead(other, now),
        });
    }
}
