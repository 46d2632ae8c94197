//! What one node knows of the whole cluster: the fold of all journals.
//!
//! Operations of one origin are applied in their order and without gaps; those of different
//! origins in whatever order they come. Every node that has applied the same operations knows the
//! same sessions, with the same owners, in the same topics, whatever that order was: a session is
//! decided by the highest [`Stamp`], a membership likewise, and how far a session has read is the
//! most that anybody has heard.
//!
//! # Invariants
//!
//! 1. `known` is `applied`, and what was applied of retired origins, whose decisions others may
//!    still speak of.
//! 2. A session lists exactly the topics that list it as a member.
//! 3. `owners` counts the sessions of each node that owns one.
//! 4. A topic's log holds, of each origin, messages below `applied` only.
//!
//! # What is gone stays gone
//!
//! A snapshot says all that its sender knew, which is `view`. What is here, was decided
//! within that view and is not in the snapshot has gone since, and goes here too; what comes later
//! from a journal, was decided within a view already merged and is not here, is gone already, and
//! stays so. (It is the observed-remove set of the CRDT literature, with our positions as its
//! causal context.) A close that overtakes the claim it closes leaves a tombstone, and so does a
//! membership that ended: what made it may be heard of later than what ended it.

mod fold;
mod restore;
mod withdrawals;

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    CloseReason, Closed, Closures, Entry, Holder, Inbox, LogLimits, Membership, Op, OpenPush,
    Position, Session, SessionState, Stamp, TopicKey, Topics, withdrawals::Withdrawals,
};
use crate::id::{Cause, Epoch, MessageId, NodeId, PushKey, SessionId, TopicName};

/// How long a close is remembered that overtook the claim it closes.
const TOMBSTONE_FOR: Duration = Duration::from_secs(600);

/// That a session is over.
#[derive(Debug)]
struct Tombstone {
    closed: Closed,
    /// What it was, if it was heard of before it was closed.
    session: Option<Session>,
    since: Instant,
}

/// How many sessions are remembered to which there was a message before they were heard of, and how
/// much else of such sessions. At the limit the oldest are forgotten.
const MAX_EARLY: usize = 1_024;

/// How many closes are remembered. At the limit the oldest are forgotten.
const MAX_TOMBSTONES: usize = 65_536;

/// Something that changed, for those who act on it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Change {
    /// A session was claimed. `lost` is who owned it before, if somebody did.
    Claimed {
        /// Which.
        session: SessionId,
        /// The node that it was taken from.
        lost: Option<NodeId>,
    },
    /// A session is over.
    Closed {
        /// What it was.
        session: Session,
        /// The node that is to tell its handler.
        owner: NodeId,
        /// Why.
        reason: CloseReason,
    },
    /// There is a message to read.
    Grew(TopicKey),
    /// A session reads a topic from now on, or reads it no longer.
    MembershipChanged {
        /// Who.
        session: SessionId,
        /// What.
        topic: TopicKey,
    },
    /// A push was accepted that the handler is to be told of.
    Pushed {
        /// Who sent it.
        session: SessionId,
        /// What its client calls it.
        key: PushKey,
    },
    /// The clients of a topic's sessions are to connect anew.
    Resumed(TopicName),
    /// A topic was closed.
    TopicClosed,
    /// A message is for fewer than before, or for nobody.
    Withdrawn {
        /// Where it was published.
        topic: TopicKey,
        /// Which.
        id: MessageId,
    },
}

/// How many forgotten origins are remembered as forgotten. At the limit the first is forgotten for
/// good. What was decided there may be told anew then, so this is more than restart in `dead_kept`.
const MAX_RETIRED: usize = 64;

/// How many topics of a session are remembered that it departed from. At the limit the first is
/// forgotten.
const MAX_DEPARTED: usize = 16;

/// A session, and the topics that it has joined.
#[derive(Debug)]
struct Known {
    session: Session,
    topics: Vec<TopicKey>,
    /// The topics that it was in, and when it left.
    departed: VecDeque<(TopicName, Stamp)>,
    /// What its client has pushed.
    inbox: Inbox,
}

impl Known {
    fn new(session: Session) -> Self {
        let (topics, departed) = (Vec::new(), VecDeque::new());
        Self { session, topics, departed, inbox: Inbox::default() }
    }

    fn depart(&mut self, topic: TopicName, left: Stamp) {
        match self.departed.iter_mut().find(|(name, _)| *name == topic) {
            Some((_, stamp)) => *stamp = left.max(*stamp),
            None => self.departed.push_back((topic, left)),
        }
        if self.departed.len() > MAX_DEPARTED {
            self.departed.pop_front();
        }
    }
}

