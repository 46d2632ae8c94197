//! The disk: what goes there, and what came from there when the node started.
//!
//! A node that starts on the directory of an earlier one is a new node, which knows what that one
//! did and heard. The journals in there are those of nodes that nobody says are alive: they are
//! strangers, and their sessions orphans, as after any other death.

use std::time::Instant;

use super::Core;
use crate::{
    id::{MessageId, Seq},
    proto::{
        Position, Recorded, Tail, TopicKey, Work, progress::Report, recorder::Recorder, snapshot,
        wire::Encoded, wire::Frame, wire::SnapshotPart,
    },
};

/// How many origins a node remembers that starts on a directory. Beyond that it forgets at once
/// those that nothing is left of, which otherwise takes `dead_kept`: a node that crashes again and
/// again, and each time soon, would else come to know more of them than a position may name.
const MAX_LOADED_ORIGINS: usize = Position::MAX_ORIGINS / 2;

impl Core {
    /// Takes over a checkpoint that was stored, all of its parts in their order. Before anything
    /// else happens.
    pub fn load_checkpoint(&mut self, parts: Vec<SnapshotPart>, now: Instant) {
        let Some(SnapshotPart::End { view }) = parts.last().cloned() else {
            return; // The store has only whole ones.
        };
        self.replica.restore(&view, parts, now);
    }

    /// Takes over what was stored behind the checkpoint, one after another. Says whether it fits to
    /// what came before: what does not has lost something before it, and changes nothing.
    pub fn load(&mut self, frame: Frame, now: Instant) -> bool {
        match frame {
            Frame::Operation { id, op, encoded } => {
                let is_next = self.has_room_for(id.origin) && self.apply_next(id, op, now);
                if is_next {
                    self.push_tail(id, encoded);
                    self.handle_changes(now);
                }
                is_next
            }
            Frame::Report(report) => self.load_report(&report, now),
            _ => true,
        }
    }

    /// All is loaded.
    pub fn finish_loading(&mut self, now: Instant) {
        let origins: Vec<_> = self.replica.known().iter().map(|(origin, _)| origin).collect();
        let mut left = origins.len();
        for origin in origins {
            if left > MAX_LOADED_ORIGINS && self.replica.forget(origin) {
                self.tails.remove(&origin);
                left -= 1;
            }
        }
        self.flight.set_now(now);
        self.flight.handle_missed();
        self.handle_changes(now);
    }

    /// Operations are stored on a disk from now on. None is yet.
    pub fn handle_disk(&mut self) {
        self.durable = Some(Seq::FIRST);
        self.recorder = Some(Recorder::new());
    }

    /// What is to be stored next, if anything is.
    pub fn poll_work(&mut self) -> Option<Work> {
        let recorder = self.recorder.as_mut()?;
        let (replica, made) = (&self.replica, &mut self.snapshots_made);
        recorder.poll(replica.applied().get(self.id), || {
            *made += 1;
            snapshot::frames_of(replica, *made, &Position::new())
        })
    }

    /// The records of some work are on the disk, and so is all before them.
    pub fn handle_stored(&mut self, up_to: Recorded, now: Instant) {
        if let Some(recorder) = &mut self.recorder {
            recorder.handle_stored(up_to);
            let durable = recorder.durable().journal;
            self.handle_durable(durable, now);
        }
    }

    /// The checkpoint of some work is on the disk, and has this many bytes.
    pub fn handle_checkpointed(&mut self, bytes: u64, now: Instant) {
        if let Some(recorder) = &mut self.recorder {
            recorder.handle_checkpointed(bytes);
            let durable = recorder.durable().journal;
            self.handle_durable(durable, now);
        }
    }

    /// Everything of this node's journal before `up_to` is on its disk.
    ///
    /// May be repeated and out of order. Changes nothing once the disk has failed.
    pub fn handle_durable(&mut self, up_to: Seq, now: Instant) {
        if let Some(durable) = &mut self.durable {
            *durable = up_to.max(*durable);
        }
        self.news = true;
        self.look_at_disk();
        self.acknowledge_pushes(now);
    }

    /// The disk has failed: nothing more gets there, and nothing is said to be there any more.
    pub fn handle_disk_failed(&mut self, now: Instant) {
        self.durable = None;
        self.recorder = None;
        self.news = true;
        self.look_at_disk();
        self.acknowledge_pushes(now);
    }

    /// Has all that sessions have acknowledged stored now rather than later, because there may be no
    /// later.
    pub fn flush_progress(&mut self, now: Instant) {
        self.record_progress(true, now);
    }

