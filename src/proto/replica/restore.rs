//! What a snapshot says is merged into what is known.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use super::{Change, Known, Replica};
use crate::{
    id::{SessionId, TopicName},
    proto::{CloseReason, InboxMemory, OpenPush, Position, SessionState, wire::SnapshotPart},
};

impl Replica {
    /// Takes over what a node told that knew `view`.
    ///
    /// Returns false, and changes nothing, if this node has come as far by itself.
    pub fn restore(&mut self, view: &Position, parts: Vec<SnapshotPart>, now: Instant) -> bool {
        if self.knows(view) {
            return false;
        }
        let had = self.applied.clone();
        let mut news = view.clone();
        self.strip(&mut news);
        self.applied.merge(&news);
        self.told.merge(&news);
        let mut named = BTreeSet::new();
        let mut inboxes: BTreeMap<_, (InboxMemory, Vec<OpenPush>)> = BTreeMap::new();
        for part in parts {
            match part {
                SnapshotPart::Session(state) => {
                    named.insert(state.session.id);
                    self.merge_session(state, view, now);
                }
                SnapshotPart::Closed { session, closed } => self.fold_close(session, closed, now),
                SnapshotPart::Lost { topic, before } => self.restore_lost(&topic, before, &had),
                SnapshotPart::Message { topic, entry } => {
                    if !had.covers(entry.id()) && !self.is_retired(entry.id().origin) {
                        self.store(&topic, entry, now);
                    }
                }
                SnapshotPart::Inbox { session, memory } => {
                    inboxes.entry(session).or_default().0 = memory;
                }
                SnapshotPart::Push { session, push } => {
                    inboxes.entry(session).or_default().1.push(push);
                }
                SnapshotPart::Closure { topic, closure } => self.fold_closure(&topic, closure),
                SnapshotPart::Withdrawn { topic, id, from } => {
                    self.fold_withdrawal(&topic, id, &from);
                }
                SnapshotPart::End { .. } => {}
            }
        }
        self.drop_absent(&named, view);
        self.merge_inboxes(inboxes, view, now);
        self.known.merge(view);
        self.check();
        true
    }

    /// What another node had lost is lost here too, unless it was here before.
    fn restore_lost(&mut self, topic: &TopicName, mut lost: Position, had: &Position) {
        self.strip(&mut lost);
        for (origin, before) in lost.iter().filter(|&(origin, before)| before > had.get(origin)) {
            self.topics.handle_lost(topic, origin, before);
        }
        self.changes.extend(self.topics.find(topic).map(Change::Grew));
    }

    /// Merges what a snapshot says of a session.
    fn merge_session(&mut self, state: SessionState, view: &Position, now: Instant) {
        let id = state.session.id;
        match self.state_of(id) {
            None if state.session.claim.is_known_at(&self.known) => return,
            None => {}
            Some(here) => {
                for (name, member) in here.memberships {
                    let told = state.memberships.iter().any(|(told, _)| *told == name);
                    if !told
                        && name.private_session().is_none()
                        && member.is_known_at(view)
                        && let Some(key) = self.topics.find(&name)
                    {
                        self.remove_member(id, key);
                    }
                }
            }
        }
        self.fold_claim(state, now);
    }

    /// Merges what a snapshot says of what clients have pushed. Of whom it says nothing, it knew
    /// nothing.
    fn merge_inboxes(
        &mut self,
        mut told: BTreeMap<SessionId, (InboxMemory, Vec<OpenPush>)>,
        view: &Position,
        now: Instant,
    ) {
        let Self { sessions, known: here, changes, .. } = self;
        for (&session, known) in sessions {
            let (memory, open) = told.remove(&session).unwrap_or_default();
            let before: BTreeSet<_> = known.inbox.open().map(|push| push.key.clone()).collect();
            known.inbox.merge(memory, open, |id| view.covers(id), |id| here.covers(id), now);
            let news = known.inbox.open().filter(|push| !before.contains(&push.key));
            changes.extend(news.map(|push| Change::Pushed { session, key: push.key.clone() }));
        }
    }

    /// Removes the sessions that a snapshot could have named and did not.
    fn drop_absent(&mut self, named: &BTreeSet<SessionId>, view: &Position) {
        let absent = |known: &&Known| {
            !named.contains(&known.session.id) && known.session.claim.is_known_at(view)
        };
        let gone: Vec<_> =
            self.sessions.values().filter(absent).map(|known| known.session.id).collect();
        for session in gone {
            self.remove_session(session, None, CloseReason::Other);
        }
    }
}