/// The fold of all journals.
#[derive(Debug)]
pub struct Replica {
    applied: Position,
    known: Position,
    sessions: BTreeMap<SessionId, Known>,
    owners: BTreeMap<NodeId, usize>,
    topics: Topics,
    tombstones: BTreeMap<SessionId, Tombstone>,
    /// The first message to each session that has not been heard of yet.
    early: VecDeque<(SessionId, MessageId)>,
    /// What else was heard of sessions that have not been heard of yet.
    early_ops: VecDeque<(SessionId, MessageId, Op)>,
    /// What was taken back of late.
    withdrawals: Withdrawals,
    /// Which topics are closed.
    closures: Closures,
    tombstone_order: VecDeque<(Instant, SessionId)>,
    /// Origins that are dead and forgotten, the first first: what others pass on of them is not
    /// heard.
    retired: VecDeque<NodeId>,
    /// What snapshots told, until it is [taken](Self::take_handled).
    told: Position,
    changes: VecDeque<Change>,
}

impl Replica {
    /// What node `own` knows: nothing yet. Topics keep to `limits`.
    pub fn new(own: NodeId, limits: LogLimits) -> Self {
        Self {
            applied: Position::new(),
            known: Position::new(),
            sessions: BTreeMap::new(),
            owners: BTreeMap::new(),
            topics: Topics::new(own, limits),
            tombstones: BTreeMap::new(),
            early: VecDeque::new(),
            early_ops: VecDeque::new(),
            withdrawals: Withdrawals::default(),
            closures: Closures::default(),
            tombstone_order: VecDeque::new(),
            retired: VecDeque::new(),
            told: Position::new(),
            changes: VecDeque::new(),
        }
    }

    /// Applies the next operation of its origin.
    ///
    /// Returns false, and changes nothing, if it is not the next: it was applied before, or others
    /// before it are missing; or its origin is retired, or has come to the last of all numbers.
    pub fn apply(&mut self, id: MessageId, op: Op, now: Instant) -> bool {
        let is_last = id.seq == id.seq.next();
        if id.seq != self.applied.get(id.origin) || is_last || self.is_retired(id.origin) {
            return false;
        }
        self.applied.advance(id.origin, id.seq.next());
        self.known.advance(id.origin, id.seq.next());
        match op {
            Op::Published { topic, to, message, cause } => {
                if let Some(cause) = &cause
                    && let Some(known) = self.sessions.get_mut(&cause.session)
                {
                    known.inbox.note(cause, id);
                }
                let entry = Entry::new(id, topic.clone(), to, message).caused_by(cause);
                self.store(&topic, Arc::new(entry), now);
            }
            op => self.fold(id, op, now),
        }
        true
    }

    /// What an operation says counts now, which was applied as if it said nothing.
    pub fn apply_late(&mut self, id: MessageId, op: Op, now: Instant) {
        self.fold(id, op, now);
    }

    /// What changed since this was last asked.
    pub fn poll_change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    /// `session` has everything in `topic` below `position`. Whether that was news.
    pub fn acknowledge(
        &mut self,
        session: SessionId,
        topic: TopicKey,
        position: &Position,
    ) -> bool {
        let member =
            self.topics.try_get_mut(topic).and_then(|topic| topic.members.get_mut(&session));
        member.is_some_and(|member| member.acknowledged.merge(position))
    }

    /// Forgets closes that nothing can overtake any more.
    pub fn sweep_tombstones(&mut self, now: Instant) {
        while let Some(&(since, session)) = self.tombstone_order.front()
            && (now.saturating_duration_since(since) >= TOMBSTONE_FOR
                || self.tombstone_order.len() > MAX_TOMBSTONES)
        {
            self.tombstone_order.pop_front();
            self.tombstones.remove(&session);
        }
    }

    /// Forgets an origin that is dead and of which no message is left: it is retired.
    ///
    /// Returns false, and changes nothing, if there are messages of it still, or sessions.
    pub fn forget(&mut self, origin: NodeId) -> bool {
        let is_kept = |id: MessageId| id.origin == origin;
        if self.owners.contains_key(&origin)
            || self
                .topics
                .iter()
                .any(|(_, topic)| topic.log.iter().any(|entry| is_kept(entry.id())))
        {
            return false;
        }
        self.topics.forget(origin);
        for key in self.topics.keys() {
            let topic = self.topics.get_mut(key);
            for member in topic.members.values_mut() {
                member.acknowledged.forget(origin);
                if let Some(until) = &mut member.until {
                    until.forget(origin);
                }
            }
        }
        for known in self.sessions.values_mut() {
            known.inbox.forget(origin);
        }
        self.told.forget(origin);
        self.applied.forget(origin);
        self.retired.push_back(origin);
        if self.retired.len() > MAX_RETIRED
            && let Some(first) = self.retired.pop_front()
        {
            self.known.forget(first);
        }
        true
    }

