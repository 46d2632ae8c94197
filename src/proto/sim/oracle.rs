//! What is looked at after each step, of the node that took it.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Checked,
    links::brief,
    violated,
    world::{World, short},
};
use crate::{
    id::{MessageId, SessionId, TopicName},
    proto::{Core, Cursor, Ending, Fate, Position, Stamp, TopicLog},
};

/// How many requests may wait for a peer.
const MAX_REQUESTS: usize = 256;

/// How long the largest snapshot is: all messages of a full node, and some more for the rest.
const MAX_SNAPSHOT_FRAMES: usize = 3_000;

/// How many reports may be held for a peer: one for each topic, private ones included.
const MAX_HELD_REPORTS: usize = 200;

/// What a node was like when it was last looked at.
#[derive(Debug, Default)]
pub(super) struct Looked {
    applied: Position,
    acknowledged: Acknowledged,
    logs: BTreeMap<TopicName, LookedLog>,
}

/// Since when a session is in a topic, and what it has.
type Acknowledged = BTreeMap<(SessionId, TopicName), (Stamp, Position)>;

/// The messages of a topic, and by what it is seen that they are the same still.
#[derive(Debug, Default)]
struct LookedLog {
    end: Cursor,
    ids: Vec<MessageId>,
}

impl World {
    /// Everything that must hold of one node at any time.
    pub(super) fn check_node(&mut self, node: usize) -> Checked {
        let looked = std::mem::take(&mut self.nodes[node].looked);
        let (applied, looked) = (looked.applied.clone(), looked);
        self.check_applied_goes_forward(node, &applied)?;
        let acknowledged = self.check_acknowledged(node, &looked.acknowledged)?;
        let mut dropped = Vec::new();
        let logs = self.check_trimmed(node, looked.logs, &mut dropped)?;
        self.note_stranded(node, &dropped);
        self.check_memory(node)?;
        self.check_accounts(node)?;
        self.check_home(node)?;
        let doubted: Vec<_> = self.core(node).doubted().collect();
        self.ghost.doubted.extend(doubted);
        let applied = self.core(node).replica().applied().clone();
        self.nodes[node].looked = Looked { applied, acknowledged, logs };
        Ok(())
    }

    /// S6: what a node has applied never goes back, but for the dead that it forgets.
    fn check_applied_goes_forward(&self, node: usize, before: &Position) -> Checked {
        let applied = self.core(node).replica().applied();
        for (origin, next) in before.iter() {
            let is_forgotten = applied.get(origin) == crate::id::Seq::FIRST
                && self
                    .index_of(origin)
                    .is_some_and(|other| !self.is_alive(other) || !self.views[&(node, other)].live);
            if applied.get(origin) < next && !is_forgotten {
                let text = format!("n{node} had {} and has {}", brief(before), brief(applied));
                return violated("S6 forward", text);
            }
        }
        Ok(())
    }

    /// S4 and S6: what is acknowledged does not go back, and was received or told of.
    fn check_acknowledged(
        &self,
        node: usize,
        before: &Acknowledged,
    ) -> Result<Acknowledged, super::Violation> {
        let mut now = BTreeMap::new();
        let nothing = Position::new();
        for (_, topic) in self.core(node).replica().topics().iter() {
            for (&session, member) in &topic.members {
                let key = (session, topic.name.clone());
                let new = &member.acknowledged;
                let old = match before.get(&key) {
                    // It departed and has joined again: it begins anew.
                    Some((stamp, old)) if *stamp != member.stamp && !new.includes(old) => &nothing,
                    Some((_, old)) => old,
                    None => &nothing,
                };
                if old != new {
                    self.check_acknowledgement(node, &key, old, new)?;
                }
                now.insert(key, (member.stamp, new.clone()));
            }
        }
        Ok(now)
    }

    fn check_acknowledgement(
        &self,
        node: usize,
        (session, topic): &(SessionId, TopicName),
        old: &Position,
        new: &Position,
    ) -> Checked {
        let who = || format!("n{node} of session {} in {topic}", short(*session));
        let applied = self.core(node).replica().applied();
        for (origin, next) in old.iter() {
            let is_forgotten = applied.get(origin) == crate::id::Seq::FIRST;
            if new.get(origin) < next && !is_forgotten {
                let text = format!("{}: from {} to {}", who(), brief(old), brief(new));
                return violated("S6 forward", text);
            }
        }
        for (origin, next) in new.iter() {
            for (id, published) in self.ghost.range(origin, old.get(origin), next) {
                let promise = published.promises.iter().find(|p| p.session == *session);
                if published.topic == *topic
                    && promise.is_some_and(|promise| self.ghost.is_due(id, promise))
                    && !self.ghost.has(*session, id)
                {
                    let text = format!("{} believes that it has {id}, by {}", who(), brief(new));
                    return violated("S4 acknowledged", text);
                }
            }
        }
        Ok(())
    }

