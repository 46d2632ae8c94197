//! What really happened, as nobody in the cluster can know it: what nodes and clients are judged by.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

use super::{Checked, pushed::Pushes, violated};
use crate::{
    id::{Cause, MessageId, NodeId, Seq, SessionId, TopicName},
    message::Message,
    proto::{Entry, Gap, Position, Recipients, Replica, Stamp},
};

/// A message that was published, and who was promised it.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) topic: TopicName,
    pub(super) to: Recipients,
    pub(super) message: Message,
    pub(super) promises: Vec<Promise>,
    /// What the node that published it knew.
    pub(super) known: Position,
    /// The push that it was published for.
    pub(super) cause: Option<Cause>,
}

/// A session is to get a message: the node that published it knew that the session was to.
#[derive(Clone, Debug)]
pub(super) struct Promise {
    pub(super) session: SessionId,
    /// The operation by which the session came to be a reader.
    pub(super) by: MessageId,
    stamp: Stamp,
}

/// A session joined or left a topic.
#[derive(Debug)]
struct Step {
    at: MessageId,
    stamp: Stamp,
    joined: bool,
    position: Position,
}

/// What the client of a session got.
#[derive(Debug, Default)]
pub(super) struct Received {
    got: BTreeSet<MessageId>,
    told: Vec<Gap>,
    last: BTreeMap<(TopicName, NodeId), Seq>,
}

impl Received {
    /// Whether the client got a message.
    pub(super) fn has(&self, id: MessageId) -> bool {
        self.got.contains(&id)
    }
}

/// The end of a session, as a handler was told of it.
#[derive(Debug)]
pub(super) struct End {
    pub(super) node: usize,
    /// The last operation of that node.
    pub(super) at: MessageId,
    /// What that node knew.
    pub(super) known: Position,
    /// Whether some node knew of a claim that the one which ended it had not heard of.
    pub(super) raced: bool,
}

/// What a session read of the effects of one run of pushes, in one topic: which push and which of its
/// effects, in the order in which they were read first.
type Read = BTreeMap<(TopicName, SessionId, u64), Vec<((u64, u32), Cause, MessageId)>>;

/// The record.
#[derive(Debug, Default)]
pub(super) struct Ghost {
    pub(super) published: BTreeMap<MessageId, Published>,
    steps: BTreeMap<(TopicName, SessionId), Vec<Step>>,
    pub(super) received: BTreeMap<SessionId, Received>,
    pub(super) pushes: Pushes,
    pub(super) read: BTreeMap<SessionId, Read>,
    /// Nodes that died so long ago that nobody waits for what they did any more.
    pub(super) given_up: BTreeSet<NodeId>,
    /// Sessions that pushed on a node which had not heard of all that they had pushed before, or
    /// that moved to one which had not heard where they had been.
    pub(super) hurried: BTreeSet<SessionId>,
    /// Sessions that the application closed, whatever they had pushed.
    pub(super) cut_off: BTreeSet<SessionId>,
    /// Sessions that somebody closed, or that ran out, at some time.
    pub(super) closed: BTreeSet<SessionId>,
    /// Sessions that went on after they were closed, on a node that had not heard of it.
    pub(super) revived: BTreeSet<SessionId>,
    pub(super) ends: BTreeMap<SessionId, Vec<End>>,
    /// Messages that a node dropped which had not heard that a session was to get them, because the
    /// node that says so was out of its sight.
    pub(super) stranded: BTreeSet<(MessageId, SessionId)>,
    /// From whom messages were taken back, and by which operations.
    pub(super) withdrawn: BTreeMap<MessageId, Vec<(MessageId, Recipients)>>,
    /// Operations that some node, at some time, did not believe: they stood behind what it had given up.
    pub(super) doubted: BTreeSet<MessageId>,
    /// Operations that died with the last node that had them: of each origin, from and to.
    perished: Vec<(NodeId, Seq, Seq)>,
    /// Whether a node was ever believed to be dead that was not.
    pub(super) split: bool,
    /// Whether a node ever crashed or left.
    pub(super) bereft: bool,
}

impl Ghost {
    /// `session` joined or left `topic` by the operation `at`.
    pub(super) fn step(
        &mut self,
        (session, topic): (SessionId, &TopicName),
        (at, stamp): (MessageId, Stamp),
        joined: bool,
        position: Position,
    ) {
        let steps = self.steps.entry((topic.clone(), session)).or_default();
        steps.push(Step { at, stamp, joined, position });
    }

