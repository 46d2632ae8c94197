//! One node, without its sockets: what it does when something happens.
//!
//! ```text
//!   application, clients                                        peers
//!   publish, attach, join, ...  ---->  +--------+  <----  handle_frame, handle_link_up, ...
//!   read, mark, acknowledge     <---->  |  Core  |
//!   poll_event, poll_wake       <----  +--------+  ---->  poll_transmit, one lane at a time
//!                                        ^
//!                                        |  handle_timeout, at poll_timeout
//! ```
//!
//! What happens here goes into the journal, is folded into the replica, and is sent to peers from
//! the journal's tail; what happened elsewhere comes in as frames and is folded into the same
//! replica. Sessions that are attached here read the replica's logs.

mod clients;
mod disk;
mod doubts;
mod explain;
mod fates;
mod links;
mod posts;
mod pushes;
mod reading;
mod room;
mod steering;
mod survey;
mod sweep;
mod takeover;
#[cfg(test)]
mod tests;
mod usage;
mod watches;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use thiserror::Error;

pub use fates::{Fate, Pending};
pub use posts::PostKey;
pub use pushes::{Acknowledgement, Push};
pub use survey::Lag;
pub use usage::Usage;
pub use watches::{Verdict, WatchKey};

use watches::Watches;

use doubts::Doubts;
use posts::Posts;
use pushes::{PATIENT_FOR, Pushes};
use takeover::Takeovers;

use super::{
    Accounting, AttachmentKey, Change, CloseReason, Closures, Detachment, Durability, LogLimits,
    Membership, NodeEvent, Op, Position, Recipients, Replica, Session, SessionState, SlowConsumers,
    Tail, TailLimits, TopicKey,
    attachment::Attachments,
    flight::{Flight, FlightLimits, Happened},
    peer::{Lane, Peer},
    recorder::Recorder,
    wire::{Encoded, MAX_MESSAGE_BYTES},
};
use crate::{
    id::{Cause, Epoch, MessageId, NodeId, PushKey, Seq, SessionId, TopicName},
    message::Message,
};

/// How much a node keeps, and for how long.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "any value is right, and a new limit breaks nobody")]
pub struct Limits {
    /// Of each topic.
    pub log: LogLimits,
    /// Of all topics together, in bytes. At the limit the largest give way first. Defaults to
    /// 256 MiB.
    pub logs_bytes: usize,
    /// Of each journal, for peers.
    pub tail: TailLimits,
    /// How long a session is kept once its attachment is gone. Defaults to 2 minutes.
    pub session_kept: Duration,
    /// How long a dead node is remembered once no message of it is left. Defaults to 10 minutes.
    pub dead_kept: Duration,
    /// How well a client's push is stored before it is acknowledged.
    pub durability: Durability,
    /// The most sessions that there may be before this node begins no more. Defaults to 1,000,000.
    pub sessions: usize,
    /// The most topics that there may be, those of single sessions apart, before this node opens no
    /// more. Defaults to 100,000.
    pub topics: usize,
    /// What becomes of a client that does not read as fast as is published. Defaults to a gap.
    pub slow_consumers: SlowConsumers,
    /// How much is remembered of what happened, so that it can be explained.
    pub flight: FlightLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            log: LogLimits::default(),
            logs_bytes: 256 << 20,
            tail: TailLimits::default(),
            session_kept: Duration::from_secs(120),
            dead_kept: Duration::from_secs(600),
            durability: Durability::default(),
            sessions: 1_000_000,
            topics: 100_000,
            slow_consumers: SlowConsumers::default(),
            flight: FlightLimits::default(),
        }
    }
}

/// Something that the runtime has to act on.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// This attachment is over: its connection is to be closed.
    AttachmentEnded {
        /// Which.
        key: AttachmentKey,
        /// Why.
        why: Ended,
    },
    /// A push is open that this node's handler is to be told of, once it has been told of those
    /// before: see [`Core::begin_push`].
    Pushed {
        /// Who sent it.
        session: Session,
        /// What its client calls it.
        key: PushKey,
    },
    /// A session is over, and this node is the one to tell its handler.
    SessionEnded {
        /// What it was.
        session: Session,
        /// Why.
        reason: CloseReason,
    },
}

