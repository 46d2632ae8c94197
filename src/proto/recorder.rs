//! What of a node is to be stored on its disk, and what of it is there.
//!
//! A disk is a peer that is always a little behind: it is given every operation that this node
//! applies, of every origin, in that order, and now and then a *checkpoint*, which is a snapshot of
//! all, so that what lies before it can go. If it falls too far behind, what waits for it is let go,
//! and a checkpoint takes its place, as a snapshot does for a peer: nobody who publishes ever waits
//! for the disk.
//!
//! ```text
//!                        poll, which takes a checkpoint
//!      +---------> Broken ----------------------------------> Mending
//!      |             ^                                           |
//!   new, or          | too much waits                            | checkpoint stored
//!   too much waits   |                                           v
//!      |             +---------------------------------------  Whole
//! ```
//!
//! # Invariants
//!
//! 1. What was handed out and what waits is, of each origin, without gaps, from the last checkpoint
//!    that was taken on, unless the recorder is broken, and then nothing waits.
//! 2. `durable` is never beyond an operation that a disk which kept its word would lose.
//! 3. What waits never costs more than `MAX_WAITING_BYTES`.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use super::{TopicKey, wire::Encoded};
use crate::id::Seq;

/// How much may wait for the disk, in bytes. At the limit it is let go, what asked for the disk
/// waits for longer, and a checkpoint is taken.
pub(super) const MAX_WAITING_BYTES: usize = 64 << 20;

/// How much is stored after a checkpoint, in bytes, before the next is taken; twice the last one if
/// that is more.
const CHECKPOINT_EVERY_BYTES: u64 = 64 << 20;

/// How long acknowledgements are gathered until they are stored. A cluster that was killed as a
/// whole delivers again what its clients acknowledged within this time before.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// Something to store.
#[derive(Debug)]
#[non_exhaustive]
pub struct Work {
    /// What happened, one after another. It belongs behind what was stored last, and before the
    /// checkpoint.
    pub records: Vec<Encoded>,
    /// All that this node knows, the records included, to be stored beside what follows.
    pub checkpoint: Option<Vec<Encoded>>,
    /// What is stored once the records are.
    pub up_to: Recorded,
}

/// How much has happened, or is stored of it: nothing is the default.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Recorded {
    /// The end of this node's own journal.
    pub(super) journal: Seq,
    /// How many things had happened, of whichever journal.
    pub(super) count: u64,
}

impl Recorded {
    fn max(self, other: Self) -> Self {
        if other.count > self.count { other } else { self }
    }
}

/// What waits for the disk.
#[derive(Debug)]
pub(super) struct Recorder {
    waiting: Vec<Encoded>,
    waiting_bytes: usize,
    /// Operations were let go since the last checkpoint was taken, or none was taken yet.
    is_broken: bool,
    checkpoint: Option<UnderWay>,
    /// How much was handed out since the last checkpoint was taken.
    recorded_bytes: u64,
    /// How large the last checkpoint was that was stored.
    checkpoint_bytes: u64,
    /// How many things have happened.
    count: u64,
    durable: Recorded,
    /// The topics of which acknowledgements are to be stored.
    topics: BTreeSet<TopicKey>,
    next_progress: Option<Instant>,
}

/// A checkpoint that is being stored.
#[derive(Clone, Copy, Debug)]
struct UnderWay {
    /// Whether what was stored before it has a gap that it fills.
    mends: bool,
    /// What is stored once it is.
    up_to: Recorded,
}

impl Recorder {
    pub(super) fn new() -> Self {
        Self {
            waiting: Vec::new(),
            waiting_bytes: 0,
            is_broken: true,
            checkpoint: None,
            recorded_bytes: 0,
            checkpoint_bytes: 0,
            count: 0,
            durable: Recorded::default(),
            topics: BTreeSet::new(),
            next_progress: None,
        }
    }

    /// Takes what happened.
    pub(super) fn push(&mut self, record: Encoded) {
        self.count += 1;
        if self.is_broken {
            return; // The checkpoint that is due will have it.
        }
        self.waiting_bytes += record.cost();
        self.waiting.push(record);
        if self.waiting_bytes > MAX_WAITING_BYTES {
            self.interrupt();
        }
        self.check();
    }

