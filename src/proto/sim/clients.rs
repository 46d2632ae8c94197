//! Clients: they connect to some node, join and publish, get messages and mostly say so, lose their
//! connections, and come back.

use std::collections::VecDeque;

use super::{
    Checked,
    ghost::{Ghost, Published},
    pushers::Run,
    world::{Happening, Micros, Parcel, World, short},
};
use crate::{
    id::{MessageId, Principal, PushKey, SessionId, TopicName},
    message::Message,
    proto::{
        AttachmentKey, Budget, CloseReason, Detachment, Holder, Mark, Position, Recipients, Stamp,
    },
};

/// A client, which has at most one connection that it listens to.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) session: Option<SessionId>,
    pub(super) connection: Option<usize>,
    pub(super) run: Run,
    away_until: Micros,
    /// Whether its session is another client's, too.
    shares: bool,
}

impl Client {
    pub(super) fn new(run: Run) -> Self {
        Self { session: None, connection: None, run, away_until: 0, shares: false }
    }
}

/// A connection, whose two ends may disagree on whether there is one.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) node: usize,
    pub(super) key: AttachmentKey,
    pub(super) session: SessionId,
    pub(super) since: Micros,
    pub(super) client: usize,
    pub(super) server_open: bool,
    pub(super) client_open: bool,
    /// When the last that was written gets there: nothing overtakes it.
    arrives_at: Micros,
    /// Whether the server is about to read for it.
    reading: bool,
    /// Whether the client does not say what it has.
    deaf: bool,
    /// The mark that it keeps to itself.
    unsaid: Option<Mark>,
    /// When the last that the client pushed gets there.
    pub(super) pushes_at: Micros,
    /// The pushes that have arrived, and that the server has yet to take.
    pub(super) unread: VecDeque<PushKey>,
}

/// What every client shows: who forgets that of a session gives it to nobody any more.
fn holder() -> Holder {
    Holder::new(Principal::new("client").ok(), None)
}

/// What a client that is connected may do.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Publish,
    PublishToSome,
    Send,
    Join,
    Leave,
    Disconnect,
    Reattach,
    Close,
    GoAway,
    Burst,
    Push,
    Share,
    Withdraw,
}

impl Deed {
    const ALL: [Self; 13] = [
        Self::Publish,
        Self::PublishToSome,
        Self::Send,
        Self::Join,
        Self::Leave,
        Self::Disconnect,
        Self::Reattach,
        Self::Close,
        Self::GoAway,
        Self::Burst,
        Self::Push,
        Self::Share,
        Self::Withdraw,
    ];
}

impl World {
    /// A client does something, and will do something else.
    pub(super) fn think(&mut self, client: usize) -> Checked {
        self.plan_within(400, Happening::Think { client });
        let Some(connection) = self.clients[client].connection else {
            let is_away = self.clients[client].away_until > self.now;
            return match !is_away && self.dice.chance(700) {
                true => self.attach(client),
                false => Ok(()),
            };
        };
        self.push_again_if_due(client, connection);
        let weights = self.faults.deeds;
        let (true, Some(deed)) = (self.chaos, self.dice.weighted(&weights)) else {
            return Ok(());
        };
        let Connection { node, session, server_open: true, .. } = self.connections[connection]
        else {
            return Ok(()); // It has not noticed yet.
        };
        if !self.is_awake(node) {
            return Ok(());
        }
        let topic = self.dice.below(self.topics.len());
        let topic = self.topics[topic].clone();
        match Deed::ALL[deed] {
            Deed::Publish => self.publish(node, &topic, Recipients::Everyone),
            Deed::PublishToSome => {
                let to = self.some_recipients(session);
                self.publish(node, &topic, to)
            }
            Deed::Send => self.send_to_one(node),
            Deed::Join => self.join(node, session, &topic),
            Deed::Leave => self.leave(node, session, &topic),
            Deed::Disconnect => {
                self.disconnect(connection);
                Ok(())
            }
            Deed::Reattach => self.attach(client),
            Deed::Close => self.close(node, connection),
            Deed::Push => {
                for _ in 0..self.dice.between(1, 4) {
                    self.push(client, connection);
                }
                Ok(())
            }
            Deed::Share => self.share(client),
            Deed::Withdraw => self.withdraw(node, session, &topic),
            Deed::GoAway => {
                self.clients[client].away_until = self.now + self.dice.between(1, 12) * 1_000_000;
                if self.dice.chance(300) {
                    self.clients[client].run = Run::new(&mut self.dice);
                }
                self.disconnect(connection);
                Ok(())
            }
            Deed::Burst => {
                for _ in 0..self.dice.between(5, 40) {
                    self.publish(node, &topic, Recipients::Everyone)?;
                }
                Ok(())
            }
        }
    }

