//! A live connection of a session: what it has been given to write, and what its client has.
//!
//! For each topic of its session an attachment has a reader: a cursor into this node's log, and the
//! position that all it was given amounts to. Live delivery, catching up and a slow consumer are the
//! same reader at different speeds.
//!
//! What was given is not yet acknowledged. A transport asks for a mark, lets its client confirm it
//! in whatever way it can, and acknowledges the mark; at most one mark is under way.

use std::{sync::Arc, time::Instant};

use super::{Acknowledgement, Cursor, Entry, Membership, Position, Topic, TopicKey};
use crate::id::{Epoch, SessionId, TopicName};

/// An attachment among those of its node. It means nothing elsewhere, and is never used again.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AttachmentKey {
    index: usize,
    generation: u64,
}

impl AttachmentKey {
    /// By which it is told from all others of its node.
    pub(super) fn number(self) -> u64 {
        self.generation
    }
}

/// The attachments of a node.
#[derive(Debug, Default)]
pub(super) struct Attachments {
    slots: Vec<Option<(u64, Attachment)>>,
    free: Vec<usize>,
    generation: u64,
}

impl Attachments {
    pub(super) fn insert(&mut self, attachment: Attachment) -> AttachmentKey {
        self.generation += 1;
        let index = self.free.pop().unwrap_or(self.slots.len());
        if index == self.slots.len() {
            self.slots.push(None);
        }
        self.slots[index] = Some((self.generation, attachment));
        AttachmentKey { index, generation: self.generation }
    }

    pub(super) fn remove(&mut self, key: AttachmentKey) -> Option<Attachment> {
        let slot = self.slots.get_mut(key.index)?;
        let (_, attachment) = slot.take_if(|(generation, _)| *generation == key.generation)?;
        self.free.push(key.index);
        Some(attachment)
    }

    pub(super) fn get(&self, key: AttachmentKey) -> Option<&Attachment> {
        let (generation, attachment) = self.slots.get(key.index)?.as_ref()?;
        (*generation == key.generation).then_some(attachment)
    }

    pub(super) fn get_mut(&mut self, key: AttachmentKey) -> Option<&mut Attachment> {
        let (generation, attachment) = self.slots.get_mut(key.index)?.as_mut()?;
        (*generation == key.generation).then_some(attachment)
    }
}

/// Messages that a session was to get are gone. It continues behind them.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Gap {
    /// The topic.
    pub topic: TopicName,
    /// What the session has.
    pub from: Position,
    /// Where it continues. Some of what lies between is gone.
    pub to: Position,
}

/// What a transport is to write next.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Batch {
    /// Messages, in the order in which they are to be written.
    pub entries: Vec<Arc<Entry>>,
    /// What the session has to be told it will not get.
    pub gaps: Vec<Gap>,
    /// The pushes of the client that are stored.
    pub acknowledged: Vec<Acknowledgement>,
    /// Whether there may be more, which the budget left out.
    pub more: bool,
    /// Whether it has a gap since the client, which was connected, was too slow.
    pub(super) is_late: bool,
}

impl Batch {
    /// Whether there is nothing to write and nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.gaps.is_empty() && self.acknowledged.is_empty()
    }
}

/// How much a transport takes at once.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "any value is right")]
pub struct Budget {
    /// The most messages.
    pub messages: usize,
    /// Once this many bytes were taken, no more are.
    pub bytes: usize,
}

/// The number of a mark, counted from one for each attachment.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Mark(u64);

