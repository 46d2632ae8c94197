//! Peers: what comes from them, and what goes to them.

use std::time::{Duration, Instant};

use super::{Core, Lane};
use crate::{
    id::{MessageId, NodeId, Seq, TopicName},
    proto::{
        Op, Position,
        peer::{Arriving, Offer, Peer},
        progress::Report,
        snapshot,
        wire::{Encoded, Frame, SnapshotPart},
    },
};

/// How many requests wait for one peer at the most. At the limit a new one is dropped: who asked
/// asks again.
const MAX_CONTROL: usize = 256;

/// How many reports are held back for operations that are still to come, for each peer. At the
/// limit a new one is dropped: it is repeated.
const MAX_HELD_REPORTS: usize = 10_000;

/// How large a snapshot may be on its way in, in bytes. A larger one is dropped.
const MAX_SNAPSHOT_BYTES: usize = 1 << 30;

/// How far a snapshot may say another node to be, in operations, beyond what that one has said of
/// itself of late. Of a node that is not linked, its sender is believed.
const MAX_AHEAD: u64 = 1 << 20;

/// How long after its last reports a peer is sent the next: acknowledgements are gathered meanwhile.
const REPORT_EVERY: Duration = Duration::from_millis(25);

/// How long to wait until what was asked for is asked for again.
const PULL_AGAIN: Duration = Duration::from_millis(500);

/// How long a snapshot that was sent may stay unacknowledged before it is sent again.
const SNAPSHOT_AGAIN: Duration = Duration::from_secs(10);

impl Core {
    /// There is a link to `peer`, which has stored `have`.
    pub fn handle_link_up(&mut self, peer: NodeId, have: Position, now: Instant) {
        self.handle_link_down(peer);
        let topics = self.replica.topics().keys();
        let entry = self.peers.entry(peer).or_default();
        entry.linked = true;
        entry.have = have;
        entry.have_due = true;
        entry.reports_due = topics.into_iter().collect();
        let from = entry.have.get(self.id);
        entry.sending.insert(self.id, from);
        self.lanes_due.extend(Lane::ALL);
        self.handle_live(peer, now);
        self.look_at_nodes();
    }

    /// The link to `peer` is gone. What was on its way may be lost, and is sent again later.
    pub fn handle_link_down(&mut self, peer: NodeId) {
        self.news = true;
        self.give_posts_back(peer);
        if let Some(peer) = self.peers.get_mut(&peer) {
            peer.handle_link_down();
        }
    }

    /// Membership believes that `node` is alive.
    pub fn handle_live(&mut self, node: NodeId, now: Instant) {
        self.news = true;
        if node != self.id {
            self.live.insert(node);
            self.peers.entry(node).or_default();
            self.dead.remove(&node);
            self.strangers.remove(&node);
            if self.replica.recall(node) {
                let topics = self.replica.topics().keys();
                topics.into_iter().for_each(|topic| self.report(topic));
            }
            self.handle_reachable(false, now);
            self.schedule_sweep(now);
        }
    }

    /// Membership believes that `node` is dead, or has left.
    pub fn handle_dead(&mut self, node: NodeId, now: Instant) {
        self.lose(node, true, now);
    }

    /// A node is gone. `may_return` says whether it may only seem so.
    fn lose(&mut self, node: NodeId, may_return: bool, now: Instant) {
        self.news = true;
        if self.live.remove(&node) || self.strangers.remove(&node).is_some() {
            self.dead.insert(node, now);
            self.tell_for(node, now);
            self.adopt_orphans(now);
            self.pull_missing(now);
            self.look_at_nodes();
            self.handle_reachable(may_return, now);
            self.check_takeovers(now);
            self.schedule_sweep(now);
        }
    }

