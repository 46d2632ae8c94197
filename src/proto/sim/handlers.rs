//! Handlers: each node tells that of a session of its pushes, one at a time. A handler publishes
//! some messages, in its own time, and its node may die between any two.

use std::cmp::Ordering;

use super::{
    Checked,
    pushed::{Begun, Pushes},
    violated,
    world::{Happening, World, short},
};
use crate::{
    id::{Cause, Epoch, MessageId, PushKey, SessionId},
    message::Message,
    proto::Recipients,
};

/// What a session's handler is to be told on one node, and how far it has come with the first.
#[derive(Debug, Default)]
pub(super) struct Desk {
    /// How often it is to look for a push.
    waiting: usize,
    /// The push that it handles, and how far it has come.
    step: Option<(PushKey, u32)>,
}

impl World {
    /// A node's handler is to be told of a push, after those before.
    pub(super) fn queue_push(&mut self, node: usize, session: SessionId) {
        let desk = self.nodes[node].desks.entry(session).or_default();
        desk.waiting += 1;
        if desk.waiting == 1 {
            self.plan_handling(node, session);
        }
    }

    /// A handler takes its next step.
    pub(super) fn handle(&mut self, node: usize, session: SessionId) -> Checked {
        if !self.is_alive(node) {
            return Ok(());
        }
        let Some(desk) = self.nodes[node].desks.get(&session) else {
            return Ok(());
        };
        let next = match desk.step.clone() {
            None => self.begin(node, session)?.map(|key| (key, 0)),
            Some((key, index)) => {
                let effects = Pushes::effects_of(self.ghost.pushes.number_of(session, &key));
                match index.cmp(&effects) {
                    Ordering::Less => self.publish_effect(node, session, &key, index)?,
                    Ordering::Equal => self.reply(node, session, &key, index)?,
                    Ordering::Greater => self.finish(node, session, &key)?,
                }
                (index <= effects).then_some((key, index + 1))
            }
        };
        let desk = self.nodes[node].desks.entry(session).or_default();
        desk.waiting -= usize::from(next.is_none());
        desk.step = next;
        match desk.waiting == 0 {
            true => drop(self.nodes[node].desks.remove(&session)),
            false => self.plan_handling(node, session),
        }
        self.after(node)
    }

    fn plan_handling(&mut self, node: usize, session: SessionId) {
        let is_slow = self.chaos && self.dice.chance(self.faults.slow_handler);
        let slowest = if is_slow { 4_000 } else { 30 };
        self.plan_within(slowest, Happening::Handle { node, session });
    }

    /// A handler is told of the next push, if there is one.
    fn begin(
        &mut self,
        node: usize,
        session: SessionId,
    ) -> Result<Option<PushKey>, super::Violation> {
        let now = self.instant();
        let Some((key, message)) = self.core_mut(node).begin_push(session, now) else {
            return Ok(None);
        };
        self.seen.handled += 1;
        self.say(|| format!("n{node} tells the handler of {key} of {}", short(session)));
        let text = |what: &str| format!("n{node} is told of {key} of {}, {what}", short(session));
        let known = self.core(node).replica().known().clone();
        let (is_split, pushes) = (self.ghost.split, &self.ghost.pushes);
        let Some(pushed) = pushes.all.get(&(session, key.clone())) else {
            violated("S7 names", text("which nobody pushed"))?;
            return Ok(None);
        };
        if pushed.message != message {
            violated("S7 names", text("which is another message"))?;
        }
        // What was said behind what was given up does not count, nor with whom was told so.
        let counts = |id: &MessageId| known.covers(*id) && !self.ghost.doubted.contains(id);
        if pushed.finished.iter().any(counts) {
            violated("S2 once", text("which it knows to be handled"))?;
        }
        // Who has said goodbye is dead to others: they may have told theirs.
        let is_split = is_split || self.nodes[node].leaving;
        let begun = self.begun(node, session);
        for &Begun { node: other, epoch, ref strangers } in &pushed.begun {
            let has_moved = self.connections.iter().filter(|c| c.session == session).count() > 1;
            let is_there = self.is_alive(other) && !self.nodes[other].leaving;
            // Two that have only just heard of each other may both adopt a session, and tell of what
            // is open then for as long as their handlers take.
            let both_adopted = epoch == begun.epoch && strangers.contains(&node);
            let is_known = !begun.strangers.contains(&other) && !both_adopted;
            if other == node || (is_there && is_known && !is_split && !has_moved) {
                violated("S2 once", text(&format!("as n{other} was, which is there still")))?;
            }
            self.seen.handled_again += 1;
        }
        if let Some(pushed) = self.ghost.pushes.get_mut(session, &key) {
            pushed.begun.push(begun);
        }
        Ok(Some(key))
    }

