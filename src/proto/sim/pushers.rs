//! Clients that push: they number what they send, keep it until it is acknowledged, and send it
//! again after a while, and after each reconnect. Some remove duplicates of what they get.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{
    Checked,
    clients::Connection,
    dice::Dice,
    violated,
    world::{Happening, Micros, SECOND, World, short},
};
use crate::{
    id::{Cause, MessageId, NodeId, PushKey, Seq, TopicName},
    message::Message,
    proto::{Acknowledgement, Durability, Entry, Push},
};

/// How many pushes a client has on their way.
const WINDOW: usize = 8;

/// How long a client waits for an acknowledgement until it sends again.
const SEND_AGAIN: Micros = 2 * SECOND;

/// How long a node waits at the least for what a session did on its last node.
const WAITS_FOR: Micros = 29 * SECOND / 10;

/// How long it takes at the most until a death is noticed, and what was said before is written.
const NOTICED_WITHIN: Micros = 6 * SECOND;

/// How many causes a client remembers.
const REMEMBERED: usize = 1_024;

/// What one run of a client has pushed, and what it removes as having come before.
#[derive(Debug)]
pub(super) struct Run {
    name: u64,
    /// Whether its pushes are counted, or have names that say nothing.
    counted: bool,
    next: u64,
    /// What is not acknowledged, in the order in which it is sent.
    unacknowledged: VecDeque<(u64, PushKey)>,
    sent_at: Micros,
    /// Whether it removes duplicates.
    picky: bool,
    have: BTreeMap<(TopicName, NodeId), Seq>,
    shown: BTreeSet<MessageId>,
    causes: VecDeque<(Cause, MessageId)>,
}

impl Run {
    pub(super) fn new(dice: &mut Dice) -> Self {
        Self {
            name: dice.roll(),
            counted: dice.chance(800),
            next: 1,
            unacknowledged: VecDeque::new(),
            sent_at: 0,
            picky: dice.chance(500),
            have: BTreeMap::new(),
            shown: BTreeSet::new(),
            causes: VecDeque::new(),
        }
    }

    /// The client has another session: what came in the last one says nothing of this one.
    pub(super) fn begin_anew(&mut self) {
        self.have.clear();
    }

    fn key(&self, number: u64) -> PushKey {
        match self.counted {
            true => PushKey::Counted { epoch: self.name, number },
            false => PushKey::Named(format!("{:x} no. {number}", self.name).into()),
        }
    }

    /// An acknowledgement is of all before, too, if pushes are counted.
    fn acknowledged(&mut self, key: &PushKey) {
        if let Some(at) = self.unacknowledged.iter().position(|(_, sent)| sent == key) {
            match self.counted {
                true => drop(self.unacknowledged.drain(..=at)),
                false => drop(self.unacknowledged.remove(at)),
            }
        }
    }

    /// Whether what is not acknowledged is sent again now.
    fn is_due(&self, now: Micros) -> bool {
        !self.unacknowledged.is_empty() && self.sent_at + SEND_AGAIN <= now
    }

    /// What has yet to be acknowledged.
    pub(super) fn unacknowledged(&self) -> impl Iterator<Item = &PushKey> {
        self.unacknowledged.iter().map(|(_, key)| key)
    }
}

fn message_of(key: &PushKey) -> Message {
    Message::text(format!("push {key}"))
}

impl World {
    /// A client pushes something new.
    pub(super) fn push(&mut self, client: usize, connection: usize) {
        let run = &mut self.clients[client].run;
        if run.unacknowledged.len() >= WINDOW {
            return;
        }
        let (number, key) = (run.next, run.key(run.next));
        run.next += 1;
        if run.unacknowledged.is_empty() {
            run.sent_at = self.now;
        }
        run.unacknowledged.push_back((number, key.clone()));
        self.seen.pushed += 1;
        self.send_push(client, connection, number, key);
    }

    /// A client sends again what is not acknowledged, if it is time to.
    pub(super) fn push_again_if_due(&mut self, client: usize, connection: usize) {
        if self.clients[client].run.is_due(self.now) {
            self.push_again(client, connection);
        }
    }