    /// `peer` sent a frame.
    pub fn handle_frame(&mut self, peer: NodeId, frame: Frame, now: Instant) {
        if !self.peers.get(&peer).is_some_and(|peer| peer.linked) {
            return; // It was still on its way when the link went down.
        }
        self.news = true;
        match frame {
            Frame::Operation { id, op, encoded } => self.handle_op(id, op, encoded, now),
            Frame::Have(have) => self.handle_have(peer, &have, now),
            Frame::Report(report) => self.handle_report(peer, report, now),
            Frame::Pull { origin, from } => self.handle_pull(peer, origin, from),
            Frame::Snapshot { number, index, part } => {
                self.handle_part(peer, number, index, part, now);
            }
            Frame::Post { number, post } => self.handle_post(peer, number, post, now),
            Frame::Posted { number, posted } => self.handle_posted(peer, number, posted),
            Frame::Goodbye => self.lose(peer, false, now),
            Frame::Released(released) => self.handle_released(peer, released, now),
            Frame::Hello(_) | Frame::Unknown => {}
        }
    }

    /// This node leaves: peers that are linked are told, and take over its sessions.
    pub fn say_goodbye(&mut self) {
        for peer in self.linked_peers() {
            self.push_control(peer, Encoded::goodbye());
        }
    }

    /// Whether there is a link to `peer`.
    pub fn is_linked(&self, peer: NodeId) -> bool {
        self.peers.get(&peer).is_some_and(|peer| peer.linked)
    }

    /// What the linked peers are known to have.
    pub fn heard_of(&self) -> Position {
        let mut heard_of = Position::new();
        for peer in self.peers.values().filter(|peer| peer.linked) {
            heard_of.merge(&peer.have);
        }
        self.replica.strip(&mut heard_of);
        heard_of
    }

    /// Whether there is no other live node to hear from.
    pub fn is_alone(&self) -> bool {
        self.live.is_empty()
    }

    /// Whether this node has all that the live nodes are known to have, so that what it does not
    /// know is not there.
    pub fn is_caught_up(&self) -> bool {
        let applied = self.replica.applied();
        let has_all = |peer: &Peer| peer.linked && applied.includes(&peer.have);
        self.live.iter().all(|node| self.peers.get(node).is_some_and(has_all))
    }

    /// Whether every linked peer has stored all that this node has.
    pub fn is_handed_over(&self) -> bool {
        let applied = self.replica.applied();
        self.peers.values().all(|peer| !peer.linked || peer.have.includes(applied))
    }

    /// When [`Lane::Progress`] has something for `peer` that must still wait, if it has.
    pub fn poll_reports(&self, peer: NodeId) -> Option<Instant> {
        let state = self.peers.get(&peer).filter(|peer| peer.linked)?;
        state.reports_at.filter(|_| !state.reports_due.is_empty())
    }

    /// What to write to `peer` next on one lane, about `limit_bytes` of it, and of the journal's about as
    /// much of posts besides; nothing if it has all.
    pub fn poll_transmit(
        &mut self,
        peer: NodeId,
        lane: Lane,
        limit_bytes: usize,
        now: Instant,
    ) -> Vec<Encoded> {
        let Some(state) = self.peers.get_mut(&peer).filter(|peer| peer.linked) else {
            return Vec::new();
        };
        match lane {
            Lane::Control => state.control.drain(..).collect(),
            Lane::Progress => self.transmit_progress(peer, now),
            Lane::Journal => self.transmit_journal(peer, limit_bytes, now),
            Lane::Snapshot => up_to(limit_bytes, || state.snapshots.pop_front()),
        }
    }

    /// Asks for what others have and this node lacks: of the dead, and of those whose own link
    /// brings nothing.
    pub(super) fn pull_missing(&mut self, now: Instant) {
        let mut asked = Vec::new();
        for (&peer, state) in self.peers.iter().filter(|(_, state)| state.linked) {
            for (origin, next) in state.have.iter() {
                let lacked = self.replica.applied().get(origin);
                if next > lacked && origin != self.id && !self.replica.is_retired(origin) {
                    asked.push((origin, lacked, peer));
                }
            }
        }
        for (origin, lacked, peer) in asked {
            let (since, before) = *self.pulls.entry(origin).or_insert((now, lacked));
            let is_direct = self.peers.get(&origin).is_some_and(|peer| peer.linked);
            let waited = now.saturating_duration_since(since) >= PULL_AGAIN;
            if lacked > before {
                self.pulls.insert(origin, (now, lacked)); // It is coming.
            } else if waited || (since == now && !is_direct) {
                self.pulls.insert(origin, (now, lacked));
                self.push_control(peer, Encoded::pull(origin, lacked));
            }
        }
    }