    /// An origin that was taken for dead is alive. It goes on where it was when it was forgotten:
    /// what it did before was applied then, and is over. Whether it was forgotten.
    pub fn recall(&mut self, origin: NodeId) -> bool {
        let was_forgotten = self.is_retired(origin);
        if was_forgotten {
            self.retired.retain(|&retired| retired != origin);
            let next = self.known.get(origin);
            self.applied.advance(origin, next);
            for key in self.topics.keys() {
                for member in self.topics.get_mut(key).members.values_mut() {
                    member.acknowledged.advance(origin, next);
                }
            }
        }
        was_forgotten
    }

    /// Whether there are origins that are forgotten, and of which decisions may still be spoken.
    pub fn has_retired(&self) -> bool {
        !self.retired.is_empty()
    }

    /// Whether an origin is dead and forgotten.
    pub fn is_retired(&self, origin: NodeId) -> bool {
        self.retired.contains(&origin)
    }

    /// Takes out of a position what it says of retired origins, of which nothing will come.
    pub fn strip(&self, position: &mut Position) {
        let origins: Vec<_> = position.iter().map(|(origin, _)| origin).collect();
        for origin in origins.into_iter().filter(|&origin| self.is_retired(origin)) {
            position.forget(origin);
        }
    }

    /// What has been applied, of each origin.
    pub fn applied(&self) -> &Position {
        &self.applied
    }

    /// What has been applied, of each origin, those that are retired included.
    pub fn known(&self) -> &Position {
        &self.known
    }

    /// Whether all that who knows `view` knows is known here too, or will never be.
    pub fn knows(&self, view: &Position) -> bool {
        view.iter().all(|(origin, next)| self.known.get(origin) >= next || self.is_retired(origin))
    }