    /// A client sends again what is not acknowledged.
    pub(super) fn push_again(&mut self, client: usize, connection: usize) {
        self.clients[client].run.sent_at = self.now;
        let unacknowledged = self.clients[client].run.unacknowledged.clone();
        for (number, key) in unacknowledged {
            self.send_push(client, connection, number, key);
        }
    }

    fn send_push(&mut self, client: usize, connection: usize, number: u64, key: PushKey) {
        let (session, run) = (self.connections[connection].session, self.clients[client].run.name);
        self.ghost.pushes.send(session, &key, (run, number), &message_of(&key));
        let arrives = self.now + self.dice.between(200, 30_000);
        let pushes_at = &mut self.connections[connection].pushes_at;
        *pushes_at = arrives.max(*pushes_at);
        let delay = *pushes_at - self.now;
        self.plan(delay, Happening::Push { connection, key });
    }

    /// A push has arrived, if the connection is there still as far as the server knows.
    pub(super) fn pushed(&mut self, connection: usize, key: PushKey) -> Checked {
        let state = &mut self.connections[connection];
        if !state.server_open {
            return Ok(());
        }
        state.unread.push_back(key);
        self.take_pushes(connection)
    }

    /// A server takes what a client has pushed, in order, as far as it can.
    pub(super) fn take_pushes(&mut self, connection: usize) -> Checked {
        let (node, attachment) =
            (self.connections[connection].node, self.connections[connection].key);
        let session = self.connections[connection].session;
        while self.connections[connection].server_open
            && let Some(key) = self.connections[connection].unread.front().cloned()
        {
            let (message, now) = (message_of(&key), self.instant());
            let core = self.core_mut(node);
            let id = MessageId::new(core.id(), core.replica().applied().get(core.id()));
            let before = core.replica().inbox(session).is_some_and(|inbox| inbox.has(&key, now));
            match core.push(attachment, &key, &message, now) {
                Push::Later => return self.after(node),
                Push::Refused(_) => self.connections[connection].unread.clear(),
                Push::Accepted => {
                    self.connections[connection].unread.pop_front();
                    if !before {
                        self.say(|| format!("n{node} accepts {key} of {}", short(session)));
                        self.check_accepted_in_order(connection, &key)?;
                        let pushed = self.ghost.pushes.get_mut(session, &key);
                        pushed.into_iter().for_each(|pushed| pushed.accepted.push(id));
                    }
                }
            }
            self.after(node)?;
        }
        Ok(())
    }

    /// S3: a node that takes a session over has what its client pushed before, unless it has waited
    /// for that for so long that it waits no longer, or one before it has, or one that claimed the
    /// session had not heard who owned it last: it could not ask that one.
    fn check_accepted_in_order(&mut self, connection: usize, key: &PushKey) -> Checked {
        let now = self.instant();
        let Connection { session, node, .. } = self.connections[connection];
        let (pushes, inbox) = (&self.ghost.pushes, self.core(node).replica().inbox(session));
        let this = &pushes.all[&(session, key.clone())];
        let mut earlier = pushes.runs[&(session, this.run)].range(..this.number);
        let is_missing = |(_, earlier): &(&u64, &PushKey)| {
            let was_accepted = !pushes.all[&(session, (*earlier).clone())].accepted.is_empty();
            was_accepted && inbox.is_some_and(|inbox| !inbox.has(earlier, now))
        };
        let Some((_, missing)) = earlier.find(is_missing) else {
            return Ok(());
        };
        let its = self.connections.iter().rev().filter(|other| other.session == session);
        let since = its.take_while(|other| other.node == node).last().map_or(0, |it| it.since);
        let is_hurried = since + WAITS_FOR <= self.now || self.ghost.hurried.contains(&session);
        if self.ghost.split || self.ghost.bereft || is_hurried {
            self.ghost.hurried.insert(session);
            return Ok(());
        }
        let text = format!("n{node} accepts {key} of {}, but lacks {missing}", short(session));
        violated("S3 order", text)
    }