    fn handle_op(&mut self, id: MessageId, op: Op, encoded: Encoded, now: Instant) {
        if id.origin == self.id || !self.has_room_for(id.origin) {
            return;
        }
        if self.must_wait(id, &op, now) {
            self.takeovers.put_off(id, op, encoded);
            return;
        }
        if self.apply(id, op, encoded, now) {
            self.apply_put_off(now);
            self.handle_progress_made(now);
        } else if id.seq > self.replica.applied().get(id.origin) {
            self.schedule_sweep(now); // Something before it is missing; the sweep asks for it.
        }
    }

    /// Applies the next operation of its origin, as far as it is believed.
    pub(super) fn apply_next(&mut self, id: MessageId, op: Op, now: Instant) -> bool {
        let is_next = id.seq == self.replica.applied().get(id.origin);
        let op = if is_next { self.believe(id, op) } else { op };
        if is_next {
            self.flight.set_now(now);
            self.note_op(id.origin, &op);
        }
        self.replica.apply(id, op, now)
    }

    /// Applies the next operation of its origin, and keeps it for peers.
    pub(super) fn apply(&mut self, id: MessageId, op: Op, encoded: Encoded, now: Instant) -> bool {
        let is_next = self.apply_next(id, op, now);
        if is_next {
            self.record(&encoded);
            self.push_tail(id, encoded);
        }
        is_next
    }

    /// More is stored here than before: peers are to hear of it.
    pub(super) fn handle_progress_made(&mut self, now: Instant) {
        for peer in self.peers.values_mut().filter(|peer| peer.linked) {
            peer.have_due = true;
        }
        self.lanes_due.insert(Lane::Progress);
        self.check_doubts(now);
        self.handle_changes(now);
        self.release_reports(now);
        self.check_takeovers(now);
    }

    fn handle_have(&mut self, peer: NodeId, have: &Position, now: Instant) {
        let state = self.peers.entry(peer).or_default();
        let mut merged = state.have.clone();
        merged.merge(have);
        if merged.iter().count() <= Position::MAX_ORIGINS {
            // Nobody has more, who does not make origins up.
            let before = std::mem::replace(&mut state.have, merged);
            self.look_at_stored(&before, have);
        }
        self.lanes_due.insert(Lane::Journal); // It may have waited for a snapshot to be there.
        self.acknowledge_pushes(now);
        self.check_takeovers(now);
        self.schedule_sweep(now);
    }

    fn handle_report(&mut self, peer: NodeId, report: Report, now: Instant) {
        if self.replica.knows(&report.as_of) {
            self.apply_report(peer, &report, now);
            return;
        }
        let held = &mut self.peers.entry(peer).or_default().held_reports;
        let is_newest = match held.get(&report.topic) {
            // Of the same knowledge, what is said last is newer.
            Some(held) => report.as_of == held.as_of || !held.as_of.includes(&report.as_of),
            None => held.len() < MAX_HELD_REPORTS,
        };
        if is_newest {
            held.insert(report.topic.clone(), report);
        }
    }

    /// Applies the reports that speak of nothing unknown any more.
    pub(super) fn release_reports(&mut self, now: Instant) {
        let peers: Vec<_> = self.peers.keys().copied().collect();
        for peer in peers {
            let Some(state) = self.peers.get_mut(&peer) else { continue };
            if state.held_reports.is_empty() {
                continue;
            }
            let ready: Vec<TopicName> = state
                .held_reports
                .iter()
                .filter(|(_, report)| self.replica.knows(&report.as_of))
                .map(|(topic, _)| topic.clone())
                .collect();
            let ready: Vec<_> =
                ready.iter().filter_map(|topic| state.held_reports.remove(topic)).collect();
            for report in ready {
                self.apply_report(peer, &report, now);
            }
        }
    }