    /// Something happened that no record tells: only a checkpoint does.
    pub(super) fn interrupt(&mut self) {
        self.count += 1;
        self.is_broken = true;
        (self.waiting, self.waiting_bytes) = (Vec::new(), 0);
    }

    /// Sessions have acknowledged more of a topic.
    pub(super) fn note_progress(&mut self, topic: TopicKey) {
        self.topics.insert(topic);
    }

    /// The topics whose acknowledgements are to be stored now; `is_last` if there will be no other
    /// time.
    pub(super) fn poll_progress(&mut self, is_last: bool, now: Instant) -> BTreeSet<TopicKey> {
        let is_due = is_last || self.next_progress.is_none_or(|due| due <= now);
        if !is_due || self.topics.is_empty() || self.is_broken {
            return BTreeSet::new();
        }
        self.next_progress = Some(now + PROGRESS_EVERY);
        std::mem::take(&mut self.topics)
    }

    /// Whether there is something to store.
    pub(super) fn has_work(&self) -> bool {
        !self.waiting.is_empty() || self.is_checkpoint_due()
    }

    /// What to store next. `journal` is how far this node's journal has come, and `checkpoint` makes
    /// a checkpoint.
    pub(super) fn poll(
        &mut self,
        journal: Seq,
        checkpoint: impl FnOnce() -> Vec<Encoded>,
    ) -> Option<Work> {
        if !self.has_work() {
            return None;
        }
        let is_checkpoint_due = self.is_checkpoint_due();
        let records = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        self.recorded_bytes += records.iter().map(|record| record.len() as u64).sum::<u64>();
        // While broken, records end somewhere before the gap, and nobody waits for those.
        let now = Recorded { journal, count: self.count };
        let up_to = if self.is_broken { Recorded::default() } else { now };
        let checkpoint = is_checkpoint_due.then(|| {
            let mends = std::mem::take(&mut self.is_broken);
            self.checkpoint = Some(UnderWay { mends, up_to: now });
            self.recorded_bytes = 0;
            self.topics.clear();
            checkpoint()
        });
        self.check();
        Some(Work { records, checkpoint, up_to })
    }

    /// The records of some work are on the disk.
    pub(super) fn handle_stored(&mut self, up_to: Recorded) {
        match &mut self.checkpoint {
            Some(UnderWay { mends: true, up_to: then }) => *then = up_to.max(*then),
            _ => self.durable = up_to.max(self.durable),
        }
    }

    /// The checkpoint is on the disk, and has this many bytes.
    pub(super) fn handle_checkpointed(&mut self, bytes: u64) {
        if let Some(UnderWay { up_to, .. }) = self.checkpoint.take() {
            self.durable = up_to.max(self.durable);
            self.checkpoint_bytes = bytes;
        }
    }

    /// What is on the disk.
    pub(super) fn durable(&self) -> Recorded {
        self.durable
    }

    /// How many things have happened.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Whether nothing waits for the disk, nor is on its way there.
    pub(super) fn is_idle(&self) -> bool {
        !self.has_work() && self.checkpoint.is_none() && self.durable.count == self.count
    }

    fn is_checkpoint_due(&self) -> bool {
        let every = CHECKPOINT_EVERY_BYTES.max(2 * self.checkpoint_bytes);
        self.checkpoint.is_none() && (self.is_broken || self.recorded_bytes >= every)
    }

