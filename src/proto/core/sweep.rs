//! What time does: logs are trimmed, sessions run out, the dead are adopted and forgotten.

use std::{
    collections::{BTreeSet, BinaryHeap},
    time::{Duration, Instant},
};

use super::{Core, Event, Happened, Lane};
use crate::{
    id::{NodeId, SessionId},
    proto::{CloseReason, Closed, Detachment, Op, Position, Presence, Session, TopicKey},
};

/// How often what can be dropped is looked for.
const SWEEP_EVERY: Duration = Duration::from_millis(100);

/// How often what was said to peers is said again, should it have been lost.
const REPEAT_EVERY: Duration = Duration::from_secs(1);

/// How long a node may be heard of without membership saying that it lives. Then it is taken for
/// dead: it died before this node was there to be told.
const STRANGER_FOR: Duration = Duration::from_secs(5);

/// How long before a node was known to be dead it may have failed to tell a handler that a session is
/// over: longer than a death goes unnoticed.
const TELL_WITHIN: Duration = Duration::from_secs(5);

impl Core {
    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadline = self.deadlines.first().map(|&(due, _)| due);
        let takeover = self.takeovers.next_due();
        [self.next_sweep, deadline, takeover, self.pushes_due()].into_iter().flatten().min()
    }

    /// The instant that [`poll_timeout`](Self::poll_timeout) named has come.
    ///
    /// Calling this early, late or twice does no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(due, session)) = self.deadlines.first()
            && due <= now
        {
            self.clear_deadline(session);
            self.close_abandoned(session, now);
        }
        self.expire_takeovers(now);
        self.acknowledge_pushes(now);
        self.wake_patient(Some(now));
        if self.next_sweep.is_some_and(|due| due <= now) {
            self.next_sweep = None;
            self.sweep(now);
        }
    }

    pub(super) fn schedule_sweep(&mut self, now: Instant) {
        self.next_sweep.get_or_insert(now + SWEEP_EVERY);
    }

    pub(super) fn set_deadline(&mut self, session: SessionId, due: Instant) {
        self.clear_deadline(session);
        self.deadlines.insert((due, session));
        self.deadline_of.insert(session, due);
    }

    pub(super) fn clear_deadline(&mut self, session: SessionId) {
        if let Some(due) = self.deadline_of.remove(&session) {
            self.deadlines.remove(&(due, session));
        }
    }

    /// Claims the sessions of nodes that are not alive, as far as they fall to this node.
    pub(super) fn adopt_orphans(&mut self, now: Instant) {
        let is_gone = |owner| self.dead.contains_key(&owner) || self.replica.is_retired(owner);
        if !self.replica.owners().any(is_gone) {
            return;
        }
        let is_ours = |it: &&Session| is_gone(it.claim.node) && self.falls_to_us(it.id);
        let orphans: Vec<_> =
            self.replica.sessions().filter(is_ours).map(|session| session.id).collect();
        for session in orphans {
            if let Some(state) = self.replica.state_of(session) {
                let last_owner = state.session.claim.node;
                let presence = match state.session.presence {
                    Presence::Attached => Presence::Detached(Detachment::NodeDied),
                    away => away,
                };
                self.claim(state, presence, now);
                self.flight.record(session, Happened::Adopted { from: last_owner });
                self.set_deadline(session, now + self.limits.session_kept);
                self.take_over(session, last_owner, now);
            }
        }
    }

    /// Tells the handlers of sessions that others closed just before `node` died, which was to do it
    /// and did not hear of it.
    pub(super) fn tell_for(&mut self, node: NodeId, now: Instant) {
        let Some(peer) = self.peers.get(&node) else { return };
        let closed = self.replica.closed_for(node, now.checked_sub(TELL_WITHIN));
        let due = closed.filter(|(session, closed)| {
            let has_heard = closed.by.origin == node || peer.have.covers(closed.by);
            !has_heard && self.falls_to_us(session.id)
        });
        let told = due.map(|(session, Closed { reason, .. })| {
            let session = session.clone();
            Event::SessionEnded { session, reason }
        });
        let told: Vec<_> = told.collect();
        self.events.extend(told);
    }

    /// Whether this node, of those that are live, is to look after a session of a dead one.
    fn falls_to_us(&self, session: SessionId) -> bool {
        let others = self.live.iter().map(|&node| weight(session, node));
        others.max().is_none_or(|most| weight(session, self.id) > most)
    }

    pub(super) fn close_abandoned(&mut self, session: SessionId, now: Instant) {
        if let Some(known) = self.replica.session(session)
            && known.claim.node == self.id
            && let Presence::Detached(why) = known.presence
        {
            self.close_when_idle(session, CloseReason::Abandoned(why), now);
        }
    }

    fn sweep(&mut self, now: Instant) {
        let stable = self.stable();
        for (&origin, tail) in &mut self.tails {
            tail.trim(stable.get(origin));
        }
        self.trim_logs(&stable, now);
        self.close_slow(now);
        self.replica.sweep_tombstones(now);
        self.pull_missing(now);
        if self.next_repeat.is_none_or(|due| due <= now) {
            self.next_repeat = Some(now + REPEAT_EVERY);
            self.repeat(now);
        }
        self.handle_changes(now);
        let is_quiet = self.is_quiet();
        self.record_progress(is_quiet, now);
        if is_quiet {
            self.next_sweep = None;
        } else {
            self.schedule_sweep(now);
        }
    }

    /// What every live node has stored.
    fn stable(&self) -> Position {
        let mut stable = self.replica.applied().clone();
        for node in &self.live {
            stable.meet(&self.peers[node].have);
        }
        stable
    }

    fn trim_logs(&mut self, stable: &Position, now: Instant) {
        self.leave_closed(now); // Sessions may have come from elsewhere, or joined who did not know.
        for key in self.replica.topics_mut().take_due() {
            self.end_departed(key, now);
            if self.replica.topics().get(key).log.is_trim_due(now) {
                let settled = self.replica.settled(key);
                self.replica.topics_mut().trim(key, settled.as_ref(), stable, now);
            }
            self.replica.topics_mut().settle(key);
        }
        self.replica.topics_mut().recount();
        self.shrink_logs();
    }

    /// Ends the memberships of own sessions that have left `topic` and have had all of it.
    fn end_departed(&mut self, topic: TopicKey, now: Instant) {
        let open = self.replica.topics().get(topic);
        let mut departed = open.departed(self.replica.applied());
        let is_own = |id| self.replica.session(id).is_some_and(|s| s.claim.node == self.id);
        departed.retain(|&(session, _)| is_own(session));
        let name = open.name.clone();
        for (session, left) in departed {
            self.commit(Op::Departed { session, topic: name.clone(), left }, now);
        }
    }

    /// Lets the largest logs give way if all together are too large.
    fn shrink_logs(&mut self) {
        let mut left = self.replica.topics().bytes();
        if left <= self.limits.logs_bytes {
            return;
        }
        let sizes = self.replica.topics().iter().map(|(key, topic)| (topic.log.bytes(), key));
        let mut largest: BinaryHeap<_> = sizes.collect();
        while left > self.limits.logs_bytes
            && let Some((before, key)) = largest.pop()
        {
            self.replica.topics_mut().shrink(key, before - before / 8);
            let bytes = self.replica.topics().get(key).log.bytes();
            left -= before - bytes;
            if bytes > 0 {
                largest.push((bytes, key));
            }
            self.wake_readers(key);
        }
    }

    /// Says again what peers may have missed, and looks after those who died.
    fn repeat(&mut self, now: Instant) {
        let unsettled: Vec<_> = self.replica.topics().unsettled().collect();
        let own_end = self.replica.applied().get(self.id);
        for peer in self.peers.values_mut().filter(|peer| peer.linked) {
            peer.have_due = true;
            peer.reports_due.extend(&unsettled);
            // Sent, and long not stored: it was lost on the way, so it is sent again.
            let stored = peer.have.get(self.id);
            if peer.stored_before.replace(stored) == Some(stored)
                && stored < own_end
                && let Some(next) = peer.sending.get_mut(&self.id)
            {
                *next = stored;
            }
        }
        self.lanes_due.extend(Lane::ALL);
        self.watch_strangers(now);
        self.adopt_orphans(now);
        self.give_up_waiting(now);
        self.trust_the_living(now);
        self.close_idle(now);
        self.retire_dead(now);
    }

    /// Looks after the nodes that are heard of and that membership says nothing about.
    fn watch_strangers(&mut self, now: Instant) {
        let origins = self.replica.known().iter().map(|(origin, _)| origin);
        let owners = self.replica.owners();
        let followed = self.takeovers.waited_for();
        let mut strangers: BTreeSet<_> = origins.chain(owners).chain(followed).collect();
        strangers.retain(|node| {
            let is_told = self.live.contains(node) || self.dead.contains_key(node);
            *node != self.id && !is_told && !self.replica.is_retired(*node)
        });
        self.strangers.retain(|node, _| strangers.contains(node));
        for node in strangers {
            let since = *self.strangers.entry(node).or_insert(now);
            if now.saturating_duration_since(since) >= STRANGER_FOR {
                self.handle_dead(node, now);
            }
        }
    }

    /// Forgets the nodes that have been dead for long, once nothing of theirs is left, nor put off: it
    /// may tell of sessions that this node is to look after.
    fn retire_dead(&mut self, now: Instant) {
        let is_due = |node: NodeId, since: Instant| {
            let is_long = now.saturating_duration_since(since) >= self.limits.dead_kept;
            is_long && !self.takeovers.puts_off(node)
        };
        let dead = self.dead.iter().filter(|&(&node, &since)| is_due(node, since));
        let due: Vec<_> = dead.map(|(&node, _)| node).collect();
        for node in due {
            if self.replica.forget(node) {
                self.dead.remove(&node);
                self.tails.remove(&node);
                self.peers.remove(&node);
                self.pulls.remove(&node);
                self.forget_followed(node);
                self.peers.values_mut().for_each(|peer| peer.forget(node));
                self.release_reports(now); // Nothing of it is waited for any more.
                self.check_doubts(now);
            }
        }
    }

    /// Whether nothing will change until something happens.
    fn is_quiet(&self) -> bool {
        let is_settled = self.replica.topics().messages() == 0;
        let is_told = !self.replica.topics().ledger.events.has_drops();
        let is_alone = self.peers.is_empty() && self.dead.is_empty() && self.strangers.is_empty();
        let is_had = !self.replica.topics().are_being_left();
        is_settled && is_alone && is_told && is_had
    }
}

/// How much `node` is to have `session`: the highest weight gets it (rendezvous hashing). The mix is
/// splitmix64's.
fn weight(session: SessionId, node: NodeId) -> u64 {
    let bits = session.to_bits();
    let mut mixed = (bits as u64) ^ ((bits >> 64) as u64).rotate_left(32) ^ node.to_bits();
    for multiplier in [0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb] {
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(multiplier);
    }
    mixed ^ (mixed >> 31)
}