    /// A handler published a message because of a push.
    pub(super) fn effect(
        &mut self,
        id: MessageId,
        cause: Cause,
        topic: TopicName,
        (message, promises, known): (Message, Vec<Promise>, Position),
    ) {
        self.pushes.effects.entry(cause.clone()).or_default().push(id);
        let (to, cause) = (Recipients::Everyone, Some(cause));
        let published = Published { topic, to, message, promises, known, cause };
        self.published.insert(id, published);
    }

    /// Who is promised what a node that knows `known` publishes now.
    pub(super) fn promises(
        &self,
        topic: &TopicName,
        to: &Recipients,
        known: &Position,
    ) -> Vec<Promise> {
        let from = (topic.clone(), SessionId::from_bits(0));
        let of_topic = self.steps.range(from..).take_while(|((name, _), _)| name == topic);
        let promise = |session: SessionId, steps: &[Step]| {
            let heard = steps.iter().filter(|step| known.covers(step.at));
            let last = heard.max_by_key(|step| step.stamp)?;
            let is_due = last.joined && to.include(session);
            is_due.then_some(Promise { session, by: last.at, stamp: last.stamp })
        };
        of_topic.filter_map(|((_, session), steps)| promise(*session, steps)).collect()
    }

    /// What is sent to a session alone rests on its claim.
    pub(super) fn private_promise(session: SessionId, claim: Stamp) -> Promise {
        Promise { session, by: MessageId::new(claim.node, claim.seq), stamp: claim }
    }

    /// Whether `session` is in the topic of `id` by all that ever happened.
    pub(super) fn ever_joined(&self, session: SessionId, topic: &TopicName) -> bool {
        topic.private_session() == Some(session)
            || self.steps.contains_key(&(topic.clone(), session))
    }

    /// Whether a promise still stands: what was promised was not taken back, nor is it gone with the nodes that had it,
    /// nor did somebody drop it who could not hear of the promise, nor is the session over, nor did
    /// it leave without having known of the message, nor did it join
    /// again, behind the message, on a node that had not heard of the first time.
    pub(super) fn is_due(&self, id: MessageId, promise: &Promise) -> bool {
        let published = &self.published[&id];
        let steps = self.steps.get(&(published.topic.clone(), promise.session));
        let ended = steps.into_iter().flatten().any(|step| match step.joined {
            true => step.position.covers(id) && !step.position.covers(promise.by),
            false => step.stamp > promise.stamp && !step.position.covers(id),
        });
        !ended
            && !self.closed.contains(&promise.session)
            && !self.has_perished(id)
            && !self.has_perished(promise.by)
            && !self.stranded.contains(&(id, promise.session))
            && !self.is_withdrawn(id, promise.session)
    }

    fn is_withdrawn(&self, id: MessageId, session: SessionId) -> bool {
        let mut withdrawn = self.withdrawn.get(&id).into_iter().flatten();
        withdrawn.any(|(_, from)| from.include(session))
    }

    /// Whether a session was promised a message, and still is.
    pub(super) fn is_promised(&self, session: SessionId, id: MessageId) -> bool {
        let promised = self.published[&id].promises.iter().find(|p| p.session == session);
        promised.is_some_and(|promise| self.is_due(id, promise))
    }

    /// Whether the client of `session` has the message, or was told that it will not get it.
    pub(super) fn has(&self, session: SessionId, id: MessageId) -> bool {
        self.received.get(&session).is_some_and(|r| r.got.contains(&id) || self.was_told(r, id))
    }

    /// The messages of one origin in `from..to`.
    pub(super) fn range(
        &self,
        origin: NodeId,
        from: Seq,
        to: Seq,
    ) -> impl Iterator<Item = (MessageId, &Published)> {
        let bounds = (
            Bound::Included(MessageId::new(origin, from)),
            Bound::Excluded(MessageId::new(origin, to)),
        );
        let range = (from < to).then(|| self.published.range(bounds));
        range.into_iter().flatten().map(|(&id, published)| (id, published))
    }

    /// A node died that had seen `had`; `left` is what the living have seen, of each origin the
    /// most.
    pub(super) fn bury(&mut self, node: usize, had: &Position, left: &Position) {
        self.bereft = true;
        for (origin, next) in had.iter() {
            if left.get(origin) < next {
                self.perished.push((origin, left.get(origin), next));
            }
        }
        // Whether its last words were heard is not known: others may well say them again.
        self.ends.values_mut().for_each(|ends| ends.retain(|end| end.node != node));
    }