    fn begun(&self, node: usize, session: SessionId) -> Begun {
        let known = self.core(node).replica().session(session);
        let epoch = known.map_or_else(Epoch::default, |known| known.claim.epoch);
        let is_known = |other| self.has_been_live(node, other) && self.has_been_live(other, node);
        let others = (0..self.nodes.len()).filter(|&other| other != node);
        Begun { node, epoch, strangers: others.filter(|&other| !is_known(other)).collect() }
    }

    /// A handler publishes a message because of a push.
    fn publish_effect(
        &mut self,
        node: usize,
        session: SessionId,
        key: &PushKey,
        index: u32,
    ) -> Checked {
        let run = self.ghost.pushes.all[&(session, key.clone())].run;
        let topic = self.topics[(run % 3) as usize].clone();
        let cause = Cause::new(session, key.clone(), index);
        self.check_handled_in_order(node, &cause)?;
        let message = Message::text(format!("{key} led to {index}"));
        let known = self.core(node).replica().known().clone();
        let (own, next) = (self.core(node).id(), self.core(node).replica().applied());
        let fresh = MessageId::new(own, next.get(own));
        let is_open = self
            .core(node)
            .replica()
            .inbox(session)
            .is_some_and(|inbox| inbox.open().any(|push| push.key == *key));
        let to = Recipients::Everyone;
        let promises = self.ghost.promises(&topic, &to, &known);
        let (given, now) = (Some(cause.clone()), self.instant());
        let core = self.core_mut(node);
        let published = core.publish_because(&topic, to.clone(), message.clone(), given, now);
        let id = published.expect("it is small, and names few");
        let knew = self.ghost.pushes.knows_effect(&cause, &known);
        if id.origin == own && id.seq >= fresh.seq {
            self.say(|| format!("n{node} publishes {id} in {topic} because of {key}, {index}"));
            if knew && is_open {
                let text = format!("n{node} publishes {id} again for {key}, {index}");
                return violated("S2 once", text);
            }
            self.seen.published += 1;
            self.ghost.effect(id, cause, topic, (message, promises, known));
        } else if !knew {
            return violated("S7 names", format!("n{node} takes {id} for {key}, {index}"));
        }
        Ok(())
    }

    /// S3: what a client pushed before was handled before, as far as a node knows.
    fn check_handled_in_order(&self, node: usize, cause: &Cause) -> Checked {
        if self.ghost.split || self.ghost.bereft || self.ghost.hurried.contains(&cause.session) {
            return Ok(());
        }
        let known = self.core(node).replica().known();
        let pushes = &self.ghost.pushes;
        let (session, key) = (cause.session, &cause.key);
        let this = &pushes.all[&(session, key.clone())];
        for (&number, earlier) in pushes.runs[&(session, this.run)].range(..this.number) {
            let was_accepted = !pushes.all[&(session, earlier.clone())].accepted.is_empty();
            let is_done = (0..Pushes::effects_of(number)).all(|index| {
                pushes.knows_effect(&Cause::new(session, earlier.clone(), index), known)
            });
            if was_accepted && !is_done {
                let text = format!("n{node} handles {key} of {} before {earlier}", short(session));
                return violated("S3 order", text);
            }
        }
        Ok(())
    }

    /// A handler answers the client that pushed.
    fn reply(&mut self, node: usize, session: SessionId, key: &PushKey, index: u32) -> Checked {
        let Some(claim) = self.core(node).replica().session(session).map(|known| known.claim)
        else {
            return Ok(());
        };
        let known = self.core(node).replica().known().clone();
        let (own, next) = (self.core(node).id(), self.core(node).replica().applied());
        let fresh = MessageId::new(own, next.get(own));
        let message = Message::text(format!("{key} is done"));
        let cause = Cause::new(session, key.clone(), index);
        let (given, now) = (Some(cause.clone()), self.instant());
        let sent = self.core_mut(node).send(session, message.clone(), given, now);
        let id = sent.expect("the session was just seen");
        if id.origin == own && id.seq >= fresh.seq {
            self.seen.published += 1;
            let topic = crate::id::TopicName::private(session);
            let promises = vec![super::ghost::Ghost::private_promise(session, claim)];
            self.ghost.effect(id, cause, topic, (message, promises, known));
        }
        Ok(())
    }

