//! Membership: whom each node believes to be alive.
//!
//! Gossip reaches whoever can be reached through others. News takes a while, of death longer than
//! of life, and some of it is wrong.

use super::{
    Checked,
    world::{Happening, Micros, World},
};

/// How often nodes look around.
const TICK: Micros = 250_000;

/// What one node believes of another.
#[derive(Debug, Default)]
pub(super) struct View {
    /// Whether it believes that the other is alive.
    pub(super) live: bool,
    /// Since when it does.
    pub(super) since: Micros,
    /// When it comes to believe otherwise, unless that proves wrong until then.
    due: Option<Micros>,
    /// Until when it cannot see that the other is alive, though it is.
    pub(super) suspected_until: Micros,
}

impl World {
    /// Everybody looks around.
    pub(super) fn tick(&mut self) -> Checked {
        self.plan(TICK, Happening::Tick);
        self.tend_links()?;
        let group = self.groups();
        self.give_up();
        for node in self.alive() {
            if !self.is_awake(node) {
                continue;
            }
            for other in 0..self.nodes.len() {
                if other != node {
                    self.look(node, other, group[node] == group[other])?;
                }
            }
        }
        Ok(())
    }

    /// Whether one of two nodes believes for no reason that the other is dead.
    pub(super) fn is_suspected(&self, a: usize, b: usize) -> bool {
        [(a, b), (b, a)].iter().any(|way| self.views[way].suspected_until > self.now)
    }

    /// Whether a node has believed for a while that another is alive.
    pub(super) fn has_been_live(&self, node: usize, other: usize) -> bool {
        let view = &self.views[&(node, other)];
        view.live && view.since + 1_000_000 < self.now
    }

    fn look(&mut self, node: usize, other: usize, in_reach: bool) -> Checked {
        let view = &self.views[&(node, other)];
        let looks_alive = in_reach && self.is_awake(other) && view.suspected_until <= self.now;
        let due = match (looks_alive == view.live, view.due) {
            (true, _) => None,
            (false, None) => {
                let latest = if looks_alive { 600 } else { 2_500 };
                Some(self.now + self.dice.between(0, latest * 1_000))
            }
            (false, Some(due)) if due > self.now => Some(due),
            (false, Some(_)) => {
                let view = self.views.get_mut(&(node, other)).expect("everybody has a view");
                (view.live, view.since, view.due) = (looks_alive, self.now, None);
                return self.believe(node, other, looks_alive);
            }
        };
        self.views.get_mut(&(node, other)).expect("everybody has a view").due = due;
        Ok(())
    }

    /// Who has been dead for so long is not waited for any more.
    fn give_up(&mut self) {
        let is_long = |died: Micros| self.now - died >= 9_000_000;
        let gone = self.nodes.iter().filter(|node| node.died_at.is_some_and(is_long));
        self.ghost.given_up.extend(gone.map(|node| node.id));
    }

    fn believe(&mut self, node: usize, other: usize, live: bool) -> Checked {
        let (id, now) = (self.nodes[other].id, self.instant());
        self.say(|| {
            format!("n{node} believes that n{other} is {}", ["dead", "alive"][live as usize])
        });
        if !live && self.is_alive(other) {
            self.ghost.split = true;
            self.seen.suspected += 1;
        }
        match live {
            true => self.core_mut(node).handle_live(id, now),
            false => self.core_mut(node).handle_dead(id, now),
        }
        self.after(node)
    }

    /// A number for each node, the same for those that reach each other, if only through others.
    fn groups(&self) -> Vec<usize> {
        let mut group: Vec<usize> = (0..self.nodes.len()).collect();
        for &(a, b) in self.pairs.keys() {
            if self.is_sound(a, b) && group[a] != group[b] {
                let (from, to) = (group[b], group[a]);
                group.iter_mut().filter(|group| **group == from).for_each(|group| *group = to);
            }
        }
        group
    }
}