    /// Takes the acknowledgements that a node has for a connection: what they say is true.
    pub(super) fn take_acknowledgements(
        &mut self,
        connection: usize,
        acknowledged: Vec<Acknowledgement>,
    ) -> Result<Vec<PushKey>, super::Violation> {
        let node = self.connections[connection].node;
        for acknowledgement in &acknowledged {
            self.check_stored(node, connection, acknowledgement)?;
        }
        Ok(acknowledged.into_iter().map(|acknowledgement| acknowledgement.key).collect())
    }

    /// S1: what is acknowledged is stored on as many nodes as the acknowledgement says, which are
    /// as many as were asked for, as far as there are so many.
    fn check_stored(
        &mut self,
        node: usize,
        connection: usize,
        acknowledged: &Acknowledgement,
    ) -> Checked {
        let session = self.connections[connection].session;
        let (key, nodes) = (&acknowledged.key, acknowledged.nodes);
        self.seen.acknowledged += 1;
        let now = self.instant();
        let has = |other: &usize| {
            let inbox = self.core(*other).replica().inbox(session);
            inbox.is_some_and(|inbox| inbox.has(key, now))
        };
        let stored = self.alive().iter().filter(|other| has(other)).count();
        // Who has died of late was counted in good faith.
        let is_late = |died: Micros| died + NOTICED_WITHIN > self.now;
        let unnoticed = self.nodes.iter().filter(|node| node.died_at.is_some_and(is_late)).count();
        let was_paused = self.nodes[node].paused_until + NOTICED_WITHIN > self.now;
        let is_over = was_paused || self.ghost.closed.contains(&session);
        let wanted = match self.faults.limits.durability {
            Durability::Replicated(wanted) => {
                let live = |other: &usize| {
                    *other != node
                        && !self.nodes[*other].leaving
                        && self.has_been_live(node, *other)
                };
                1 + wanted.min((0..self.nodes.len()).filter(live).count())
            }
            Durability::Local | Durability::Disk => 1,
        };
        self.say(|| format!("n{node} acknowledges {key} of {} on {nodes}", short(session)));
        if !is_over && (nodes > stored + unnoticed || nodes < wanted) {
            let text = format!(
                "n{node} says that {key} is on {nodes} nodes: it is on {stored}, {wanted} were asked"
            );
            return violated("S1 kept", text);
        }
        if let Some(pushed) = self.ghost.pushes.get_mut(session, key) {
            (pushed.copies, pushed.died) = (Some(nodes), nodes.saturating_sub(stored));
        }
        Ok(())
    }

    /// A client hears that its pushes are stored.
    pub(super) fn hear_acknowledged(&mut self, connection: usize, keys: &[PushKey]) {
        let client = self.connections[connection].client;
        for key in keys {
            self.clients[client].run.acknowledged(key);
        }
        self.clients[client].run.sent_at = self.now;
    }

    /// S2: a client that removes duplicates removes nothing else.
    pub(super) fn show(&mut self, connection: usize, entry: &Entry) -> Checked {
        let (client, session) =
            (self.connections[connection].client, self.connections[connection].session);
        let (id, run) = (entry.id(), &mut self.clients[client].run);
        if !run.picky {
            return Ok(());
        }
        let have = run.have.entry((entry.topic().clone(), id.origin)).or_default();
        if id.seq < *have {
            let promised = self.ghost.published[&id].promises.iter();
            let is_due = promised
                .filter(|promise| promise.session == session)
                .any(|promise| self.ghost.is_due(id, promise));
            // What came before this run began it was not to get.
            let is_new = !run.shown.contains(&id) && !self.ghost.has(session, id);
            return match is_new && is_due {
                true => violated("S2 once", format!("{} removes {id}, a new one", short(session))),
                false => Ok(()),
            };
        }
        *have = id.seq.next();
        let Some(cause) = entry.cause() else {
            run.shown.insert(id);
            return Ok(());
        };
        if let Some((_, first)) = run.causes.iter().find(|(known, _)| known == cause) {
            let same = self.ghost.published[first].message == *entry.message();
            return match same {
                true => Ok(()),
                false => violated("S2 once", format!("{first} and {id} are not the same")),
            };
        }
        run.causes.push_back((cause.clone(), id));
        if run.causes.len() > REMEMBERED {
            run.causes.pop_front();
        }
        run.shown.insert(id);
        Ok(())
    }
}