/// Why an attachment is over though its connection is not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Ended {
    /// The session is over.
    Closed(CloseReason),
    /// The client did not read fast enough: see [`SlowConsumers::Close`]. Its session is detached.
    Slow,
    /// The client is to connect anew: see [`Core::resume`]. Its session is detached.
    Resumed,
    /// The session has a newer attachment, here or on another node.
    Superseded,
}

/// What attaching came to.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Attached {
    /// By which the attachment is named from now on.
    pub key: AttachmentKey,
    /// Which session it belongs to.
    pub session: SessionId,
    /// Whether the session existed before.
    pub resumed: bool,
    /// Whether the handler has yet to have its first word.
    pub ready_due: bool,
    /// Whether the session existed, and its last connection is known to be gone.
    pub was_gone: bool,
}

/// Why a message was not published. Nobody will receive it.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum Refused {
    /// It is too long. Trying again does not help.
    #[error("the message has {bytes} bytes, more than the limit of {MAX_MESSAGE_BYTES}")]
    TooLarge {
        /// How long it is.
        bytes: usize,
    },
    /// It names too many recipients. A topic for them helps.
    #[error("the message names {named} sessions, more than the limit of {}", Recipients::MAX_NAMED)]
    TooManyRecipients {
        /// How many it names.
        named: usize,
    },
    /// The session is over, or unknown. Trying again does not help.
    #[error("the session is over")]
    NoSession,
    /// The node is about to leave. Another may take it.
    #[error("the node is shutting down")]
    Leaving,
    /// There are as many topics as there may be, and this is a new one. Waiting helps.
    #[error("there are as many topics as there may be")]
    NoRoom,
    /// The message is not kept here: all have it, or it is gone, or it never was of that topic.
    #[error("the message is not kept")]
    NoMessage,
    /// The topic is closed. Waiting until it is opened again helps.
    #[error("the topic is closed")]
    TopicClosed,
    /// As many topics are closed as may be. Opening one helps.
    #[error("{} topics are closed already", Closures::MAX)]
    TooManyClosed,
    /// The session is in as many topics as it may be. Leaving one helps.
    #[error("the session is in {} topics already", SessionState::MAX_TOPICS)]
    TooManyTopics,
}

/// One node, without its sockets.
#[derive(Debug)]
pub struct Core {
    id: NodeId,
    limits: Limits,
    replica: Replica,
    /// This node's journal, and those of its peers.
    tails: BTreeMap<NodeId, Tail>,
    peers: BTreeMap<NodeId, Peer>,
    /// The other nodes that membership believes to be alive.
    live: BTreeSet<NodeId>,
    /// Since when each other origin has been dead.
    dead: BTreeMap<NodeId, Instant>,
    /// Since when each other origin has been heard of that membership says nothing about.
    strangers: BTreeMap<NodeId, Instant>,
    attachments: Attachments,
    attached: BTreeMap<SessionId, AttachmentKey>,
    readers: BTreeMap<TopicKey, BTreeSet<AttachmentKey>>,
    /// When the sessions that are owned and detached here are to be closed.
    deadlines: BTreeSet<(Instant, SessionId)>,
    deadline_of: BTreeMap<SessionId, Instant>,
    /// When somebody was last asked for an origin's operations, and what was missing then.
    pulls: BTreeMap<NodeId, (Instant, Seq)>,
    takeovers: Takeovers,
    doubts: Doubts,
    pushes: Pushes,
    posts: Posts,
    next_sweep: Option<Instant>,
    next_repeat: Option<Instant>,
    snapshots_made: u64,
    /// What of this node's journal is on its disk, if it has one that works.
    durable: Option<Seq>,
    /// What is to get there.
    recorder: Option<Recorder>,
    watches: Watches,
    /// What happened of late.
    flight: Flight,
    /// The message that was published here last, until somebody asks.
    published: Option<MessageId>,
    /// Whether this node is about to leave.
    leaving: bool,
    /// Whether something came from peers or the disk, or became of them, since this was last asked.
    news: bool,
    /// Whether changes are being handled, so that what they lead to waits its turn.
    is_handling: bool,
    events: VecDeque<Event>,
    wakes: Vec<AttachmentKey>,
    lanes_due: BTreeSet<Lane>,
}

