//! What is looked at once the faults are over and everything has come to rest.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Checked,
    ghost::End,
    links::brief,
    violated,
    world::{World, short},
};
use crate::{
    id::Seq,
    proto::{Accounting, Position, Presence, Session, Stamp},
};

/// A session, perhaps a topic that it is in, and the rest.
type Known = (String, String, String);

impl World {
    /// Everything that must hold once nothing more goes wrong.
    pub(super) fn check_rest(&self) -> Checked {
        self.check_equal_positions()?;
        self.check_equal_replicas()?;
        self.check_delivered()?;
        self.check_logs_are_trimmed()?;
        self.check_counts()?;
        self.check_answered()?;
        self.check_owners()?;
        self.check_pushes()?;
        self.check_explained()?;
        self.check_ends()
    }

    /// The dead are forgotten, in the end, by everybody.
    pub(super) fn check_forgotten(&self) -> Checked {
        for node in self.alive() {
            for (origin, _) in self.core(node).replica().applied().iter() {
                if self.index_of(origin).is_none_or(|other| !self.is_alive(other)) {
                    return violated("S10 memory", format!("n{node} still remembers {origin}"));
                }
            }
        }
        Ok(())
    }

    /// L4: all nodes have seen the same, of all who live.
    fn check_equal_positions(&self) -> Checked {
        let alive = self.alive();
        for pair in alive.windows(2) {
            let [a, b] =
                [pair[0], pair[1]].map(|node| self.of_living(self.core(node).replica().applied()));
            if a != b {
                let text =
                    format!("n{} has {}, n{} has {}", pair[0], brief(&a), pair[1], brief(&b));
                return violated("L4 equal", text);
            }
        }
        for node in alive {
            for other in 0..self.nodes.len() {
                if other != node && self.views[&(node, other)].live != self.is_alive(other) {
                    return violated("L4 equal", format!("n{node} is wrong about n{other}"));
                }
            }
        }
        Ok(())
    }

    /// L4: all nodes know the same sessions, owners, memberships and positions.
    fn check_equal_replicas(&self) -> Checked {
        let mut known = self.alive().into_iter().map(|node| (node, self.states(node)));
        let Some((first, expected)) = known.next() else {
            return Ok(());
        };
        for (node, states) in known {
            let absent = |from: &BTreeMap<Known, Position>, of: &BTreeMap<Known, Position>| {
                of.keys().find(|known| !from.contains_key(known)).cloned()
            };
            if let Some(known) = absent(&states, &expected) {
                return violated("L4 equal", format!("n{first} knows, but n{node} not: {known:?}"));
            }
            if let Some(known) = absent(&expected, &states) {
                return violated("L4 equal", format!("n{node} knows, but n{first} not: {known:?}"));
            }
        }
        match self.faults.drop + self.faults.reorder {
            0 => self.check_reported(),
            _ => Ok(()), // The last report may have been lost.
        }
    }

    /// L4: what a session has, by its owner, the others have heard.
    fn check_reported(&self) -> Checked {
        let states: Vec<_> = self.alive().into_iter().map(|n| (n, self.states(n))).collect();
        for (owner, told) in &states {
            let core = self.core(*owner);
            let own = core.replica().sessions().filter(|s| s.claim.node == core.id());
            let own: BTreeSet<_> = own.map(|session| short(session.id)).collect();
            for (known, has) in told.iter().filter(|(known, _)| own.contains(&known.0)) {
                let is_behind = |(_, states): &&(usize, BTreeMap<Known, Position>)| {
                    !states.get(known).is_some_and(|here| here.includes(has))
                };
                if let Some((node, _)) = states.iter().find(is_behind) {
                    let text = format!("n{node} has not heard of {} of {known:?}", brief(has));
                    return violated("L4 equal", text);
                }
            }
        }
        Ok(())
    }

    /// L2: every promise was kept, or the client told.
    fn check_delivered(&self) -> Checked {
        let known = |session| {
            self.alive().iter().any(|&node| self.core(node).replica().session(session).is_some())
        };
        for (&id, published) in &self.ghost.published {
            for promise in &published.promises {
                if self.ghost.is_due(id, promise)
                    && !self.ghost.has(promise.session, id)
                    && known(promise.session)
                {
                    let (topic, session) = (&published.topic, short(promise.session));
                    let text =
                        format!("{session} never got {id} of {topic}, promised by {}", promise.by);
                    return violated("L2 delivered", text);
                }
            }
        }
        Ok(())
    }