    /// A handler returns.
    fn finish(&mut self, node: usize, session: SessionId, key: &PushKey) -> Checked {
        let now = self.instant();
        let (own, next) = (self.core(node).id(), self.core(node).replica().applied());
        let fresh = MessageId::new(own, next.get(own));
        let is_open = self
            .core(node)
            .replica()
            .inbox(session)
            .is_some_and(|inbox| inbox.open().any(|push| push.key == *key));
        self.core_mut(node).finish_push(session, key, now);
        self.say(|| format!("n{node}'s handler of {key} of {} returns", short(session)));
        if is_open && let Some(pushed) = self.ghost.pushes.get_mut(session, key) {
            pushed.finished.push(fresh);
        }
        Ok(())
    }

    /// S1: the death of a node loses no push that was acknowledged, unless as many nodes died as
    /// it was said to be on.
    pub(super) fn check_deaths(&mut self, node: usize, core: &crate::proto::Core) -> Checked {
        let now = self.instant();
        let alive = self.alive();
        let mut fallen = Vec::new();
        for ((session, key), pushed) in &self.ghost.pushes.all {
            let has = |core: &crate::proto::Core| {
                core.replica().inbox(*session).is_some_and(|inbox| inbox.has(key, now))
            };
            let is_due = pushed.copies.is_some() && !pushed.lost;
            if is_due && !self.ghost.closed.contains(session) && has(core) {
                let is_last = !alive.iter().any(|&other| has(self.core(other)));
                fallen.push(((*session, key.clone()), is_last));
            }
        }
        for ((session, key), is_last) in fallen {
            let Some(pushed) = self.ghost.pushes.get_mut(session, &key) else { continue };
            pushed.died += 1;
            pushed.lost = is_last;
            if is_last && pushed.died < pushed.copies.unwrap_or(0) {
                let text = format!("{key} of {} died with n{node}: {pushed:?}", short(session));
                return violated("S1 kept", text);
            }
        }
        Ok(())
    }

    /// S1, L1: every push of a client that is there is acknowledged, and every push that was
    /// acknowledged is handled, once, by all accounts.
    pub(super) fn check_pushes(&self) -> Checked {
        for client in &self.clients {
            if let Some(key) = client.run.unacknowledged().next() {
                return violated("L1 acknowledged", format!("{key} never was"));
            }
        }
        let now = self.instant();
        let alive = self.alive();
        for &node in &alive {
            for session in self.core(node).replica().sessions() {
                let inbox = self.core(node).replica().inbox(session.id);
                if let Some(open) = inbox.and_then(|inbox| inbox.open().next()) {
                    let who = short(session.id);
                    let text = format!("n{node} has {} of {who} open still: {open:?}", open.key);
                    return violated("L1 handled", text);
                }
            }
        }
        for ((session, key), pushed) in &self.ghost.pushes.all {
            let inboxes = alive.iter().filter_map(|&n| self.core(n).replica().inbox(*session));
            let mut has = inboxes.map(|inbox| inbox.has(key, now));
            let first = has.next();
            if has.any(|has| Some(has) != first) {
                return violated("L4 equal", format!("some lack {key} of {}", short(*session)));
            }
            self.check_push_handled(*session, key, pushed)?;
        }
        Ok(())
    }

    fn check_push_handled(
        &self,
        session: SessionId,
        key: &PushKey,
        pushed: &super::pushed::Pushed,
    ) -> Checked {
        // A session that was on several nodes may have been closed by one that knew of no other.
        let mut homes = self.connections.iter().filter(|c| c.session == session).map(|c| c.node);
        let first = homes.next();
        let is_sure = !self.ghost.split && !self.ghost.bereft && homes.all(|n| Some(n) == first);
        let is_over = self.ghost.cut_off.contains(&session)
            || (self.ghost.closed.contains(&session) && !is_sure);
        if pushed.copies.is_none() || pushed.lost || is_over {
            return Ok(());
        }
        let text = |what: &str| format!("{key} of {}: {what}: {pushed:?}", short(session));
        if pushed.finished.is_empty() {
            return violated("S1 kept", text("never handled"));
        }
        for index in 0..Pushes::effects_of(pushed.number) {
            let cause = Cause::new(session, key.clone(), index);
            let effects = self.ghost.pushes.effects.get(&cause);
            // What was on its way when its node died may have arrived after all.
            let has_come =
                |id| self.alive().iter().any(|&n| self.core(n).replica().known().covers(id));
            let is_left = |id: &MessageId| !self.ghost.has_perished(*id) || has_come(*id);
            if !effects.is_some_and(|effects| effects.iter().any(is_left)) {
                return violated("S1 kept", text(&format!("effect {index} is gone")));
            }
        }
        Ok(())
    }
}
