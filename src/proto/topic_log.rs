//! A topic's messages, in the order in which this node came to know them.
//!
//! There is one log for each topic on each node, however many sessions read it. Readers keep a
//! cursor into it, which is a place in this node's order, beside a [`Position`], which means the
//! same everywhere.
//!
//! # Invariants
//!
//! 1. Messages of one origin are in that origin's order.
//! 2. `bytes` is what the entries cost, and count and cost never exceed the limits.
//! 3. `lost` covers every message that was dropped before everybody had it, so that who still
//!    lacks it is told: nothing is skipped in silence.

use std::{
    collections::VecDeque,
    num::NonZeroUsize,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{Position, Recipients};
use crate::{
    id::{MessageId, NodeId, Seq},
    message::Message,
};

/// One published message, shared by all who read it.
#[derive(Debug)]
pub struct Entry {
    id: MessageId,
    to: Recipients,
    message: Message,
    forms: [OnceLock<Bytes>; Self::FORMS],
}

impl Entry {
    /// How many wire forms can be kept beside a message.
    pub const FORMS: usize = 2;

    /// What an entry costs beside its payload, in bytes.
    const OVERHEAD_BYTES: usize = 256;

    /// The message `id`, for the readers in `to`.
    pub fn new(id: MessageId, to: Recipients, message: Message) -> Self {
        Self { id, to, message, forms: Default::default() }
    }

    /// The message's name.
    pub fn id(&self) -> MessageId {
        self.id
    }

    /// Whom it is for.
    pub fn to(&self) -> &Recipients {
        &self.to
    }

    /// The message itself.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// The message as a transport writes it, made once and shared by all of that transport's
    /// clients. `form` tells the forms apart, and is less than [`FORMS`](Self::FORMS).
    pub fn form(&self, form: usize, encode: impl FnOnce(&Message) -> Bytes) -> &Bytes {
        self.forms[form].get_or_init(|| encode(&self.message))
    }

    fn cost(&self) -> usize {
        self.message.len() + Self::OVERHEAD_BYTES
    }
}

/// How much of a topic is kept. At a limit the oldest goes, and sessions behind are told of a gap.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "any value is right, and a new limit breaks nobody")]
pub struct LogLimits {
    /// The most messages. Defaults to 10,000.
    pub messages: NonZeroUsize,
    /// The most bytes. Defaults to 16 MiB.
    pub bytes: NonZeroUsize,
    /// How long a message waits for those who have not read it. Defaults to 5 minutes.
    pub unread_for: Duration,
    /// How long a message is kept that everybody has, for joins that are still on their way.
    /// Defaults to 5 seconds.
    pub floor: Duration,
}

impl Default for LogLimits {
    fn default() -> Self {
        const MESSAGES: NonZeroUsize = NonZeroUsize::new(10_000).expect("not zero");
        const BYTES: NonZeroUsize = NonZeroUsize::new(16 << 20).expect("not zero");
        Self {
            messages: MESSAGES,
            bytes: BYTES,
            unread_for: Duration::from_secs(300),
            floor: Duration::from_secs(5),
        }
    }
}

/// A place in one node's order of a topic. It means nothing elsewhere.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Cursor(u64);

/// The messages of one topic.
#[derive(Debug)]
pub struct TopicLog {
    entries: VecDeque<(Instant, Arc<Entry>)>,
    /// Where the oldest entry stands.
    start: Cursor,
    bytes: usize,
    lost: Position,
    /// What was dropped because everybody had it, as far as this node knew, lies below this.
    settled: Position,
    limits: LogLimits,
}

impl TopicLog {
    /// An empty log.
    pub fn new(limits: LogLimits) -> Self {
        let (entries, lost) = (VecDeque::new(), Position::new());
        Self { entries, start: Cursor::default(), bytes: 0, lost, settled: Position::new(), limits }
    }

    /// Adds a message, which was not here before.
    pub fn push(&mut self, entry: Arc<Entry>, now: Instant) {
        self.bytes += entry.cost();
        self.entries.push_back((now, entry));
        while self.entries.len() > self.limits.messages.get()
            || self.bytes > self.limits.bytes.get()
        {
            self.lose();
        }
        self.check();
    }

    /// Drops what everybody has: what `settled` and `stable` cover and is older than the floor;
    /// and what has waited for too long, whoever lacks it. Says whether anything went.
    pub fn trim(&mut self, settled: Option<&Position>, stable: &Position, now: Instant) -> bool {
        let before = self.entries.len();
        while let Some((stored, entry)) = self.entries.front() {
            let (age, entry_id) = (now.saturating_duration_since(*stored), entry.id);
            let is_settled = settled.is_none_or(|settled| settled.covers(entry.id));
            if is_settled && stable.covers(entry.id) && age >= self.limits.floor {
                self.settled.advance(entry_id.origin, entry_id.seq.next());
                self.pop();
            } else if age >= self.limits.unread_for {
                self.lose();
            } else {
                break;
            }
        }
        self.check();
        self.entries.len() < before
    }

    /// Whether the oldest message is old enough to be dropped, if all have it.
    pub fn is_trim_due(&self, now: Instant) -> bool {
        let oldest = self.entries.front();
        oldest.is_some_and(|(stored, _)| {
            now.saturating_duration_since(*stored) >= self.limits.floor.min(self.limits.unread_for)
        })
    }

    /// Drops the oldest message, whoever lacks it, to make room.
    pub fn lose(&mut self) {
        if let Some(entry) = self.pop() {
            self.lost.advance(entry.id.origin, entry.id.seq.next());
        }
    }

    /// Somebody reads this topic, from `from` on, of whom this node hears only now: what was dropped
    /// as settled may have been for that session too, and counts as lost then.
    pub fn handle_late_reader(&mut self, from: &Position) {
        if !from.includes(&self.settled) {
            self.lost.merge(&self.settled);
        }
    }

    /// What another node had lost of `origin` when it handed over the rest is lost here too.
    pub fn handle_lost(&mut self, origin: NodeId, before: Seq) {
        self.lost.advance(origin, before);
    }

    /// Forgets an origin that no message is left of.
    pub fn forget(&mut self, origin: NodeId) {
        self.lost.forget(origin);
        self.settled.forget(origin);
    }

    /// The entry at `cursor`, or the oldest if that is gone, and the cursor behind it.
    pub fn read(&self, cursor: Cursor) -> Option<(&Arc<Entry>, Cursor)> {
        let at = cursor.max(self.start);
        let index = usize::try_from(at.0 - self.start.0).ok()?;
        self.entries.get(index).map(|(_, entry)| (entry, Cursor(at.0 + 1)))
    }

    /// The cursor behind the newest entry.
    pub fn end(&self) -> Cursor {
        Cursor(self.start.0 + self.entries.len() as u64)
    }

    /// All entries, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries.iter().map(|(_, entry)| entry)
    }

    /// What was dropped before everybody had it lies below this.
    pub fn lost(&self) -> &Position {
        &self.lost
    }

    /// What the entries cost, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many messages there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no message.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn pop(&mut self) -> Option<Arc<Entry>> {
        let (_, entry) = self.entries.pop_front()?;
        self.bytes -= entry.cost();
        self.start.0 += 1;
        if self.entries.is_empty() {
            self.entries = VecDeque::new();
        }
        Some(entry)
    }

    fn check(&self) {
        debug_assert!(self.entries.len() <= self.limits.messages.get());
        debug_assert!(self.bytes <= self.limits.bytes.get());
        debug_assert!(!self.entries.is_empty() || self.bytes == 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(seq: u64) -> MessageId {
        MessageId::new(NodeId::from_bits(1), Seq::new(seq))
    }

    fn upto(seq: u64) -> Position {
        [(NodeId::from_bits(1), Seq::new(seq))].into_iter().collect()
    }

    fn log(messages: usize, count: u64, now: Instant) -> TopicLog {
        let messages = NonZeroUsize::new(messages).unwrap();
        let mut log = TopicLog::new(LogLimits { messages, ..LogLimits::default() });
        for seq in 0..count {
            log.push(Arc::new(Entry::new(id(seq), Recipients::Everyone, "m".into())), now);
        }
        log
    }

    #[expect(clippy::disallowed_methods, reason = "some instant to count from")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_full_log_loses_its_oldest_and_says_so() {
        let log = log(10_000, 10_001, start());
        assert_eq!(log.len(), 10_000);
        assert_eq!(log.lost(), &upto(1));
        assert_eq!(log.read(Cursor::default()).unwrap().0.id(), id(1));
    }

    #[test]
    fn what_all_have_goes_after_the_floor_and_nothing_else_does() {
        let begin = start();
        let mut log = log(10, 4, begin);
        let later = begin + LogLimits::default().floor;
        assert!(!log.trim(None, &upto(4), begin), "the floor has not passed");
        assert!(log.trim(Some(&upto(3)), &upto(2), later));
        assert_eq!(log.len(), 2, "one node lacks 2, one session lacks 3");
        assert!(!log.trim(Some(&upto(2)), &upto(4), later));
        assert_eq!(log.lost(), &Position::new());
    }

    #[test]
    fn what_nobody_fetches_is_lost_in_the_end() {
        let begin = start();
        let mut log = log(10, 4, begin);
        assert!(log.trim(Some(&upto(1)), &upto(4), begin + LogLimits::default().unread_for));
        assert!(log.is_empty());
        assert_eq!(log.lost(), &upto(4));
    }
}