    /// Everything of this node's journal before this is on its disk; `None` if there is no disk, or
    /// it has failed: then nobody may wait for it.
    pub fn durable(&self) -> Option<Seq> {
        self.durable
    }

    /// Whether [`poll_work`](Self::poll_work) has something.
    pub fn has_work(&self) -> bool {
        self.recorder.as_ref().is_some_and(Recorder::has_work)
    }

    /// Whether all that this node knows is on its disk, or will never get there.
    pub fn is_stored(&self) -> bool {
        self.recorder.as_ref().is_none_or(Recorder::is_idle)
    }

    /// How much has happened that is to be stored.
    pub(super) fn recorded(&self) -> u64 {
        self.recorder.as_ref().map_or(0, Recorder::count)
    }

    /// Whether all is on the disk that had happened when [`recorded`](Self::recorded) said this, of
    /// whichever journal.
    pub(super) fn has_stored(&self, recorded: u64) -> bool {
        self.recorder.as_ref().is_some_and(|recorder| recorder.durable().count >= recorded)
    }

    /// Has an operation stored that was applied.
    pub(super) fn record(&mut self, op: &Encoded) {
        if let Some(recorder) = &mut self.recorder {
            recorder.push(op.clone());
        }
    }

    /// Has all stored anew: something was learned that no operation tells.
    pub(super) fn record_all(&mut self) {
        if let Some(recorder) = &mut self.recorder {
            recorder.interrupt();
        }
    }

    /// Sessions have acknowledged more of a topic, which is to be stored some time.
    pub(super) fn note_progress(&mut self, topic: TopicKey) {
        if let Some(recorder) = &mut self.recorder {
            recorder.note_progress(topic);
        }
    }

    /// Has stored how far sessions have read, of this node and of others, if it is time.
    pub(super) fn record_progress(&mut self, is_last: bool, now: Instant) {
        let Some(recorder) = &mut self.recorder else {
            return;
        };
        for key in recorder.poll_progress(is_last, now) {
            if let Some(topic) = self.replica.topics().try_get(key) {
                let known = self.replica.known().clone();
                let all = topic.members.iter().map(|(&id, member)| (id, &member.acknowledged));
                if let Some(report) = Report::of(known, topic.name.clone(), all) {
                    recorder.push(Encoded::report(&report));
                }
            }
        }
    }

    /// Keeps an operation that was applied for peers.
    pub(super) fn push_tail(&mut self, id: MessageId, encoded: Encoded) {
        let limits = self.limits.tail;
        let tail = self.tails.entry(id.origin).or_insert_with(|| Tail::new(id.seq, limits));
        if tail.next() != id.seq {
            tail.restart(id.seq);
        }
        tail.push(encoded);
    }