    /// The server gives a connection what is next.
    pub(super) fn read(&mut self, connection: usize) -> Checked {
        self.connections[connection].reading = false;
        self.take_pushes(connection)?;
        let Connection { node, key, server_open: true, .. } = self.connections[connection] else {
            return Ok(());
        };
        let messages = self.dice.pick(&[1, 3, 100]).unwrap_or(3);
        let bytes = self.dice.pick(&[1, 100, 10_000]).unwrap_or(100);
        let batch = self.core_mut(node).read(key, Budget { messages, bytes });
        let is_empty = batch.is_empty();
        let session = self.connections[connection].session;
        for entry in &batch.entries {
            self.ghost.check_left(session, entry.id(), self.core(node).replica())?;
            self.check_withdrawn(node, session, entry.id())?;
        }
        let mark = self.core_mut(node).mark(key);
        if !is_empty {
            self.plan_read(connection);
        }
        let acknowledged = self.take_acknowledgements(connection, batch.acknowledged)?;
        if !is_empty || mark.is_some() {
            let parcel = Parcel { entries: batch.entries, gaps: batch.gaps, mark, acknowledged };
            let arrives = self.now + self.dice.between(200, 30_000);
            let arrives_at = &mut self.connections[connection].arrives_at;
            *arrives_at = arrives.max(*arrives_at);
            let delay = *arrives_at - self.now;
            self.plan(delay, Happening::Deliver { connection, parcel });
        }
        self.after(node)
    }

    /// What a server wrote has arrived, if there is still somebody to get it.
    pub(super) fn deliver(&mut self, connection: usize, parcel: Parcel) -> Checked {
        let Connection { session, client_open: true, deaf, .. } = self.connections[connection]
        else {
            return Ok(());
        };
        self.hear_acknowledged(connection, &parcel.acknowledged);
        for gap in parcel.gaps {
            self.seen.gaps += 1;
            self.say(|| format!("session {} is told of a gap: {gap:?}", short(session)));
            self.ghost.told(session, gap);
        }
        for entry in &parcel.entries {
            self.seen.received += 1;
            let topic = self.ghost.published.get(&entry.id()).map(|it| it.topic.clone());
            let (who, id) = (short(session), brief_id(entry.id()));
            self.say(|| format!("session {who} gets {id} of {topic:?}"));
            self.show(connection, entry)?;
            self.ghost.receive(session, entry)?;
        }
        let Some(mark) = parcel.mark else {
            return Ok(());
        };
        if deaf {
            self.connections[connection].unsaid = Some(mark);
        } else {
            let late = self.faults.late + 1;
            self.plan_within(late, Happening::Confirm { connection, mark });
        }
        Ok(())
    }

    /// The server hears that a client has everything before `mark`.
    pub(super) fn confirm(&mut self, connection: usize, mark: Mark) -> Checked {
        let Connection { node, key, client_open, .. } = self.connections[connection];
        if !self.is_alive(node) || !client_open {
            return Ok(()); // It was lost with the connection.
        }
        if self.dice.chance(20) {
            self.core_mut(node).acknowledge(key, Mark::new(mark.get() + 1));
        }
        self.core_mut(node).acknowledge(key, mark);
        self.plan_read(connection);
        self.after(node)
    }

    /// The server notices that a connection is gone.
    pub(super) fn detach(&mut self, connection: usize) -> Checked {
        let Connection { node, key, .. } = self.connections[connection];
        self.connections[connection].server_open = false;
        if !self.is_alive(node) {
            return Ok(());
        }
        self.say(|| format!("n{node} notices that connection {connection} is gone"));
        let (kept, now) = (self.faults.limits.session_kept, self.instant());
        self.core_mut(node).detach(key, Detachment::Lost, kept, now);
        self.after(node)
    }

    /// A client notices that its connection is gone.
    pub(super) fn hang_up(&mut self, connection: usize) {
        let Connection { client, .. } = self.connections[connection];
        self.connections[connection].client_open = false;
        if self.clients[client].connection == Some(connection) {
            self.clients[client].connection = None;
        }
    }

    /// The faults are over: who did not say what it has, says so.
    pub(super) fn hear_again(&mut self, connection: usize) {
        self.connections[connection].deaf = false;
        if let Some(mark) = self.connections[connection].unsaid.take() {
            self.plan_within(100, Happening::Confirm { connection, mark });
        }
    }