    fn check(&self) {
        debug_assert!(self.waiting_bytes <= MAX_WAITING_BYTES);
        debug_assert!(!self.is_broken || self.waiting.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        id::{MessageId, NodeId},
        message::Message,
        proto::{Op, Recipients},
    };

    const LARGE: usize = 1 << 20;

    fn record(seq: u64, bytes: usize) -> Encoded {
        let op = Op::Published {
            topic: crate::id::TopicName::parse("/a").unwrap(),
            to: Recipients::Everyone,
            message: Message::binary(vec![0; bytes]),
            cause: None,
        };
        Encoded::op(MessageId::new(NodeId::from_bits(1), Seq::new(seq)), &op)
    }

    fn seq(number: u64) -> Seq {
        Seq::new(number)
    }

    /// A recorder whose first checkpoint is stored.
    fn whole() -> Recorder {
        let mut recorder = Recorder::new();
        let work = recorder.poll(Seq::FIRST, Vec::new).unwrap();
        assert!(work.checkpoint.is_some() && work.records.is_empty());
        recorder.handle_checkpointed(100);
        recorder
    }

    #[test]
    fn what_is_stored_is_durable_and_nothing_else_is() {
        let mut recorder = whole();
        recorder.push(record(0, 10));
        let work = recorder.poll(seq(1), Vec::new).unwrap();
        recorder.push(record(1, 10));
        assert_eq!((work.records.len(), recorder.durable().journal), (1, seq(0)));
        recorder.handle_stored(work.up_to);
        assert_eq!(recorder.durable().journal, seq(1));
        assert!(!recorder.is_idle());
    }

    #[test]
    fn nothing_is_durable_before_the_first_checkpoint_is() {
        let mut recorder = Recorder::new();
        recorder.push(record(0, 10));
        let work = recorder.poll(seq(1), Vec::new).unwrap();
        recorder.handle_stored(work.up_to);
        recorder.push(record(1, 10));
        let work = recorder.poll(seq(2), Vec::new).unwrap();
        assert_eq!((work.records.len(), work.checkpoint.is_none()), (1, true));
        recorder.handle_stored(work.up_to);
        assert_eq!(
            recorder.durable().journal,
            seq(0),
            "the first of two is only in the checkpoint"
        );
        recorder.handle_checkpointed(100);
        assert_eq!(recorder.durable().journal, seq(2));
        assert!(recorder.is_idle());
    }

    #[test]
    fn a_disk_that_is_far_behind_gets_a_checkpoint_instead() {
        let mut recorder = whole();
        for number in 0..100 {
            recorder.push(record(number, LARGE)); // Nobody stores any of it.
        }
        assert!(recorder.waiting.is_empty());
        let work = recorder.poll(seq(100), || vec![record(0, 1)]).unwrap();
        assert_eq!((work.records.len(), work.checkpoint.map(|parts| parts.len())), (0, Some(1)));
        recorder.push(record(100, 10));
        let work = recorder.poll(seq(101), Vec::new).unwrap();
        recorder.handle_stored(work.up_to);
        assert_eq!(recorder.durable().journal, seq(0), "there is a gap before it");
        recorder.handle_checkpointed(100);
        assert_eq!(recorder.durable().journal, seq(101));
    }

    #[test]
    fn a_gap_behind_a_checkpoint_is_mended_by_the_next() {
        let mut recorder = Recorder::new();
        recorder.poll(Seq::FIRST, Vec::new).unwrap();
        recorder.interrupt();
        recorder.push(record(0, 10));
        assert!(recorder.poll(seq(1), Vec::new).is_none(), "one checkpoint at a time");
        recorder.handle_checkpointed(100);
        assert_eq!(recorder.durable().journal, seq(0));
        assert!(recorder.poll(seq(1), Vec::new).unwrap().checkpoint.is_some());
        recorder.handle_checkpointed(100);
        assert_eq!(recorder.durable().journal, seq(1));
    }

    #[test]
    fn a_checkpoint_is_taken_when_much_was_stored_since_the_last() {
        let mut recorder = whole();
        let mut checkpoints = 0;
        for number in 0..200 {
            recorder.push(record(number, LARGE));
            let work = recorder.poll(seq(number + 1), Vec::new).unwrap();
            recorder.handle_stored(work.up_to);
            assert_eq!(
                recorder.durable().journal,
                seq(number + 1),
                "a checkpoint holds up nothing"
            );
            if work.checkpoint.is_some() {
                checkpoints += 1;
                recorder.handle_checkpointed(40 << 20);
            }
        }
        assert_eq!(checkpoints, 2, "after 64 MiB, and after twice 40 MiB");
    }
}