impl Core {
    /// The node `id`, which must be new.
    pub fn new(id: NodeId, limits: Limits) -> Self {
        Self {
            id,
            limits,
            replica: Replica::new(id, limits.log),
            tails: BTreeMap::from([(id, Tail::new(Seq::FIRST, limits.tail))]),
            peers: BTreeMap::new(),
            live: BTreeSet::new(),
            dead: BTreeMap::new(),
            strangers: BTreeMap::new(),
            attachments: Attachments::default(),
            attached: BTreeMap::new(),
            readers: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            deadline_of: BTreeMap::new(),
            pulls: BTreeMap::new(),
            takeovers: Takeovers::default(),
            doubts: Doubts::default(),
            pushes: Pushes::default(),
            posts: Posts::default(),
            next_sweep: None,
            next_repeat: None,
            snapshots_made: 0,
            durable: None,
            recorder: None,
            watches: Watches::default(),
            flight: Flight::new(limits.flight),
            published: None,
            leaving: false,
            news: false,
            is_handling: false,
            events: VecDeque::new(),
            wakes: Vec::new(),
            lanes_due: BTreeSet::new(),
        }
    }

    /// Publishes a message. Every session in the topic that it is for will get it.
    ///
    /// # Errors
    ///
    /// [`Refused`]: nothing was published.
    pub fn publish(
        &mut self,
        topic: &TopicName,
        to: Recipients,
        message: Message,
        now: Instant,
    ) -> Result<MessageId, Refused> {
        self.publish_because(topic, to, message, None, now)
    }

    /// As [`publish`](Self::publish), by a handler that was told of a push. What was published for
    /// the same cause before, by a handler whose node died before it returned, is not published
    /// again: this is then that message.
    ///
    /// # Errors
    ///
    /// [`Refused`]: nothing was published.
    pub fn publish_because(
        &mut self,
        topic: &TopicName,
        to: Recipients,
        message: Message,
        cause: Option<Cause>,
        now: Instant,
    ) -> Result<MessageId, Refused> {
        self.check_staying()?;
        check_message(&message, &to)?;
        self.check_topic(topic)?;
        if let Some(id) = cause.as_ref().and_then(|cause| self.replica.effect(cause)) {
            // What the handler does next, and that it has returned, comes after this for all.
            self.follow_journal(id.origin, id.seq.next(), now);
            return Ok(id);
        }
        Ok(self.commit(Op::Published { topic: topic.clone(), to, message, cause }, now))
    }

    /// Sends a message to one session, wherever it is.
    ///
    /// # Errors
    ///
    /// [`Refused`]: nothing was sent.
    pub fn send(
        &mut self,
        session: SessionId,
        message: Message,
        cause: Option<Cause>,
        now: Instant,
    ) -> Result<MessageId, Refused> {
        if self.replica.session(session).is_none() {
            return Err(Refused::NoSession);
        }
        let topic = TopicName::private(session);
        self.publish_because(&topic, Recipients::Everyone, message, cause, now)
    }

    /// The handler has had its first word about a session.
    pub fn set_ready(&mut self, session: SessionId, now: Instant) {
        if self.replica.session(session).is_some_and(|session| !session.ready) {
            self.commit(Op::SessionReady { session }, now);
        }
    }