    fn apply_report(&mut self, peer: NodeId, report: &Report, now: Instant) {
        let Some(topic) = self.replica.topics().find(&report.topic) else {
            return;
        };
        let members = &self.replica.topics().get(topic).members;
        let told: Vec<_> = members
            .iter()
            .filter_map(|(&id, member)| {
                let session = self.replica.session(id)?;
                let position = report.position_of(peer, session, member)?;
                (!member.acknowledged.includes(position)).then(|| (id, position.clone()))
            })
            .collect();
        for (session, position) in told {
            if self.replica.acknowledge(session, topic, &position) {
                self.look_at_session(session);
            }
            self.note_progress(topic);
        }
        self.schedule_sweep(now);
    }

    fn handle_pull(&mut self, peer: NodeId, origin: NodeId, from: Seq) {
        if let Some(state) = self.peers.get_mut(&peer) {
            state.sending.insert(origin, from);
            self.lanes_due.insert(Lane::Journal);
        }
    }

    fn handle_part(
        &mut self,
        peer: NodeId,
        number: u64,
        index: u32,
        part: SnapshotPart,
        now: Instant,
    ) {
        let arriving = &mut self.peers.entry(peer).or_default().arriving;
        let mut snapshot = match arriving.take() {
            Some(older) if older.number < number => Arriving::new(number),
            Some(snapshot) => snapshot,
            None => Arriving::new(number),
        };
        if snapshot.number > number || !snapshot.take(index, part, MAX_SNAPSHOT_BYTES) {
            *arriving = Some(snapshot);
            return;
        }
        let (view, parts) = snapshot.into_parts();
        let before = self.replica.applied().clone();
        if !self.is_credible(peer, &view) {
            return;
        }
        let mut after = before.clone();
        after.merge(&view);
        if after.iter().filter(|&(node, _)| node != self.id).count() >= Position::MAX_ORIGINS {
            return; // Peers would refuse a position of so many origins.
        }
        if self.replica.restore(&view, parts, now) {
            self.flight.set_now(now);
            self.flight.handle_missed();
            self.record_all();
            for (&origin, tail) in &mut self.tails {
                let at = self.replica.applied().get(origin);
                if at > before.get(origin) {
                    tail.restart(at);
                }
            }
            self.apply_put_off(now);
            self.handle_progress_made(now);
            self.wake_patient(None);
        }
    }

    /// Whether `peer` can have come so far. Nobody knows more of a node than that does itself: what
    /// would be believed to be there already would not be taken when it comes.
    fn is_credible(&self, peer: NodeId, view: &Position) -> bool {
        view.iter().all(|(origin, next)| {
            if origin == self.id {
                return next <= self.replica.applied().get(origin);
            }
            let itself = self.peers.get(&origin).filter(|it| it.linked && origin != peer);
            let ahead = itself.and_then(|itself| next.since(itself.have.get(origin)));
            ahead.is_none_or(|ahead| ahead <= MAX_AHEAD)
        })
    }

    fn transmit_progress(&mut self, peer: NodeId, now: Instant) -> Vec<Encoded> {
        let Some(state) = self.peers.get_mut(&peer) else {
            return Vec::new();
        };
        let mut frames = Vec::new();
        if std::mem::take(&mut state.have_due) {
            frames.push(Encoded::have(self.replica.applied()));
        }
        if state.reports_at.is_some_and(|due| now < due) || state.reports_due.is_empty() {
            return frames;
        }
        state.reports_at = Some(now + REPORT_EVERY);
        for topic in std::mem::take(&mut state.reports_due) {
            frames.extend(self.report_on(topic).map(|report| Encoded::report(&report)));
        }
        frames
    }

    /// How far this node's sessions have read `topic`, if it has any there.
    fn report_on(&self, topic: crate::proto::TopicKey) -> Option<Report> {
        let topic = self.replica.topics().try_get(topic)?;
        let own = topic.members.iter().filter_map(|(&id, member)| {
            let session = self.replica.session(id)?;
            (session.claim.node == self.id).then_some((id, &member.acknowledged))
        });
        Report::of(self.replica.known().clone(), topic.name.clone(), own)
    }