impl Mark {
    /// The mark with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number of this mark.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// How far one topic was read by one attachment.
#[derive(Debug)]
struct Reader {
    topic: TopicKey,
    cursor: Cursor,
    sent: Position,
    until: Option<Position>,
}

/// One attachment.
#[derive(Debug)]
pub(super) struct Attachment {
    pub(super) session: SessionId,
    /// By which this node claimed the session for it.
    pub(super) epoch: Epoch,
    readers: Vec<Reader>,
    /// The reader that is asked first: a busy topic does not keep others from being read.
    first: usize,
    /// The mark under way, and what it stands for.
    marked: Option<(Mark, Vec<(TopicKey, Position)>)>,
    last_mark: Mark,
    /// How many messages lie before the mark under way, and how many were given since.
    marked_messages: u64,
    unmarked_messages: u64,
    /// Whether something was given since the last mark.
    unmarked: bool,
    /// Whether that was so before the last that was given.
    was_unmarked: bool,
    /// Whether readers went past messages that are not for this session since the last mark.
    skipped: bool,
    /// Whether the transport waits to be woken.
    pub(super) waiting: bool,
    /// The pushes that are stored, and that the client has not been told of.
    pub(super) acknowledged: Vec<Acknowledgement>,
    /// How many pushes of the client are to be acknowledged once they are stored.
    pub(super) unstored: usize,
    /// Whether a client that comes back anywhere has everything before the mark under way.
    pub(super) implied: bool,
    /// Of which of its client's series of requests the marks are, if it confirms them by posts.
    pub(super) series: Option<u64>,
    /// Where the session begins with a topic that it has not joined yet, as its client says.
    pub(super) resumes: Option<Box<(TopicName, Position)>>,
    /// Until when its pushes wait for earlier ones, if the client was here or elsewhere before.
    pub(super) patient_until: Option<Instant>,
}

impl Attachment {
    pub(super) fn new(session: SessionId, epoch: Epoch) -> Self {
        Self {
            session,
            epoch,
            readers: Vec::new(),
            first: 0,
            marked: None,
            last_mark: Mark::default(),
            marked_messages: 0,
            unmarked_messages: 0,
            unmarked: false,
            was_unmarked: false,
            skipped: false,
            waiting: false,
            acknowledged: Vec::new(),
            unstored: 0,
            implied: false,
            series: None,
            resumes: None,
            patient_until: None,
        }
    }

    /// Reads `topic` from what its client has acknowledged, or as `member` has it now.
    pub(super) fn follow(&mut self, topic: TopicKey, member: &Membership) {
        match self.readers.iter_mut().find(|reader| reader.topic == topic) {
            Some(reader) => {
                if reader.until != member.until {
                    // It may be for what was passed over that it has joined again.
                    (reader.until, reader.cursor) = (member.until.clone(), Cursor::default());
                }
                reader.sent.merge(&member.acknowledged);
            }
            None => self.readers.push(Reader {
                topic,
                cursor: Cursor::default(),
                sent: member.acknowledged.clone(),
                until: member.until.clone(),
            }),
        }
    }

    /// Reads `topic` no longer.
    pub(super) fn unfollow(&mut self, topic: TopicKey) {
        self.readers.retain(|reader| reader.topic != topic);
    }

    pub(super) fn topics(&self) -> impl Iterator<Item = TopicKey> {
        self.readers.iter().map(|reader| reader.topic)
    }

    /// Whether something was dropped that it was to read next.
    pub(super) fn is_overtaken<'a>(&self, topic: impl Fn(TopicKey) -> &'a Topic) -> bool {
        self.readers.iter().any(|reader| reader.is_overtaken(topic(reader.topic)))
    }