    pub(super) fn plan_read(&mut self, connection: usize) {
        let state = &mut self.connections[connection];
        if state.server_open && !std::mem::replace(&mut state.reading, true) {
            self.plan_within(20, Happening::Read { connection });
        }
    }

    fn attach(&mut self, client: usize) -> Checked {
        let mut nodes = self.alive();
        nodes.retain(|&node| !self.nodes[node].leaving && self.is_awake(node));
        let Some(node) = self.dice.pick(&nodes) else {
            return Ok(());
        };
        if let Some(old) = self.clients[client].connection.take() {
            self.abandon(old);
        }
        let (asked, now) = (self.clients[client].session, self.instant());
        asked.into_iter().for_each(|session| self.note_hurried(node, session));
        let fresh =
            SessionId::from_bits(u128::from(self.dice.roll()) << 64 | u128::from(self.dice.roll()));
        let attached = self.core_mut(node).attach(asked, fresh, "/path", &holder(), now);
        let (key, session) = (attached.key, attached.session);
        let number = self.connections.len();
        self.say(|| {
            let how = if attached.resumed { "again" } else { "anew" };
            format!("client {client} attaches {how} to n{node} as {}, #{number}", short(session))
        });
        self.seen.resumed += u64::from(attached.resumed);
        if self.ghost.closed.contains(&session) {
            self.ghost.revived.insert(session);
        }
        self.connections.push(Connection {
            node,
            key,
            session,
            since: self.now,
            client,
            server_open: true,
            client_open: true,
            arrives_at: 0,
            reading: false,
            deaf: self.chaos && self.dice.chance(self.faults.deaf),
            unsaid: None,
            pushes_at: 0,
            unread: VecDeque::new(),
        });
        let mine = &mut self.clients[client];
        if mine.session.replace(session) != Some(session) {
            mine.run.begin_anew();
        }
        mine.connection = Some(number);
        self.push_again(client, number);
        self.plan_read(number);
        self.after(node)?;
        if attached.ready_due {
            for topic in self.topics.clone() {
                if self.dice.chance(700) {
                    self.join(node, session, &topic)?;
                }
            }
            if self.dice.chance(900) {
                self.core_mut(node).set_ready(session, now);
            }
        }
        self.after(node)
    }

    /// Notes that a node which is to claim a session has not heard of the last claim, but another
    /// has: it asks the wrong node what the client did, or nobody, and both may go on.
    fn note_hurried(&mut self, node: usize, session: SessionId) {
        let claim =
            |node: usize| self.core(node).replica().session(session).map(|known| known.claim);
        let last = self.alive().into_iter().filter_map(claim).max();
        if claim(node) < last {
            self.ghost.hurried.insert(session);
        }
    }

    fn disconnect(&mut self, connection: usize) {
        self.say(|| format!("connection {connection} breaks"));
        self.hang_up(connection);
        self.abandon(connection);
    }

    /// A client listens to a connection no longer, which the server notices in time or late.
    fn abandon(&mut self, connection: usize) {
        self.connections[connection].client_open = false;
        let late = self.dice.chance(self.faults.half_open);
        self.plan_within(if late { 6_000 } else { 100 }, Happening::Detach { connection });
    }

    fn some_recipients(&mut self, publisher: SessionId) -> Recipients {
        let others: Vec<_> = self.clients.iter().filter_map(|client| client.session).collect();
        let (a, b) = (self.dice.pick(&others), self.dice.pick(&others));
        match self.dice.below(4) {
            0 => Recipients::except([publisher]),
            1 => Recipients::except(a.into_iter().chain(b)),
            2 => Recipients::only([publisher]),
            _ => Recipients::only(a.into_iter().chain(b)),
        }
    }

    fn publish(&mut self, node: usize, topic: &TopicName, to: Recipients) -> Checked {
        let known = self.core(node).replica().known().clone();
        let promises = self.ghost.promises(topic, &to, &known);
        let message = self.some_message();
        let now = self.instant();
        let published = self.core_mut(node).publish(topic, to.clone(), message.clone(), now);
        let id = published.expect("it is small, and names few");
        self.say(|| format!("n{node} publishes {} in {topic} for {to:?}", brief_id(id)));
        let topic = topic.clone();
        let published = Published { topic, to, message, promises, known, cause: None };
        self.ghost.published.insert(id, published);
        self.ask(node, id);
        self.after(node)
    }

