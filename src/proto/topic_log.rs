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
//! 4. Every message that was pushed is an entry, or was counted as ended, once.

use std::{
    collections::{BTreeMap, VecDeque},
    num::NonZeroUsize,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{Accounting, DropCause, Ending, Position, Recipients, gone::Gone, ledger::Ledger};
use crate::{
    id::{Cause, MessageId, NodeId, PushKey, Seq, SessionId, TopicName},
    message::{Message, TraceContext},
};

/// One published message, shared by all who read it.
#[derive(Debug)]
pub struct Entry {
    id: MessageId,
    topic: TopicName,
    to: Recipients,
    message: Message,
    cause: Option<Cause>,
    forms: [OnceLock<Bytes>; Self::FORMS],
}

impl Entry {
    /// How many wire forms can be kept beside a message.
    pub const FORMS: usize = if cfg!(feature = "grpc") { 10 } else { 9 };

    /// What every entry costs beside what it holds, in bytes. What is encoded of it for clients is not
    /// counted: as much again for each form that somebody reads.
    const OVERHEAD_BYTES: usize = 224 + 40 * Self::FORMS;

    /// The message `id`, published to `topic`, for the readers in `to`.
    pub fn new(id: MessageId, topic: TopicName, to: Recipients, message: Message) -> Self {
        Self { id, topic, to, message, cause: None, forms: Default::default() }
    }

    /// The same, made by a handler that was told of a push.
    #[must_use]
    pub fn caused_by(self, cause: Option<Cause>) -> Self {
        Self { cause, ..self }
    }

    /// The push that made a handler publish it, if one did. Two messages with one cause are the same
    /// one, published twice because a node was wrongly taken for dead.
    pub fn cause(&self) -> Option<&Cause> {
        self.cause.as_ref()
    }

    /// The message's name.
    pub fn id(&self) -> MessageId {
        self.id
    }

    /// Where it was published.
    pub fn topic(&self) -> &TopicName {
        &self.topic
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
    pub fn form(&self, form: usize, encode: impl FnOnce(&Self) -> Bytes) -> &Bytes {
        self.forms[form].get_or_init(|| encode(self))
    }

    /// How much memory it takes, in bytes.
    pub(super) fn cost(&self) -> usize {
        let named = self.to.named() * size_of::<SessionId>();
        let key = match self.cause.as_ref().map(|cause| &cause.key) {
            Some(PushKey::Named(name)) => name.len(),
            Some(PushKey::Counted { .. }) | None => 0,
        };
        let trace = self.message.trace().map_or(0, |_| size_of::<TraceContext>());
        Self::OVERHEAD_BYTES + self.message.len() + self.topic.as_str().len() + named + key + trace
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

/// What it comes to if a message is taken back.
#[derive(Debug)]
pub(super) struct Withdrawal {
    /// Whom it is for then.
    to: Recipients,
    /// From whom it is taken back then, all in all.
    from: Recipients,
    /// How many sessions must be named to say so.
    pub(super) named: usize,
    /// Whether that is more than before, and can be said.
    pub(super) is_news: bool,
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
    gone: Gone,
    /// The last `settled` that a late reader had not seen all of, and what all such readers had.
    late: Option<(Position, Position)>,
    /// What became of the messages; those that are pending are told by the entries.
    counted: Accounting,
    /// How many entries are of messages that this node published.
    own: u64,
    /// From whom messages were taken back that are entries.
    withdrawn: BTreeMap<MessageId, Recipients>,
    limits: LogLimits,
}

impl TopicLog {
    /// An empty log of a topic of which this is gone.
    pub(super) fn new(limits: LogLimits, gone: Gone) -> Self {
        Self {
            entries: VecDeque::new(),
            start: Cursor::default(),
            bytes: 0,
            gone,
            late: None,
            counted: Accounting::default(),
            own: 0,
            withdrawn: BTreeMap::new(),
            limits,
        }
    }

    /// Adds a message, which was not here before.
    pub(super) fn push(&mut self, entry: Arc<Entry>, now: Instant, ledger: &mut Ledger) {
        let is_own = ledger.is_own(entry.id);
        self.counted.count(is_own, |tally| tally.accepted += 1);
        self.own += u64::from(is_own);
        self.bytes += entry.cost();
        ledger.push(&entry);
        self.entries.push_back((now, entry));
        self.keep_limits(ledger);
    }

    /// Takes a message back from those in `from`: it stays where it is, so that who reads goes on
    /// behind it, but is for them no longer, and has no body if it is for nobody. Says whether that
    /// is news.
    pub(super) fn withdraw(
        &mut self,
        id: MessageId,
        from: &Recipients,
        ledger: &mut Ledger,
    ) -> bool {
        let Some(Withdrawal { to, from, .. }) = self.withdrawal(id, from).filter(|it| it.is_news)
        else {
            return false;
        };
        let kept = self.entries.iter_mut().rev().find(|(_, entry)| entry.id == id);
        let (_, entry) = kept.expect("it was just found");
        let message = match to.are_none() {
            true => Message::binary(Bytes::new()),
            false => entry.message.clone(),
        };
        let narrowed = Entry::new(id, entry.topic.clone(), to, message);
        let narrowed = narrowed.caused_by(entry.cause.clone());
        self.bytes = self.bytes - entry.cost() + narrowed.cost();
        ledger.replace(entry, &narrowed);
        *entry = Arc::new(narrowed);
        self.withdrawn.insert(id, from);
        self.keep_limits(ledger);
        true
    }

    /// What it comes to if a message is taken back from those in `from`, if it is kept.
    pub(super) fn withdrawal(&self, id: MessageId, from: &Recipients) -> Option<Withdrawal> {
        let entry = self.find(id)?;
        let before = self.withdrawn.get(&id).cloned().unwrap_or_else(|| Recipients::only([]));
        let (to, from) = (entry.to.without(from), before.with(from));
        let named = to.named().max(from.named());
        let is_news = from != before && named <= Recipients::MAX_NAMED;
        Some(Withdrawal { to, from, named, is_news })
    }

    /// From whom messages were taken back that are kept.
    pub(super) fn withdrawn(&self) -> impl Iterator<Item = (MessageId, &Recipients)> {
        self.withdrawn.iter().map(|(&id, from)| (id, from))
    }

    /// Whether a message is kept that was taken back from a session.
    pub(super) fn is_withdrawn_from(&self, id: MessageId, session: SessionId) -> bool {
        self.withdrawn.get(&id).is_some_and(|from| from.include(session))
    }

    /// Whether a message is kept that was taken back from all who had not got it.
    pub fn is_withdrawn(&self, id: MessageId) -> bool {
        let is_for_nobody = |entry: &Arc<Entry>| entry.to.are_none();
        self.withdrawn.contains_key(&id) && self.find(id).is_some_and(is_for_nobody)
    }

    /// Keeps to these limits from now on. Says whether something went for that.
    pub(super) fn set_limits(&mut self, limits: LogLimits, ledger: &mut Ledger) -> bool {
        let before = self.entries.len();
        self.limits = limits;
        self.keep_limits(ledger);
        self.entries.len() < before
    }

    /// Drops the oldest until the log keeps to its limits.
    fn keep_limits(&mut self, ledger: &mut Ledger) {
        while self.entries.len() > self.limits.messages.get() {
            self.lose(Ending::Dropped(DropCause::TopicMessages), ledger);
        }
        while self.bytes > self.limits.bytes.get() {
            self.lose(Ending::Dropped(DropCause::TopicBytes), ledger);
        }
        self.check();
    }

    /// Drops what everybody has: what `settled` and `stable` cover and is older than the floor;
    /// and what has waited for too long, whoever lacks it. Says whether anything went.
    pub(super) fn trim(
        &mut self,
        settled: Option<&Position>,
        stable: &Position,
        now: Instant,
        ledger: &mut Ledger,
    ) -> bool {
        let before = self.entries.len();
        while let Some((stored, entry)) = self.entries.front() {
            let age = now.saturating_duration_since(*stored);
            let is_settled = settled.is_none_or(|settled| settled.covers(entry.id));
            if is_settled && stable.covers(entry.id) && age >= self.limits.floor {
                if let Some((id, Ending::Acknowledged)) =
                    self.end_oldest(Ending::Acknowledged, ledger)
                {
                    self.gone.settled.advance(id.origin, id.seq.next());
                }
            } else if age >= self.limits.unread_for {
                self.lose(Ending::Expired, ledger);
            } else {
                break;
            }
        }
        self.check();
        self.entries.len() < before
    }

    /// Where the oldest message stands.
    pub(super) fn start(&self) -> Cursor {
        self.start
    }

    /// Whether the oldest message is old enough to be dropped, if all have it.
    pub fn is_trim_due(&self, now: Instant) -> bool {
        let oldest = self.entries.front();
        oldest.is_some_and(|(stored, _)| {
            now.saturating_duration_since(*stored) >= self.limits.floor.min(self.limits.unread_for)
        })
    }

    /// Whether it is close to a limit.
    pub fn is_crowded(&self) -> bool {
        let LogLimits { messages, bytes, .. } = self.limits;
        self.entries.len() >= messages.get() / 4 * 3 || self.bytes >= bytes.get() / 4 * 3
    }

    /// Drops the oldest message, whoever lacks it. Nobody does if it was taken back.
    pub(super) fn lose(&mut self, how: Ending, ledger: &mut Ledger) {
        if let Some((id, ended)) = self.end_oldest(how, ledger)
            && ended == how
        {
            self.gone.lost.advance(id.origin, id.seq.next());
        }
    }

    /// Somebody reads this topic, from `from` on, of whom this node hears only now: what was dropped
    /// as settled may have been for that session too, and counts as lost then.
    pub(super) fn handle_late_reader(
        &mut self,
        topic: &TopicName,
        from: &Position,
        ledger: &mut Ledger,
    ) {
        if from.includes(&self.gone.settled) {
            return;
        }
        self.gone.lost.merge(&self.gone.settled);
        let mut all = from.clone();
        if let Some((settled, before)) = &self.late
            && *settled == self.gone.settled
        {
            if from.includes(before) {
                return;
            }
            all.meet(before);
        }
        let revoked = ledger.revoke(topic, from, &self.gone.settled);
        let own = revoked.iter().filter(|id| ledger.is_own(**id)).count() as u64;
        self.counted.stored.revoke(revoked.len() as u64);
        self.counted.published.revoke(own);
        self.late = Some((self.gone.settled.clone(), all));
    }

    /// What another node had lost of `origin` when it handed over the rest is lost here too.
    pub fn handle_lost(&mut self, origin: NodeId, before: Seq) {
        self.gone.lost.advance(origin, before);
    }

    /// What is gone of it.
    pub(super) fn gone(self) -> Gone {
        self.gone
    }

    /// Forgets an origin that no message is left of.
    pub(super) fn forget(&mut self, origin: NodeId) {
        self.gone.forget(origin);
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
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<Entry>> {
        self.entries.iter().map(|(_, entry)| entry)
    }

    /// The message `id`, if it is kept. The newest are found first.
    pub fn find(&self, id: MessageId) -> Option<&Arc<Entry>> {
        self.iter().rev().find(|entry| entry.id == id)
    }

    /// What was dropped before everybody had it lies below this.
    pub fn lost(&self) -> &Position {
        &self.gone.lost
    }

    /// What became of the messages since the topic was opened.
    pub fn accounting(&self) -> Accounting {
        let mut accounting = self.counted;
        accounting.stored.pending = self.entries.len() as u64;
        accounting.published.pending = self.own;
        accounting
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

    /// Drops the oldest message, and counts how it ended: as was said, or taken back.
    fn end_oldest(&mut self, how: Ending, ledger: &mut Ledger) -> Option<(MessageId, Ending)> {
        let entry = self.pop(ledger)?;
        let was_withdrawn = self.withdrawn.remove(&entry.id).is_some() && entry.to.are_none();
        let how = if was_withdrawn { Ending::Dropped(DropCause::Withdrawn) } else { how };
        let is_own = ledger.is_own(entry.id);
        self.counted.count(is_own, |tally| tally.end(how));
        self.own -= u64::from(is_own);
        ledger.end(&entry, how);
        Some((entry.id, how))
    }

    fn pop(&mut self, ledger: &mut Ledger) -> Option<Arc<Entry>> {
        let (_, entry) = self.entries.pop_front()?;
        self.bytes -= entry.cost();
        ledger.pop(&entry);
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
    use crate::proto::{Dropped, Tally};

    fn id(seq: u64) -> MessageId {
        MessageId::new(NodeId::from_bits(1), Seq::new(seq))
    }

    fn upto(seq: u64) -> Position {
        [(NodeId::from_bits(1), Seq::new(seq))].into_iter().collect()
    }

    /// A log, and the ledger of the node that published all of it.
    struct Kept(TopicLog, Ledger);

    impl Kept {
        fn new(messages: usize, count: u64, now: Instant) -> Self {
            let messages = NonZeroUsize::new(messages).unwrap();
            let log =
                TopicLog::new(LogLimits { messages, ..LogLimits::default() }, Gone::default());
            let mut kept = Self(log, Ledger::new(NodeId::from_bits(1)));
            (0..count).for_each(|seq| kept.push(seq, now));
            kept
        }

        fn push(&mut self, seq: u64, now: Instant) {
            self.1.open(&topic(), id(seq), now);
            let entry = Entry::new(id(seq), topic(), Recipients::Everyone, "m".into());
            self.0.push(Arc::new(entry), now, &mut self.1);
        }

        fn trim(&mut self, settled: Option<u64>, stable: u64, now: Instant) -> bool {
            self.0.trim(settled.map(upto).as_ref(), &upto(stable), now, &mut self.1)
        }

        fn handle_late_reader(&mut self, from: u64) {
            self.0.handle_late_reader(&topic(), &upto(from), &mut self.1);
        }

        fn ending(&self, seq: u64) -> Option<Ending> {
            self.1.line(id(seq)).unwrap().ending
        }
    }

    fn topic() -> TopicName {
        TopicName::parse("/a").unwrap()
    }

    #[expect(clippy::disallowed_methods, reason = "some instant to count from")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_full_log_loses_its_oldest_and_says_so() {
        let Kept(log, _) = Kept::new(10_000, 10_001, start());
        assert_eq!(log.len(), 10_000);
        assert_eq!(log.lost(), &upto(1));
        assert_eq!(log.read(Cursor::default()).unwrap().0.id(), id(1));
    }

    #[test]
    fn what_all_have_goes_after_the_floor_and_nothing_else_does() {
        let begin = start();
        let mut kept = Kept::new(10, 4, begin);
        let later = begin + LogLimits::default().floor;
        assert!(!kept.trim(None, 4, begin), "the floor has not passed");
        assert!(kept.trim(Some(3), 2, later));
        assert_eq!(kept.0.len(), 2, "one node lacks 2, one session lacks 3");
        assert!(!kept.trim(Some(2), 4, later));
        assert_eq!(kept.0.lost(), &Position::new());
    }

    #[test]
    fn what_nobody_fetches_is_lost_in_the_end() {
        let begin = start();
        let mut kept = Kept::new(10, 4, begin);
        assert!(kept.trim(Some(1), 4, begin + LogLimits::default().unread_for));
        assert!(kept.0.is_empty());
        assert_eq!(kept.0.lost(), &upto(4));
    }

    #[test]
    fn every_message_is_counted_by_how_it_ended() {
        let begin = start();
        let mut kept = Kept::new(6, 7, begin);
        assert!(kept.trim(Some(3), 3, begin + LogLimits::default().floor));
        let late = begin + LogLimits::default().unread_for;
        kept.push(7, late);
        assert!(kept.trim(Some(3), 3, late));
        let tally = kept.0.accounting().stored;
        let dropped = Dropped { topic_messages: 1, ..Dropped::default() };
        let (acknowledged, expired, pending) = (2, 4, 1);
        assert_eq!(tally, Tally { accepted: 8, acknowledged, pending, expired, dropped });
        assert_eq!(kept.0.accounting().published, tally, "this node published all of it");
        assert_eq!(kept.0.accounting().unaccounted(), 0);
        assert_eq!(kept.ending(0), Some(Ending::Dropped(DropCause::TopicMessages)));
        assert_eq!(kept.ending(2), Some(Ending::Acknowledged));
        assert_eq!(kept.ending(3), Some(Ending::Expired));
        assert_eq!(kept.ending(7), None);
    }

    #[test]
    fn a_log_says_which_of_its_limits_dropped_a_message() {
        let mut kept = Kept::new(10, 3, start());
        kept.0.limits.bytes = NonZeroUsize::new(kept.0.bytes()).unwrap();
        kept.push(3, start());
        assert_eq!(kept.ending(0), Some(Ending::Dropped(DropCause::TopicBytes)));
        assert_eq!(kept.0.accounting().stored.dropped.topic_bytes, 1);
    }

    #[test]
    fn whom_a_message_is_for_and_what_it_is_called_are_counted_as_well() {
        let cost = |topic: &str, to, key| {
            let topic = TopicName::parse(topic).unwrap();
            let cause = Cause::new(SessionId::from_bits(1), key, 0);
            Entry::new(id(0), topic, to, "m".into()).caused_by(Some(cause)).cost()
        };
        let number = || PushKey::Counted { epoch: 1, number: 1 };
        let plain = cost("/a", Recipients::Everyone, number());
        let named = Recipients::only((0..1_000).map(SessionId::from_bits));
        assert_eq!(cost("/a", named, number()), plain + 16_000);
        let key = PushKey::Named("x".repeat(100).into());
        assert_eq!(cost("/aa", Recipients::Everyone, key), plain + 101);
    }

    #[test]
    fn what_went_before_a_late_reader_was_heard_of_counts_as_dropped() {
        let begin = start();
        let mut kept = Kept::new(10, 4, begin);
        assert!(kept.trim(None, 4, begin + LogLimits::default().floor));
        kept.handle_late_reader(4);
        assert_eq!(kept.0.accounting().stored.acknowledged, 4);
        for from in [2, 3, 1, 1] {
            kept.handle_late_reader(from);
        }
        assert_eq!(kept.0.lost(), &upto(4));
        let tally = kept.0.accounting().stored;
        assert_eq!((tally.acknowledged, tally.dropped.unheard, tally.unaccounted()), (1, 3, 0));
        assert_eq!(kept.ending(1), Some(Ending::Dropped(DropCause::Unheard)));
        assert_eq!(kept.ending(0), Some(Ending::Acknowledged));
    }
}