    /// The session called `id`.
    pub fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(&id).map(|known| &known.session)
    }

    /// The session called `id`, if its client has asked for `path`, and who shows `shown` may use it.
    pub fn session_of(&self, id: SessionId, path: &str, shown: &Holder) -> Option<&Session> {
        self.session(id).filter(|session| &*session.path == path && session.holder.admits(shown))
    }

    /// How many sessions there are.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// The nodes that own sessions.
    pub fn owners(&self) -> impl Iterator<Item = NodeId> {
        self.owners.keys().copied()
    }

    /// All sessions, by id.
    pub fn sessions(&self) -> impl Iterator<Item = &Session> {
        self.sessions.values().map(|known| &known.session)
    }

    /// The sessions behind `after`, by id; all, if it is none.
    pub fn sessions_after(&self, after: Option<SessionId>) -> impl Iterator<Item = &Session> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let sessions = self.sessions.range((from, Bound::Unbounded));
        sessions.map(|(_, known)| &known.session)
    }

    /// That a session was closed of late, if it was.
    pub fn closed(&self, id: SessionId) -> Option<Closed> {
        self.tombstones.get(&id).map(|tombstone| tombstone.closed)
    }

    /// When a session left a topic that it has had all of.
    pub fn departed(&self, id: SessionId, topic: &TopicName) -> Option<Stamp> {
        let departed = &self.sessions.get(&id)?.departed;
        departed.iter().find(|(name, _)| name == topic).map(|&(_, left)| left)
    }

    /// The sessions that were closed of late, as far as who has applied `have` has not heard of it.
    pub fn closed_since(&self, have: &Position) -> impl Iterator<Item = (SessionId, Closed)> {
        let is_news = |closed: &Closed| !have.covers(closed.by);
        let closed = self.tombstones.iter().map(|(&id, tombstone)| (id, tombstone.closed));
        closed.filter(move |(_, closed)| is_news(closed))
    }

    /// The sessions that were closed after `since`, and whose handler `owner` was to tell.
    pub fn closed_for(
        &self,
        owner: NodeId,
        since: Option<Instant>,
    ) -> impl Iterator<Item = (&Session, Closed)> {
        let is_due = move |it: &&Tombstone| {
            it.closed.owner == owner && since.is_none_or(|since| it.since > since)
        };
        let closed = self.tombstones.values().filter(is_due);
        closed.filter_map(|it| Some((it.session.as_ref()?, it.closed)))
    }

    /// What a session's client has pushed.
    pub fn inbox(&self, session: SessionId) -> Option<&Inbox> {
        self.sessions.get(&session).map(|known| &known.inbox)
    }

    /// The handler is about to be told of the first push that is open and that it was not told of on
    /// this node, if there is one.
    pub fn begin_push(&mut self, session: SessionId) -> Option<&OpenPush> {
        self.sessions.get_mut(&session)?.inbox.begin()
    }

    /// What must have been heard of to know which pushes of a session were handled, as far as it is
    /// news since this was last asked. Snapshots tell that without saying where it was decided.
    pub fn take_handled(&mut self, session: SessionId) -> Position {
        let mut handled = std::mem::take(&mut self.told);
        if let Some(known) = self.sessions.get_mut(&session) {
            handled.merge(&known.inbox.take_handled());
        }
        handled
    }

    /// What was published for this cause before, by a handler that has not returned.
    pub fn effect(&self, cause: &Cause) -> Option<MessageId> {
        self.inbox(cause.session)?.effect(cause)
    }

    /// The topics that a session reads.
    pub fn topics_of(&self, session: SessionId) -> &[TopicKey] {
        self.sessions.get(&session).map_or(&[], |known| &known.topics)
    }

    /// All that is known of a session.
    pub fn state_of(&self, id: SessionId) -> Option<SessionState> {
        let known = self.sessions.get(&id)?;
        let memberships = known.topics.iter().filter_map(|&key| {
            let topic = self.topics.get(key);
            topic.members.get(&id).map(|member| (topic.name.clone(), Membership::clone(member)))
        });
        Some(SessionState {
            session: known.session.clone(),
            memberships: memberships.collect(),
            departed: known.departed.iter().cloned().collect(),
        })
    }

    /// The topics.
    pub fn topics(&self) -> &Topics {
        &self.topics
    }

    /// Which topics are closed.
    pub fn closures(&self) -> &Closures {
        &self.closures
    }

    /// The topics, to be trimmed.
    pub fn topics_mut(&mut self) -> &mut Topics {
        &mut self.topics
    }

    fn store(&mut self, topic: &TopicName, entry: Arc<Entry>, now: Instant) {
        let key = self.topics.open(topic);
        let id = entry.id();
        self.topics.store(key, entry, now);
        self.withdraw_early(key, id);
        if let Some(session) = topic.private_session() {
            self.join_private(session, key, id);
        }
        self.changes.push_back(Change::Grew(key));
    }

    /// What every session that was to get it has, of `topic`; `None` if there is no session.
    pub fn settled(&self, topic: TopicKey) -> Option<Position> {
        let topic = self.topics.get(topic);
        let is_early = |session| self.early.iter().any(|&(early, _)| early == session);
        match topic.name.private_session() {
            Some(session) if is_early(session) => Some(Position::new()),
            _ => topic.settled(),
        }
    }

    /// A session reads its private topic from the start, without being told to: the first message
    /// to it makes it a member.
    fn join_private(&mut self, session: SessionId, topic: TopicKey, first: MessageId) {
        let stamp = Stamp::new(Epoch::default(), first.origin, first.seq);
        if let Some(known) = self.sessions.get_mut(&session)
            && !known.topics.contains(&topic)
        {
            known.topics.push(topic);
            let member = Membership::new(stamp, Position::new());
            self.topics.get_mut(topic).admit(session, member);
            self.changes.push_back(Change::MembershipChanged { session, topic });
        } else if !self.sessions.contains_key(&session)
            && !self.tombstones.contains_key(&session)
            && self.early.iter().all(|&(early, _)| early != session)
        {
            self.early.push_back((session, first));
            if self.early.len() > MAX_EARLY {
                self.early.pop_front();
            }
        }
    }

    /// A session is another node's from now on: of one, or of none, that owned it, or is to own it.
    fn change_owner(&mut self, before: Option<NodeId>, now: Option<NodeId>) {
        if let Some(node) = now {
            *self.owners.entry(node).or_default() += 1;
        }
        if let Some(node) = before
            && let Some(owned) = self.owners.get_mut(&node)
        {
            *owned -= 1;
            if *owned == 0 {
                self.owners.remove(&node);
            }
        }
    }

    fn check(&self) {
        debug_assert_eq!(self.owners.values().sum::<usize>(), self.sessions.len());
        debug_assert!(self.known.includes(&self.applied));
        debug_assert!(self.sessions.iter().all(|(id, known)| {
            known.topics.iter().all(|&key| self.topics.get(key).members.contains_key(id))
        }));
    }
}