    /// L3: nothing is kept that nobody waits for.
    fn check_logs_are_trimmed(&self) -> Checked {
        for node in self.alive() {
            for (_, topic) in self.core(node).replica().topics().iter() {
                if let Some(entry) = topic.log.iter().next() {
                    let text = format!("n{node} keeps {} of {}", entry.id(), topic.name);
                    return violated("L3 trimmed", text);
                }
                let limits = &self.faults.limits;
                let usage = self.core(node).usage();
                let waits = usage.requests + usage.snapshot_frames;
                if waits > 0 || usage.tail_ops > limits.tail.stable_ops {
                    return violated("L3 trimmed", format!("n{node} still holds {usage:?}"));
                }
                if topic.members.is_empty() {
                    return violated("L3 trimmed", format!("n{node} keeps {}", topic.name));
                }
            }
        }
        Ok(())
    }

    /// S12: a node has counted every message that it published, and each has ended.
    fn check_counts(&self) -> Checked {
        for node in self.alive() {
            let core = self.core(node);
            let all = self.ghost.range(core.id(), Seq::FIRST, Seq::new(u64::MAX)).count() as u64;
            let Accounting { stored, published, .. } = core.accounting();
            if published.accepted != all || stored.pending + published.pending > 0 {
                let text = format!("n{node} published {all}: {:?}", core.accounting());
                return violated("S12 accounted", text);
            }
        }
        Ok(())
    }

    /// L4 and L5: every session is a client's, and is owned by the node that the client is
    /// attached to.
    fn check_owners(&self) -> Checked {
        for node in self.alive() {
            let core = self.core(node);
            for session in core.replica().sessions() {
                let (id, owner) = (session.id, self.index_of(session.claim.node));
                let who = format!("session {}, on n{node} said to be n{owner:?}'s", short(id));
                let client = self.clients.iter().find(|client| client.session == Some(id));
                let Some(connection) = client.and_then(|client| client.connection) else {
                    return violated("L5 over", format!("{who}: it has no client any more"));
                };
                let connection = &self.connections[connection];
                let key = owner
                    .filter(|&owner| self.is_alive(owner))
                    .and_then(|owner| self.core(owner).attachment_of(id));
                let is_home = Some(connection.node) == owner && key == Some(connection.key);
                if !is_home || session.presence != Presence::Attached {
                    let text = format!("{who} and {:?}: see {connection:?}", session.presence);
                    return violated("L4 equal", text);
                }
            }
        }
        Ok(())
    }

    /// L5: the end of a session is told once; more often, or never, only where nodes died, or were
    /// believed to have, or where two ended it that did not know of each other: its client at the node
    /// that it went to, say, and the application at the one that it came from.
    fn check_ends(&self) -> Checked {
        for (session, ends) in &self.ghost.ends {
            let is_again = |end: &End| {
                ends.iter().any(|first| {
                    first.at != end.at && !first.raced && end.known.includes(&first.known)
                })
            };
            let is_sure = !self.ghost.split && !self.ghost.revived.contains(session);
            if is_sure && ends.iter().any(is_again) {
                let text = format!("{} was told again to be over: {ends:?}", short(*session));
                return violated("L5 over", text);
            }
        }
        for &session in &self.ghost.closed {
            let is_told = self.ghost.ends.get(&session).is_some_and(|ends| !ends.is_empty());
            let is_sure = !self.ghost.split && !self.ghost.bereft;
            if !is_told && is_sure && !self.ghost.revived.contains(&session) {
                return violated("L5 over", format!("nobody was told that {session} is over"));
            }
        }
        Ok(())
    }

    /// What a node knows, as far as it must be the same everywhere, and how far sessions have read.
    fn states(&self, node: usize) -> BTreeMap<Known, Position> {
        let replica = self.core(node).replica();
        let stamp =
            |stamp: Stamp| format!("{}@{}-{}", stamp.epoch, &stamp.node.short()[..4], stamp.seq);
        let mut states = BTreeMap::new();
        for session in replica.sessions() {
            let Session { id, claim, presence, ready, holder, .. } = session;
            let what = format!("{} {presence:?} {ready} {holder:?}", stamp(*claim));
            states.insert((short(*id), String::new(), what), Position::new());
            for (topic, member) in replica.state_of(*id).into_iter().flat_map(|s| s.memberships) {
                let until = member.until.map(|until| brief(&self.of_living(&until)));
                // Of private messages, whichever came first here makes the session a member.
                let is_private = topic.private_session().is_some();
                let what = if is_private { String::new() } else { stamp(member.stamp) };
                let known = (short(*id), topic.to_string(), format!("{what} {until:?}"));
                states.insert(known, self.of_living(&member.acknowledged));
            }
        }
        states
    }

    fn of_living(&self, position: &Position) -> Position {
        let lives = |id| self.index_of(id).is_some_and(|node| self.is_alive(node));
        position.iter().filter(|&(origin, next)| lives(origin) && next > Seq::FIRST).collect()
    }
}