    pub(super) fn has_perished(&self, id: MessageId) -> bool {
        let is_in = |&(origin, from, to): &(NodeId, Seq, Seq)| {
            id.origin == origin && from <= id.seq && id.seq < to
        };
        self.perished.iter().any(is_in)
    }

    /// A client was told of a gap.
    pub(super) fn told(&mut self, session: SessionId, gap: Gap) {
        self.received.entry(session).or_default().told.push(gap);
    }

    /// A client got a message: S3, S7 and S9 as far as the client can see them.
    pub(super) fn receive(&mut self, session: SessionId, entry: &Entry) -> Checked {
        let id = entry.id();
        let Some(published) = self.published.get(&id) else {
            return violated("S7 names", format!("{session} got {id}, which nobody published"));
        };
        if published.message != *entry.message() {
            return violated("S7 names", format!("{session} got another message as {id}"));
        }
        let topic = published.topic.clone();
        if !published.to.include(session) || !self.ever_joined(session, &topic) {
            return violated("S0 recipients", format!("{session} got {id}, which is not for it"));
        }
        self.check_causes(session, entry)?;
        let received = self.received.entry(session).or_default();
        if !received.got.insert(id) {
            return Ok(()); // Again: it had not said that it has it.
        }
        let last = received.last.entry((topic.clone(), id.origin)).or_default();
        let before = *last;
        *last = before.max(id.seq.next());
        if id.seq < before {
            return self.check_order(session, id, before);
        }
        self.check_silence(session, &topic, (id.origin, before, id.seq))
    }

    /// S3: a message that a session was promised does not come after a later one of its origin.
    fn check_order(&self, session: SessionId, id: MessageId, before: Seq) -> Checked {
        let is_due = self.is_promised(session, id);
        match is_due && !self.was_told(&self.received[&session], id) {
            true => violated("S3 order", format!("{session} got {id} after {before} of the same")),
            false => Ok(()),
        }
    }

    /// S9: nothing that a session was promised lies in silence between two that it got.
    fn check_silence(
        &self,
        session: SessionId,
        topic: &TopicName,
        (origin, from, to): (NodeId, Seq, Seq),
    ) -> Checked {
        for (id, published) in self.range(origin, from, to) {
            let promise = published.promises.iter().find(|p| p.session == session);
            if published.topic == *topic
                && promise.is_some_and(|promise| self.is_due(id, promise))
                && !self.has(session, id)
            {
                let text = format!("{session} got {origin}-{to} of {topic} but not {id} before it");
                return violated("S9 no silent gap", text);
            }
        }
        Ok(())
    }

    /// S0: a session that left gets nothing that was published by who knew so, from who knows so.
    pub(super) fn check_left(&self, session: SessionId, id: MessageId, giver: &Replica) -> Checked {
        let Some(published) = self.published.get(&id) else {
            return Ok(()); // That is told when it arrives.
        };
        let topic = giver.topics().find(&published.topic);
        let member = topic.and_then(|key| giver.topics().get(key).members.get(&session));
        if member.is_some_and(|member| member.until.is_none()) {
            return Ok(()); // It has joined again: a claim can tell so, where the join itself died.
        }
        let knows = giver.known();
        let steps = self.steps.get(&(published.topic.clone(), session));
        let steps = steps.map_or(&[][..], |steps| steps);
        let left = |known: &Position| {
            let heard = steps.iter().filter(|step| known.covers(step.at));
            let last = heard.max_by_key(|step| step.stamp)?;
            (!last.joined).then_some(last.at)
        };
        let (then, now) = (left(&published.known), left(knows));
        match then.is_some() && then == now {
            true => violated("S0 recipients", format!("{session} is given {id}, but it has left")),
            false => Ok(()),
        }
    }

    /// Whether the client of `session` was told that it will not get a message.
    pub(super) fn was_told_of(&self, session: SessionId, id: MessageId) -> bool {
        self.received.get(&session).is_some_and(|received| self.was_told(received, id))
    }

    fn was_told(&self, received: &Received, id: MessageId) -> bool {
        let topic = &self.published[&id].topic;
        received
            .told
            .iter()
            .any(|gap| gap.topic == *topic && gap.to.covers(id) && !gap.from.covers(id))
    }
}