    /// A report on the disk speaks of all sessions that were in the topic when it was made.
    fn load_report(&mut self, report: &Report, now: Instant) -> bool {
        if !self.replica.knows(&report.as_of) {
            return false; // A session that is still here may have been gone by then.
        }
        let Some(key) = self.replica.topics().find(&report.topic) else {
            return true;
        };
        let members = self.replica.topics().get(key).members.keys();
        let members: Vec<_> = members.copied().collect();
        for session in members {
            let named = report.behind.iter().find(|(behind, _)| *behind == session);
            let position = named.map_or(&report.common, |(_, position)| position);
            self.replica.acknowledge(session, key, position);
        }
        // Nothing was dropped that the node had dropped in its time. What all have goes before a
        // limit takes what somebody lacks, or is said to.
        if self.replica.topics().get(key).log.is_crowded() {
            let (settled, all) = (self.replica.settled(key), self.replica.applied().clone());
            let later = now + self.limits.log.floor;
            self.replica.topics_mut().trim(key, settled.as_ref(), &all, later);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        id::{NodeId, PushKey, SessionId, TopicName},
        message::Message,
        proto::{
            Budget, Detachment, Durability, Holder, Level, Limits, Op, Presence, Push, Recipients,
        },
    };

    const ALL: Budget = Budget { messages: usize::MAX, bytes: usize::MAX };
    const SESSION: SessionId = SessionId::from_bits(1);

    /// A disk that keeps its word.
    #[derive(Default)]
    struct Disk {
        checkpoint: Vec<Encoded>,
        records: Vec<Encoded>,
    }

    impl Disk {
        /// Stores all that waits.
        fn store(&mut self, core: &mut Core, now: Instant) {
            while let Some(work) = core.poll_work() {
                self.records.extend(work.records);
                core.handle_stored(work.up_to, now);
                if let Some(parts) = work.checkpoint {
                    (self.checkpoint, self.records) = (parts, Vec::new());
                    core.handle_checkpointed(1, now);
                }
            }
        }

        /// What a new node knows that starts with this disk.
        fn load(&self, id: u64, now: Instant) -> Core {
            let read = |encoded: &Encoded| Frame::decode(&encoded.to_bytes()).unwrap();
            let part = |encoded| match read(encoded) {
                Frame::Snapshot { part, .. } => part,
                other => panic!("{other:?}"),
            };
            let mut core = Core::new(NodeId::from_bits(id), Limits::default());
            core.load_checkpoint(self.checkpoint.iter().map(part).collect(), now);
            for record in &self.records {
                assert!(core.load(read(record), now));
            }
            core.finish_loading(now);
            core
        }
    }

    #[expect(clippy::disallowed_methods, reason = "some instant to count from")]
    fn start() -> Instant {
        Instant::now()
    }

    fn topic() -> TopicName {
        TopicName::parse("/a").unwrap()
    }

    fn publish(core: &mut Core, text: &str, now: Instant) -> MessageId {
        core.publish(&topic(), Recipients::Everyone, Message::text(text), now).unwrap()
    }

    fn read(core: &mut Core, now: Instant) -> Vec<String> {
        let attached =
            core.attach(Some(SESSION), SessionId::from_bits(2), "/a", &Holder::default(), now);
        assert!(attached.resumed);
        let batch = core.read(attached.key, ALL);
        let texts = batch.entries.iter().map(|entry| entry.message().as_text().unwrap());
        texts.map(str::to_owned).collect()
    }

    fn sweep(core: &mut Core, mut now: Instant, until: Instant) {
        while now < until {
            now += Duration::from_millis(100);
            core.handle_timeout(now);
        }
    }

    /// A node with a session that has read the first of two messages.
    fn node(disk: &mut Disk, now: Instant) -> Core {
        let mut core = Core::new(NodeId::from_bits(1), Limits::default());
        core.handle_disk();
        disk.store(&mut core, now);
        let attached = core.attach(None, SESSION, "/a", &Holder::default(), now);
        core.join(SESSION, &topic(), now).unwrap();
        publish(&mut core, "read", now);
        core.read(attached.key, ALL);
        let mark = core.mark(attached.key).unwrap();
        core.acknowledge(attached.key, mark);
        publish(&mut core, "unread", now);
        core.flush_progress(now);
        disk.store(&mut core, now);
        core
    }

    #[test]
    fn a_node_that_starts_on_a_disk_knows_what_was_stored() {
        let (now, mut disk) = (start(), Disk::default());
        let before = node(&mut disk, now);
        let mut after = disk.load(2, now);
        assert_eq!(after.replica().applied(), before.replica().applied());
        assert_eq!(after.replica().state_of(SESSION), before.replica().state_of(SESSION));
        assert_eq!(read(&mut after, now), ["unread"]);
    }

    #[test]
    fn a_checkpoint_says_the_same_as_the_journal() {
        let (now, mut disk) = (start(), Disk::default());
        let mut before = node(&mut disk, now);
        before.record_all();
        disk.store(&mut before, now);
        assert!(disk.records.is_empty());
        assert_eq!(read(&mut disk.load(2, now), now), ["unread"]);
    }

    #[test]
    fn only_what_is_on_the_disk_is_said_to_be() {
        let (now, mut disk) = (start(), Disk::default());
        let mut core = node(&mut disk, now);
        let id = publish(&mut core, "waits", now);
        assert_eq!(core.durable(), Some(id.seq));
        disk.store(&mut core, now);
        assert_eq!(core.durable(), Some(id.seq.next()));
        assert!(core.is_stored());
        core.handle_disk_failed(now);
        core.handle_stored(Recorded { journal: id.seq.next(), count: u64::MAX }, now);
        assert_eq!(core.durable(), None);
    }

    #[test]
    fn what_another_node_accepted_is_acknowledged_once_it_is_on_this_node_s_disk() {
        let (now, mut disk) = (start(), Disk::default());
        let mut core = node(&mut disk, now);
        core.limits.durability = Durability::Disk;
        let attachment = core.attachment_of(SESSION).unwrap();
        let (peer, key): (_, PushKey) = (NodeId::from_bits(9), "any".parse().unwrap());
        let (id, message) = (MessageId::new(peer, Seq::FIRST), Message::text("m"));
        let op = Op::Accepted { session: SESSION, key: key.clone(), message: message.clone() };
        core.handle_link_up(peer, Position::new(), now);
        let encoded = Encoded::op(id, &op);
        core.handle_frame(peer, Frame::Operation { id, op, encoded }, now);
        assert_eq!(core.push(attachment, &key, &message, now), Push::Accepted);
        let have = core.replica().applied().clone();
        core.handle_frame(peer, Frame::Have(have), now);
        assert!(core.read(attachment, ALL).acknowledged.is_empty(), "it is in memory only");
        disk.store(&mut core, now);
        let told = core.read(attachment, ALL).acknowledged;
        assert_eq!(told.iter().map(|told| told.level).collect::<Vec<_>>(), [Level::Disk]);
    }

    /// Goal: whichever node a client is with once all died and came back, that one knows what was
    /// acknowledged before, though another's disk may be back later.
    #[test]
    fn what_is_on_the_disk_is_acknowledged_once_a_peer_has_it_too_or_is_gone_for_a_while() {
        let (now, mut disk) = (start(), Disk::default());
        let mut core = node(&mut disk, now);
        core.limits.durability = Durability::Disk;
        let (peer, attachment) = (NodeId::from_bits(9), core.attachment_of(SESSION).unwrap());
        core.handle_link_up(peer, Position::new(), now);
        let mut push = |core: &mut Core, key: &str, now| {
            core.push(attachment, &key.parse().unwrap(), &Message::text("m"), now);
            disk.store(core, now);
        };
        let told = |core: &mut Core| {
            let told = core.read(attachment, ALL).acknowledged.into_iter();
            told.map(|told| (told.level, told.nodes)).collect::<Vec<_>>()
        };
        push(&mut core, "first", now);
        assert_eq!(told(&mut core), [], "it is on one disk only");
        let have = core.replica().applied().clone();
        core.handle_frame(peer, Frame::Have(have), now);
        assert_eq!(told(&mut core), [(Level::Disk, 2)]);
        core.handle_link_down(peer);
        core.handle_dead(peer, now);
        push(&mut core, "second", now);
        assert_eq!(told(&mut core), [], "the peer may be back");
        sweep(&mut core, now, now + Duration::from_secs(3));
        assert_eq!(told(&mut core), [(Level::Disk, 1)]);
    }

    #[test]
    fn the_sessions_on_a_disk_are_orphans_and_their_time_starts_anew() {
        let (now, mut disk) = (start(), Disk::default());
        node(&mut disk, now);
        let mut core = disk.load(2, now);
        let kept = Limits::default().session_kept;
        sweep(&mut core, now, now + kept);
        let session = core.replica().session(SESSION).expect("it may be back");
        assert_eq!(
            (session.claim.node, session.presence),
            (core.id(), Presence::Detached(Detachment::NodeDied))
        );
        sweep(&mut core, now + kept, now + kept + Duration::from_secs(10));
        assert!(core.replica().session(SESSION).is_none());
    }

    #[test]
    fn a_session_is_an_orphan_though_there_is_no_message() {
        let (now, mut disk) = (start(), Disk::default());
        let mut core = Core::new(NodeId::from_bits(1), Limits::default());
        core.handle_disk();
        core.attach(None, SESSION, "/a", &Holder::default(), now);
        disk.store(&mut core, now);
        let mut core = disk.load(2, now);
        sweep(&mut core, now, now + Duration::from_secs(10));
        assert_eq!(core.replica().session(SESSION).unwrap().claim.node, core.id());
    }

    #[test]
    fn what_speaks_of_something_lost_is_left_out() {
        let (now, mut disk) = (start(), Disk::default());
        node(&mut disk, now);
        let report = disk.records.pop().unwrap();
        let unread = disk.records.pop().unwrap();
        let mut core = disk.load(2, now);
        let read = |encoded: &Encoded| Frame::decode(&encoded.to_bytes()).unwrap();
        assert!(!core.load(read(&report), now), "who was in the topic is not certain");
        assert!(core.load(read(&unread), now));
        assert!(core.load(read(&report), now));
    }

    #[test]
    fn what_all_have_makes_room_for_what_somebody_lacks() {
        let (now, mut disk) = (start(), Disk::default());
        let mut core = node(&mut disk, now);
        let attached = core.attachment_of(SESSION).unwrap();
        for _ in 0..30 {
            for number in 0..1_000 {
                publish(&mut core, &number.to_string(), now);
            }
            while core.read(attached, ALL).more {}
            let mark = core.mark(attached).unwrap();
            core.acknowledge(attached, mark);
            core.flush_progress(now);
            disk.store(&mut core, now);
        }
        let core = disk.load(2, now);
        let key = core.replica().topics().find(&topic()).unwrap();
        assert_eq!(core.replica().topics().get(key).log.lost(), &Position::new());
    }
}