    /// An attachment's connection is gone. Its session is closed, as abandoned for the same reason,
    /// unless it is back within `kept`.
    ///
    /// Harmless if the attachment is over already.
    pub fn detach(&mut self, key: AttachmentKey, why: Detachment, kept: Duration, now: Instant) {
        let Some(session) = self.session_of(key) else {
            return;
        };
        self.remove_attachment(key);
        self.flight.set_now(now);
        self.flight.detach(session, why);
        if let Some(epoch) = self.replica.session(session).map(|session| session.claim.epoch) {
            self.commit(Op::SessionDetached { session, epoch, why }, now);
            self.set_deadline(session, now + kept);
        }
    }

    /// Ends a session, wherever it is. Harmless if it is over already.
    pub fn close(&mut self, session: SessionId, reason: CloseReason, now: Instant) {
        if let Some(known) = self.replica.session(session) {
            let owner = known.claim.node;
            // Just one node tells the handler, whoever else claims the session meanwhile.
            let owner = if self.live.contains(&owner) { owner } else { self.id };
            self.commit(Op::SessionClosed { session, owner, reason }, now);
        }
    }

    /// The client of an attachment says that it is done: its session ends, unless it has a newer
    /// attachment by now.
    pub fn close_from(&mut self, key: AttachmentKey, now: Instant) {
        if let Some(session) = self.session_of(key) {
            self.close_when_idle(session, CloseReason::Client, now);
        }
    }

    /// Lets a session read a topic, from now on. Harmless if it does already.
    ///
    /// # Errors
    ///
    /// [`Refused`]: the session reads what it read before.
    pub fn join(
        &mut self,
        session: SessionId,
        topic: &TopicName,
        now: Instant,
    ) -> Result<(), Refused> {
        self.check_staying()?;
        let epoch = self.epoch_of(session)?;
        if self.membership_is_open(session, topic) {
            return Ok(());
        }
        if self.replica.topics_of(session).len() >= SessionState::MAX_TOPICS {
            return Err(Refused::TooManyTopics);
        }
        self.check_topic(topic)?;
        let from = self.start_of(session, topic);
        self.commit(Op::Joined { session, epoch, topic: topic.clone(), from }, now);
        Ok(())
    }

    /// Lets a session read a topic no longer. What was published before, it still gets.
    ///
    /// # Errors
    ///
    /// [`Refused`]: the session is over.
    pub fn leave(
        &mut self,
        session: SessionId,
        topic: &TopicName,
        now: Instant,
    ) -> Result<(), Refused> {
        self.check_staying()?;
        let epoch = self.epoch_of(session)?;
        if self.membership_is_open(session, topic) {
            let until = self.replica.applied().clone();
            self.commit(Op::Left { session, epoch, topic: topic.clone(), until }, now);
        }
        Ok(())
    }

    /// What happens next happens now, for those to whom it is explained later: what is given to
    /// attachments, and acknowledged by them, has no time of its own.
    pub fn set_now(&mut self, now: Instant) {
        self.flight.set_now(now);
    }

    /// What happens is told from now on by [`poll_node_events`](Self::poll_node_events), or no longer.
    pub fn set_followed(&mut self, is_followed: bool) {
        self.replica.topics_mut().ledger.events.set_followed(is_followed);
    }

    /// What happened, for those who follow that. Messages that were dropped are told once a second.
    pub fn poll_node_events(&mut self, now: Instant) -> Vec<NodeEvent> {
        self.replica.topics_mut().ledger.events.poll(now)
    }

    /// What happened that the runtime has to act on.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The attachments that were waiting and have something to read now.
    pub fn poll_wakes(&mut self) -> Vec<AttachmentKey> {
        std::mem::take(&mut self.wakes)
    }

    /// The lanes on which there may be something to send, to some peer.
    pub fn poll_lanes(&mut self) -> BTreeSet<Lane> {
        std::mem::take(&mut self.lanes_due)
    }