    fn send_to_one(&mut self, node: usize) -> Checked {
        let sessions: Vec<_> =
            self.core(node).replica().sessions().map(|s| (s.id, s.claim)).collect();
        let Some((session, claim)) = self.dice.pick(&sessions) else {
            return Ok(());
        };
        let known = self.core(node).replica().known().clone();
        let (message, now) = (self.some_message(), self.instant());
        let sent = self.core_mut(node).send(session, message.clone(), None, now);
        let id = sent.expect("the session was just seen");
        self.say(|| format!("n{node} sends {} to {}", brief_id(id), short(session)));
        let promises = vec![Ghost::private_promise(session, claim)];
        let (topic, to) = (TopicName::private(session), Recipients::Everyone);
        let published = Published { topic, to, message, promises, known, cause: None };
        self.ghost.published.insert(id, published);
        self.ask(node, id);
        self.after(node)
    }

    fn some_message(&mut self) -> Message {
        self.seen.published += 1;
        let number = self.seen.published;
        match self.dice.below(8) {
            0 => Message::binary(vec![number as u8; self.dice.below(2_000)]),
            _ => Message::text(format!("message {number}")),
        }
    }

    fn join(&mut self, node: usize, session: SessionId, topic: &TopicName) -> Checked {
        let Some((at, stamp, before)) = self.next_step(node, session) else {
            return Ok(());
        };
        let now = self.instant();
        let joined = self.core_mut(node).join(session, topic, now);
        joined.expect("the session was just seen, and there are few topics");
        if self.core(node).replica().applied().covers(at) {
            self.say(|| format!("session {} joins {topic} on n{node}", short(session)));
            self.ghost.step((session, topic), (at, stamp), true, before);
        }
        self.after(node)
    }

    fn leave(&mut self, node: usize, session: SessionId, topic: &TopicName) -> Checked {
        let Some((at, stamp, before)) = self.next_step(node, session) else {
            return Ok(());
        };
        let now = self.instant();
        let left = self.core_mut(node).leave(session, topic, now);
        left.expect("the session was just seen");
        if self.core(node).replica().applied().covers(at) {
            self.say(|| format!("session {} leaves {topic} on n{node}", short(session)));
            self.ghost.step((session, topic), (at, stamp), false, before);
        }
        self.after(node)
    }

    /// A session is closed: by its client, who waits for nothing, or by the application, somewhere.
    fn close(&mut self, node: usize, connection: usize) -> Checked {
        let Connection { session, key, client, .. } = self.connections[connection];
        if self.core(node).replica().session(session).is_none() {
            return Ok(());
        }
        self.ghost.closed.insert(session);
        let now = self.instant();
        if self.dice.chance(500) {
            self.say(|| format!("the client of session {} is done", short(session)));
            self.core_mut(node).close_from(key, now);
            self.clients[client].session = None;
            self.disconnect(connection);
            return self.after(node);
        }
        let mut awake = self.alive();
        let knows = |node: usize| self.core(node).replica().session(session).is_some();
        awake.retain(|&node| self.is_awake(node) && knows(node));
        let node = self.dice.pick(&awake).unwrap_or(node);
        self.say(|| format!("n{node} closes session {}", short(session)));
        self.ghost.cut_off.insert(session);
        self.core_mut(node).close(session, CloseReason::Application, now);
        self.after(node)
    }

    /// A client takes the session of another, as a page does whose tab was duplicated.
    fn share(&mut self, client: usize) -> Checked {
        let other = self.dice.below(self.clients.len());
        let Some(session) = self.clients[other].session.filter(|_| other != client) else {
            return Ok(());
        };
        self.say(|| format!("client {client} takes session {} of {other}", short(session)));
        let mine = &mut self.clients[client];
        (mine.session, mine.shares) = (Some(session), true);
        mine.run.begin_anew();
        self.attach(client)
    }

    /// The faults are over: who has the session of another leaves it to that.
    pub(super) fn give_back(&mut self, client: usize) {
        if std::mem::take(&mut self.clients[client].shares) {
            self.clients[client].session = None;
            if let Some(connection) = self.clients[client].connection {
                self.disconnect(connection);
            }
        }
    }

    /// Which operation comes next on `node`, and with which stamp if it is about `session`.
    fn next_step(&self, node: usize, session: SessionId) -> Option<(MessageId, Stamp, Position)> {
        let core = self.core(node);
        let epoch = core.replica().session(session)?.claim.epoch;
        let applied = core.replica().applied();
        let at = MessageId::new(core.id(), applied.get(core.id()));
        Some((at, Stamp::new(epoch, at.origin, at.seq), applied.clone()))
    }
}

fn brief_id(id: MessageId) -> String {
    format!("{}-{}", &id.origin.short()[..4], id.seq)
}
