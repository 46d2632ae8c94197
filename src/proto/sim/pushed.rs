//! What really became of pushes, as nobody in the cluster can know it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Checked, ghost::Ghost, violated, world::short};
use crate::{
    id::{Cause, Epoch, MessageId, PushKey, SessionId},
    message::Message,
    proto::{Entry, Position},
};

/// A node's handler was told of a push.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) node: usize,
    /// The claim of the session by which it was.
    pub(super) epoch: Epoch,
    /// The nodes that had not been known to it for long, or not it to them.
    pub(super) strangers: BTreeSet<usize>,
}

/// One push.
#[derive(Debug)]
pub(super) struct Pushed {
    /// Which run of its client sent it, and which of that run it is.
    pub(super) run: u64,
    pub(super) number: u64,
    pub(super) message: Message,
    /// The operations that accepted it.
    pub(super) accepted: Vec<MessageId>,
    /// On how many nodes it was stored when it was last acknowledged.
    pub(super) copies: Option<usize>,
    /// How many nodes that had stored it have died since.
    pub(super) died: usize,
    /// Whether the last node that had stored it died.
    pub(super) lost: bool,
    /// The nodes whose handlers were told.
    pub(super) begun: Vec<Begun>,
    /// The operations that say that a handler has returned.
    pub(super) finished: Vec<MessageId>,
}

/// All pushes, and what they led to.
#[derive(Debug, Default)]
pub(super) struct Pushes {
    pub(super) all: BTreeMap<(SessionId, PushKey), Pushed>,
    /// The messages that were published for each cause, in the order in which they were.
    pub(super) effects: BTreeMap<Cause, Vec<MessageId>>,
    /// The pushes of each run in each session, by number.
    pub(super) runs: BTreeMap<(SessionId, u64), BTreeMap<u64, PushKey>>,
}

impl Pushes {
    /// A client sends a push, for the first time in this session or again.
    pub(super) fn send(
        &mut self,
        session: SessionId,
        key: &PushKey,
        (run, number): (u64, u64),
        message: &Message,
    ) {
        self.all.entry((session, key.clone())).or_insert_with(|| Pushed {
            run,
            number,
            message: message.clone(),
            accepted: Vec::new(),
            copies: None,
            died: 0,
            lost: false,
            begun: Vec::new(),
            finished: Vec::new(),
        });
        self.runs.entry((session, run)).or_default().insert(number, key.clone());
    }

    pub(super) fn get_mut(&mut self, session: SessionId, key: &PushKey) -> Option<&mut Pushed> {
        self.all.get_mut(&(session, key.clone()))
    }

    pub(super) fn number_of(&self, session: SessionId, key: &PushKey) -> u64 {
        self.all[&(session, key.clone())].number
    }

    /// How many messages into topics a push leads to.
    pub(super) fn effects_of(number: u64) -> u32 {
        (number % 3) as u32
    }

    /// Whether some message that was published for a cause is known at `position`.
    pub(super) fn knows_effect(&self, cause: &Cause, position: &Position) -> bool {
        self.effects.get(cause).is_some_and(|ids| ids.iter().any(|id| position.covers(*id)))
    }

    /// The others that were published for the same cause as a message: before it, or received before
    /// by whoever `has` them.
    fn repeated(
        &self,
        id: MessageId,
        cause: &Cause,
        has: impl Fn(MessageId) -> bool,
    ) -> Vec<MessageId> {
        let all = &self.effects[cause];
        let at = all.iter().position(|&other| other == id);
        let others = all.iter().enumerate().filter(|&(other, _)| Some(other) != at);
        let others = others.filter(|&(other, id)| Some(other) < at || has(*id));
        others.map(|(_, &id)| id).collect()
    }
}

impl Ghost {
    /// S3: what a client pushed first, was promised to who reads it, and was known to who published
    /// the later, is read first, unless its node has been dead for so long that nobody waits for it, or
    /// it only repeats what was published for the same cause, and who published the later knew: then
    /// that is to be read first, or was, or the client was told of a gap in its place.
    ///
    /// Who joined on a node that died with that, and has joined elsewhere before, was promised less
    /// than it gets once it is elsewhere again: what the dead node had published just before.
    pub(super) fn check_causes(&mut self, session: SessionId, entry: &Entry) -> Checked {
        let Some(cause) = entry.cause() else {
            return Ok(());
        };
        let Some(pushed) = self.pushes.all.get(&(cause.session, cause.key.clone())) else {
            return violated("S7 names", format!("nobody pushed what caused {}", entry.id()));
        };
        let place = (pushed.number, cause.index);
        let run = (entry.topic().clone(), cause.session, pushed.run);
        let was_told = self.was_told_of(session, entry.id());
        let is_due = self.is_promised(session, entry.id());
        let repeated = self.pushes.repeated(entry.id(), cause, |other| self.has(session, other));
        let read = self.read.entry(session).or_default().entry(run).or_default();
        let is_news = read.iter().all(|(_, known, _)| known != cause);
        if is_news {
            let later = read.iter().find(|(other, _, id)| {
                *other > place && self.published[id].known.covers(entry.id())
            });
            if let Some((_, _, later)) = later
                && !self.given_up.contains(&entry.id().origin)
                && !repeated.iter().any(|id| self.published[later].known.covers(*id))
                && is_due
                && !was_told
            {
                let text = format!(
                    "{} got {} of push {} after {later} of push {:?}",
                    short(session),
                    entry.id(),
                    cause.key,
                    self.published[later].cause.as_ref().map(|cause| &cause.key)
                );
                return violated("S3 order", text);
            }
            read.push((place, cause.clone(), entry.id()));
        }
        Ok(())
    }
}