    /// S5: what is dropped, all who were to get it have, or will be told of.
    fn check_trimmed(
        &self,
        node: usize,
        mut before: BTreeMap<TopicName, LookedLog>,
        dropped: &mut Vec<MessageId>,
    ) -> Result<BTreeMap<TopicName, LookedLog>, super::Violation> {
        let mut now = BTreeMap::new();
        for (_, topic) in self.core(node).replica().topics().iter() {
            let mut looked = before.remove(&topic.name).unwrap_or_default();
            if (looked.end, looked.ids.len()) != (topic.log.end(), topic.log.len()) {
                let ids: Vec<_> = topic.log.iter().map(|entry| entry.id()).collect();
                let left: BTreeSet<_> = ids.iter().collect();
                for &id in looked.ids.iter().filter(|id| !left.contains(id)) {
                    self.check_drop(node, id, Some(&topic.log))?;
                    dropped.push(id);
                }
                looked = LookedLog { end: topic.log.end(), ids };
            }
            now.insert(topic.name.clone(), looked);
        }
        for id in before.into_values().flat_map(|looked| looked.ids) {
            self.check_drop(node, id, None)?;
            dropped.push(id);
        }
        Ok(now)
    }

    fn check_drop(&self, node: usize, id: MessageId, log: Option<&TopicLog>) -> Checked {
        let Fate::Ended { ending, .. } = self.core(node).fate(id) else {
            return violated("S12 accounted", format!("n{node} does not know how {id} ended"));
        };
        if ending != Ending::Acknowledged && log.is_none_or(|log| log.lost().covers(id)) {
            return Ok(());
        }
        let known = self.core(node).replica().known();
        let Some(published) = self.ghost.published.get(&id) else {
            return violated("S7 names", format!("n{node} had {id}, which nobody published"));
        };
        for promise in &published.promises {
            if known.covers(promise.by)
                && self.ghost.is_due(id, promise)
                && !self.ghost.has(promise.session, id)
            {
                let (topic, session) = (&published.topic, short(promise.session));
                let text = format!("n{node}: {id} of {topic}, {session} lacks it: {ending:?}");
                return violated("S5 trimmed", text);
            }
        }
        Ok(())
    }

    /// Notes what was dropped though it was promised to sessions that this node cannot know of.
    fn note_stranded(&mut self, node: usize, dropped: &[MessageId]) {
        let mut stranded = Vec::new();
        let known = self.core(node).replica().known();
        for id in dropped {
            let promises = self.ghost.published.get(id).map_or(&[][..], |it| &it.promises);
            for promise in promises.iter().filter(|promise| !known.covers(promise.by)) {
                let source = self.index_of(promise.by.origin);
                if source.is_none_or(|other| other != node && !self.views[&(node, other)].live) {
                    stranded.push((*id, promise.session));
                }
            }
        }
        self.ghost.stranded.extend(stranded);
    }

    /// S10: every queue, log and map keeps to its limit.
    fn check_memory(&self, node: usize) -> Checked {
        let core = self.core(node);
        let limits = &self.faults.limits;
        for (_, topic) in core.replica().topics().iter() {
            let (messages, bytes) = (topic.log.len(), topic.log.bytes());
            if messages > limits.log.messages.get() || bytes > limits.log.bytes.get() {
                let text =
                    format!("n{node} keeps {messages} messages, {bytes} B of {}", topic.name);
                return violated("S10 memory", text);
            }
        }
        let usage = core.usage();
        let holds = usage.tail_ops <= limits.tail.ops.get()
            && usage.requests <= MAX_REQUESTS
            && usage.snapshot_frames <= MAX_SNAPSHOT_FRAMES
            && usage.arriving_parts <= MAX_SNAPSHOT_FRAMES
            && usage.held_reports <= MAX_HELD_REPORTS;
        match holds {
            true => Ok(()),
            false => violated("S10 memory", format!("n{node} holds {usage:?}")),
        }
    }

    /// S12: every message that was stored is kept, or was counted as ended, once.
    fn check_accounts(&self, node: usize) -> Checked {
        let core = self.core(node);
        let (mut kept, mut bytes) = ((0, 0), 0);
        for (_, topic) in core.replica().topics().iter() {
            let accounting = topic.log.accounting();
            if accounting.unaccounted() > 0 {
                let text = format!("n{node} in {}: {accounting:?}", topic.name);
                return violated("S12 accounted", text);
            }
            kept.0 += accounting.stored.pending;
            kept.1 += accounting.published.pending;
            bytes += topic.log.bytes();
        }
        let (accounting, usage) = (core.accounting(), core.usage());
        let told = (accounting.stored.pending, accounting.published.pending);
        match accounting.unaccounted() == 0 && told == kept && usage.log_bytes == bytes {
            true => Ok(()),
            false => {
                let text = format!("n{node} keeps {kept:?}, {bytes} B: {accounting:?}, {usage:?}");
                violated("S12 accounted", text)
            }
        }
    }

    /// S8: a session with an attachment is owned where that is.
    fn check_home(&self, node: usize) -> Checked {
        let core = self.core(node);
        let is_home = |core: &Core, session| {
            let known = core.replica().session(session);
            known.is_some_and(|known| known.claim.node == core.id())
        };
        for connection in self.connections.iter().filter(|c| c.node == node && c.server_open) {
            let session = connection.session;
            if core.attachment_of(session) == Some(connection.key) && !is_home(core, session) {
                let text = format!("n{node} has an attachment of {session}, but does not own it");
                return violated("S8 one home", text);
            }
        }
        Ok(())
    }

    /// S8: an attachment is superseded only by another, unless a node looked dead.
    pub(super) fn check_superseded(
        &self,
        node: usize,
        session: SessionId,
        superseded: bool,
    ) -> Checked {
        let newer = self.connections.iter().filter(|c| c.session == session).count() > 1;
        match superseded && !newer && !self.ghost.split {
            true => {
                let text = format!("n{node} lost session {session}, which is nowhere else");
                violated("S8 one home", text)
            }
            false => Ok(()),
        }
    }
}