    fn transmit_journal(&mut self, peer: NodeId, limit_bytes: usize, now: Instant) -> Vec<Encoded> {
        let state = self.peers.get_mut(&peer).expect("it is linked");
        let sending = state.sending.clone();
        let (mut frames, mut bytes) = (Vec::new(), 0);
        for (origin, next) in sending {
            let mut next = next.max(self.peers[&peer].have.get(origin));
            let end = self.replica.applied().get(origin);
            let tail = self.tails.get(&origin);
            // A newcomer has to hear what was known of those who are forgotten by now: journals do
            // not tell, but sessions and reports still speak of it.
            let is_newcomer = next == Seq::FIRST && self.replica.has_retired();
            let is_missing = tail.and_then(|tail| tail.get(next)).is_none();
            if next < end && (is_missing || is_newcomer) {
                self.offer_snapshot(peer, (origin, next), now);
                continue;
            }
            while bytes < limit_bytes
                && let Some(op) = tail.and_then(|tail| tail.get(next))
            {
                bytes += op.len();
                frames.push(op.clone());
                next = next.next();
            }
            let sending = &mut self.peers.get_mut(&peer).expect("it is linked").sending;
            if origin != self.id && next >= end {
                sending.remove(&origin); // What it asked for is on its way.
            } else {
                sending.insert(origin, next);
            }
        }
        // They have a limit of their own, so that neither waits until there is nothing of the other.
        let state = self.peers.get_mut(&peer).expect("it is linked");
        frames.extend(up_to(limit_bytes, || {
            state.posted.pop_front().or_else(|| state.handed_on.pop())
        }));
        frames
    }

    /// Queues a snapshot for who lacks `next` of `origin`, unless one that has it is under way.
    fn offer_snapshot(&mut self, peer: NodeId, (origin, next): (NodeId, Seq), now: Instant) {
        let state = self.peers.get_mut(&peer).expect("a snapshot is for a linked peer");
        if let Some(Offer { view, since }) = &state.offer
            && view.get(origin) > next
            && (!state.snapshots.is_empty()
                || now.saturating_duration_since(*since) < SNAPSHOT_AGAIN)
        {
            return;
        }
        self.snapshots_made += 1;
        state.snapshots =
            snapshot::frames_of(&self.replica, self.snapshots_made, &state.have).into();
        state.offer = Some(Offer { view: self.replica.known().clone(), since: now });
        self.lanes_due.insert(Lane::Snapshot);
    }

    /// Whether operations of `origin` are taken. Peers refuse a position of too many origins, so at
    /// the limit those of further ones are ignored until others are forgotten; one place is kept for
    /// this node itself.
    pub(super) fn has_room_for(&self, origin: NodeId) -> bool {
        let applied = self.replica.applied();
        if applied.get(origin) > Seq::FIRST {
            return true;
        }
        let others = applied.iter().filter(|&(node, _)| node != self.id).count();
        others < Position::MAX_ORIGINS - 1 && !self.replica.is_retired(origin)
    }

    pub(super) fn linked_peers(&self) -> Vec<NodeId> {
        self.peers.iter().filter(|(_, peer)| peer.linked).map(|(&node, _)| node).collect()
    }

    pub(super) fn push_control(&mut self, peer: NodeId, frame: Encoded) {
        if let Some(state) = self.peers.get_mut(&peer)
            && state.control.len() < MAX_CONTROL
        {
            state.control.push_back(frame);
            self.lanes_due.insert(Lane::Control);
        }
    }
}

/// The next frames, about `limit_bytes` of them.
fn up_to(limit_bytes: usize, mut next: impl FnMut() -> Option<Encoded>) -> Vec<Encoded> {
    let (mut frames, mut bytes) = (Vec::new(), 0);
    while bytes < limit_bytes
        && let Some(frame) = next()
    {
        bytes += frame.len();
        frames.push(frame);
    }
    frames
}