    /// Whether something came from peers or the disk, or became of them, since this was last asked.
    pub fn poll_news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }

    /// This node.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// What this node knows of the cluster.
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// What became of the messages that this node stored.
    pub fn accounting(&self) -> Accounting {
        self.replica.topics().accounting()
    }

    /// Writes the next operation of this node's journal.
    fn commit(&mut self, op: Op, now: Instant) -> MessageId {
        let id = MessageId::new(self.id, self.replica.applied().get(self.id));
        if matches!(op, Op::Published { .. }) {
            self.published = Some(id);
        }
        let encoded = Encoded::op(id, &op);
        self.flight.set_now(now);
        self.note_op(self.id, &op);
        self.record(&encoded);
        self.tails.get_mut(&self.id).expect("a node has its own journal").push(encoded);
        let applied = self.replica.apply(id, op, now);
        debug_assert!(applied, "an own operation is the next");
        self.lanes_due.insert(Lane::Journal);
        self.handle_changes(now);
        id
    }

    fn handle_changes(&mut self, now: Instant) {
        if std::mem::replace(&mut self.is_handling, true) {
            return; // Or thousands that each lead to an operation would be handled within one another.
        }
        while let Some(change) = self.replica.poll_change() {
            match change {
                Change::Claimed { session, lost } => {
                    if lost == Some(self.id) {
                        self.note_claimed(session);
                        self.handle_lost_claim(session, now);
                    }
                }
                Change::Closed { session, owner, reason } => {
                    self.note_closed(&session, reason);
                    self.end_attachment(session.id, Ended::Closed(reason));
                    self.clear_deadline(session.id);
                    self.forget_giving_up(session.id);
                    self.look_at_session(session.id);
                    if owner == self.id {
                        self.events.push_back(Event::SessionEnded { session, reason });
                    }
                }
                Change::Grew(topic) => self.wake_readers(topic),
                Change::Pushed { session, key } => self.tell_of_push(session, key),
                Change::Resumed(topic) => self.handle_resumed(&topic, now),
                Change::TopicClosed => self.leave_closed(now),
                Change::Withdrawn { topic, id } => {
                    self.look_at_withdrawn(id);
                    self.wake_readers(topic);
                }
                Change::MembershipChanged { session, topic } => {
                    if let Some(&key) = self.attached.get(&session) {
                        self.follow(key, session, topic);
                    }
                    self.look_at_session(session);
                    self.report(topic);
                }
            }
        }
        self.is_handling = false;
        self.look_at_ended();
        self.schedule_sweep(now);
    }

    fn epoch_of(&self, session: SessionId) -> Result<Epoch, Refused> {
        let session = self.replica.session(session).ok_or(Refused::NoSession)?;
        Ok(session.claim.epoch)
    }

    fn membership_of(&self, session: SessionId, topic: &TopicName) -> Option<&Membership> {
        let key = self.replica.topics().find(topic)?;
        self.replica.topics().get(key).members.get(&session).map(Box::as_ref)
    }

    fn membership_is_open(&self, session: SessionId, topic: &TopicName) -> bool {
        self.membership_of(session, topic).is_some_and(|member| member.until.is_none())
    }

    /// Where a session begins that joins: with what comes, or with what it has yet to get of what
    /// was published before it left, or where its client [says](Self::resume_at) that it was.
    fn start_of(&self, session: SessionId, topic: &TopicName) -> Position {
        if let Some(member) = self.membership_of(session, topic) {
            return member.acknowledged.clone();
        }
        let key = self.attachment_of(session);
        let resumes = key.and_then(|key| self.attachments.get(key)?.resumes.as_deref());
        match resumes {
            Some((named, position)) if named == topic => position.clone(),
            _ => self.replica.applied().clone(),
        }
    }
}

fn check_message(message: &Message, to: &Recipients) -> Result<(), Refused> {
    if message.len() > MAX_MESSAGE_BYTES {
        return Err(Refused::TooLarge { bytes: message.len() });
    }
    match to.named() {
        named if named > Recipients::MAX_NAMED => Err(Refused::TooManyRecipients { named }),
        _ => Ok(()),
    }
}