    /// Takes what is next, as far as `budget` goes.
    pub(super) fn read<'a>(
        &mut self,
        topic: impl Fn(TopicKey) -> &'a Topic,
        budget: Budget,
        batch: &mut Batch,
    ) {
        let mut left = budget;
        let count = self.readers.len();
        for at in (0..count).map(|step| (self.first + step) % count) {
            let reader = &mut self.readers[at];
            self.skipped |= reader.read(self.session, topic(reader.topic), &mut left, batch);
            if left.messages == 0 || left.bytes == 0 {
                self.first = at + 1;
                break;
            }
        }
        self.was_unmarked = self.unmarked;
        self.unmarked_messages += batch.entries.len() as u64;
        self.unmarked |= !batch.entries.is_empty() || !batch.gaps.is_empty();
        batch.more = left.messages == 0 || left.bytes == 0;
    }

    /// A mark behind all that was given, unless one is under way or there is nothing new.
    pub(super) fn mark(&mut self) -> Option<Mark> {
        if self.marked.is_some() || !self.unmarked {
            return None;
        }
        self.last_mark = Mark(self.last_mark.0 + 1);
        self.marked = Some((self.last_mark, self.sent()));
        self.marked_messages = std::mem::take(&mut self.unmarked_messages);
        (self.unmarked, self.skipped) = (false, false);
        Some(self.last_mark)
    }

    /// How many messages the mark under way, or the last one, stands for.
    pub(super) fn marked_messages(&self) -> u64 {
        self.marked_messages
    }

    /// The last mark that was made.
    pub(super) fn last_mark(&self) -> Mark {
        self.last_mark
    }

    /// What the mark under way stands for in `topic`.
    pub(super) fn marked(&self, topic: TopicKey) -> Option<&Position> {
        let (_, positions) = self.marked.as_ref()?;
        positions.iter().find(|(key, _)| *key == topic).map(|(_, position)| position)
    }

    /// What everything that was taken of `topic` amounts to.
    pub(super) fn given(&self, topic: TopicKey) -> Option<&Position> {
        self.readers.iter().find(|reader| reader.topic == topic).map(|reader| &reader.sent)
    }

    /// What the client has, now that it confirmed `mark`; nothing if that is not under way.
    pub(super) fn confirm(&mut self, mark: Mark) -> Vec<(TopicKey, Position)> {
        match self.marked.take_if(|(marked, _)| *marked == mark) {
            Some((_, positions)) => positions,
            None => Vec::new(),
        }
    }

    /// What the client has, now that it is back elsewhere.
    pub(super) fn confirm_implied(&mut self) -> Vec<(TopicKey, Position)> {
        match self.marked.take_if(|_| self.implied) {
            Some((_, positions)) => positions,
            None => Vec::new(),
        }
    }

    /// What the client has without saying so: it has confirmed all that it was given, and what was
    /// passed over since is not for it. Nothing if something is still to be confirmed.
    pub(super) fn skip(&mut self) -> Vec<(TopicKey, Position)> {
        match self.marked.is_none() && !self.unmarked && std::mem::take(&mut self.skipped) {
            true => self.sent(),
            false => Vec::new(),
        }
    }

    /// What the client has without saying so, now that nothing was for it of what was given last.
    pub(super) fn forgo(&mut self) -> Vec<(TopicKey, Position)> {
        (self.unmarked, self.skipped) = (self.was_unmarked, true);
        self.skip()
    }

    fn sent(&self) -> Vec<(TopicKey, Position)> {
        self.readers.iter().map(|reader| (reader.topic, reader.sent.clone())).collect()
    }
}

impl Reader {
    /// Whether something was dropped from in front of the cursor. Who has just begun cannot know
    /// better than to begin with what there is.
    fn is_overtaken(&self, topic: &Topic) -> bool {
        let is_begun = self.cursor != Cursor::default();
        is_begun && self.cursor < topic.log.start() && !self.sent.includes(topic.log.lost())
    }

    /// Takes what is next. Says whether there was something that is not for this session.
    fn read(
        &mut self,
        session: SessionId,
        topic: &Topic,
        left: &mut Budget,
        batch: &mut Batch,
    ) -> bool {
        let mut skipped = false;
        if self.cursor == topic.log.end() && self.sent.includes(topic.log.lost()) {
            return skipped;
        }
        if !self.sent.includes(topic.log.lost()) {
            batch.is_late |= self.is_overtaken(topic);
            let from = self.sent.clone();
            self.sent.merge(topic.log.lost());
            batch.gaps.push(Gap { topic: topic.name.clone(), from, to: self.sent.clone() });
        }
        while left.messages > 0
            && left.bytes > 0
            && let Some((entry, next)) = topic.log.read(self.cursor)
        {
            self.cursor = next;
            if self.until.as_ref().is_some_and(|until| !until.covers(entry.id())) {
                continue; // It has left, but may join again and be waiting for this.
            }
            if self.takes(session, entry) {
                left.messages -= 1;
                left.bytes = left.bytes.saturating_sub(entry.message().len());
                batch.entries.push(Arc::clone(entry));
            } else {
                skipped = true;
            }
            self.sent.advance(entry.id().origin, entry.id().seq.next());
        }
        skipped
    }

    fn takes(&self, session: SessionId, entry: &Entry) -> bool {
        !self.sent.covers(entry.id()) && entry.to().include(session)
    }
}
