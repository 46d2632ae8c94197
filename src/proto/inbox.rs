//! What a session's client has pushed, as far as this node has stored it.
//!
//! A push is accepted once: by an operation that holds it whole. Whether one was accepted before is
//! known only from such operations that this node itself has, never from a number that another node
//! told: a node that knew the number and lacked the push could neither handle it nor take it again.
//!
//! ```text
//!             Accepted               the handler returned: Handled
//!   unknown ------------->   open   -------------------------------> done
//! ```
//!
//! # Invariants
//!
//! 1. Of each run of the client, every number below `next` is open, done or missing, and nothing at
//!    `next` or above is.
//! 2. No push is open twice.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::{
    id::{Cause, MessageId, NodeId, PushKey},
    message::Message,
    proto::Position,
};

/// How many pushes of one session may be open. At the limit its client is not read from.
const MAX_OPEN: usize = 64;

/// How many bytes of one session may be open. At the limit its client is not read from.
const MAX_OPEN_BYTES: usize = 4 << 20;

/// How many runs of its client a session remembers. At the limit the one that is least far goes.
const MAX_RUNS: usize = 16;

/// How many numbers of a run may be missing. At the limit the lowest is taken to be done.
const MAX_MISSING: usize = 1_024;

/// How many named pushes are remembered. At the limit the first is forgotten.
const MAX_NAMED: usize = 1_024;

/// How long a named push is remembered.
const NAMED_FOR: Duration = Duration::from_secs(600);

/// What one run of a client has pushed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Run {
    /// The number above all that were accepted.
    next: u64,
    /// The numbers below that have not been heard of.
    missing: BTreeSet<u64>,
}

/// A push that the handler has yet to be told of, or has not answered yet.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct OpenPush {
    /// What the client calls it.
    pub key: PushKey,
    /// The operation that accepted it.
    pub id: MessageId,
    /// What it says.
    pub message: Message,
    /// What it led to so far: the operations of a handler that has not returned.
    pub effects: BTreeMap<u32, MessageId>,
    /// Whether the handler is being told of it, on this node.
    pub begun: bool,
}

impl OpenPush {
    /// A push that operation `id` accepted.
    pub fn new(key: PushKey, id: MessageId, message: Message) -> Self {
        Self { key, id, message, effects: BTreeMap::new(), begun: false }
    }
}

/// What a session's client has pushed.
#[derive(Clone, Debug, Default)]
pub struct Inbox {
    runs: BTreeMap<u64, Run>,
    named: VecDeque<(Instant, Arc<str>)>,
    open: VecDeque<OpenPush>,
    /// Where each journal says last that a push was handled, until that is [taken](Self::take_handled).
    handled: Position,
}

impl Inbox {
    /// Whether a push was accepted before.
    pub fn has(&self, key: &PushKey, now: Instant) -> bool {
        match key {
            PushKey::Counted { epoch, number } => {
                self.runs.get(epoch).is_some_and(|run| run.has(*number))
            }
            PushKey::Named(name) => self.named.iter().any(|(since, known)| {
                known == name && now.saturating_duration_since(*since) < NAMED_FOR
            }),
        }
    }

    /// A push was accepted. Whether it is open now: it may have been accepted before.
    pub fn accept(&mut self, push: OpenPush, now: Instant) -> bool {
        let is_news = self.remember(&push.key, now);
        if is_news {
            self.insert(push);
        }
        is_news
    }

    /// The handler has returned from a push, as operation `by` says. That may be heard of before it
    /// is heard that the push was accepted: then it is done already.
    pub fn finish(&mut self, key: &PushKey, by: MessageId, now: Instant) {
        self.open.retain(|push| push.key != *key);
        self.handled.advance(by.origin, by.seq.next());
        self.remember(key, now);
    }

    /// What must have been heard of to know of all that was handled since this was last asked.
    pub fn take_handled(&mut self) -> Position {
        std::mem::take(&mut self.handled)
    }

    /// An origin is dead and forgotten.
    pub fn forget(&mut self, origin: NodeId) {
        self.handled.forget(origin);
    }

    /// An operation was made on behalf of a push.
    pub fn note(&mut self, cause: &Cause, id: MessageId) {
        if let Some(push) = self.find_mut(&cause.key) {
            push.effects.entry(cause.index).or_insert(id);
        }
    }

    /// The operation that was made for this cause, by a handler that has not returned.
    pub fn effect(&self, cause: &Cause) -> Option<MessageId> {
        let push = self.open.iter().find(|push| push.key == cause.key)?;
        push.effects.get(&cause.index).copied()
    }

    /// The pushes that are open, in the order in which they were accepted.
    pub fn open(&self) -> impl Iterator<Item = &OpenPush> {
        self.open.iter()
    }

    /// The first that is open and that the handler has not been told of here. It is told now.
    pub fn begin(&mut self) -> Option<&OpenPush> {
        let push = self.open.iter_mut().find(|push| !push.begun)?;
        push.begun = true;
        Some(push)
    }

    /// Whether the same run of the client has counted some before that were not heard of.
    pub fn lacks_before(&self, key: &PushKey) -> bool {
        let PushKey::Counted { epoch, number } = key else {
            return false;
        };
        match self.runs.get(epoch) {
            Some(run) => run.next < *number || run.missing.first().is_some_and(|it| it < number),
            None => *number > 1,
        }
    }

    /// Whether another push may be accepted.
    pub fn has_room(&self) -> bool {
        let bytes: usize = self.open.iter().map(|push| push.message.len()).sum();
        self.open.len() < MAX_OPEN && bytes < MAX_OPEN_BYTES
    }

    /// Whether nothing is open.
    pub fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// What is to be remembered beside the pushes that are open.
    pub fn memory(&self) -> InboxMemory {
        InboxMemory {
            runs: self.runs.iter().map(|(&epoch, run)| (epoch, run.clone())).collect(),
            named: self.named.iter().map(|(_, name)| Arc::clone(name)).collect(),
        }
    }

    /// Learns what another node, which knew `told_at`, remembers. What is open here and not there,
    /// though it knew of it, is done; so is what is open there and not here, though it was accepted
    /// here. It may have been accepted twice, by operations that neither node has both of.
    pub fn merge(
        &mut self,
        memory: InboxMemory,
        open: Vec<OpenPush>,
        told_at: impl Fn(MessageId) -> bool,
        known_here: impl Fn(MessageId) -> bool,
        now: Instant,
    ) {
        let is_open = |key: &PushKey| open.iter().any(|told| told.key == *key);
        let is_told = |push: &OpenPush| told_at(push.id) || memory.has(&push.key);
        self.open.retain(|here| !is_told(here) || is_open(&here.key));
        for told in open {
            let is_done = known_here(told.id) || self.has(&told.key, now);
            match self.find_mut(&told.key) {
                Some(here) => here.effects.extend(told.effects),
                None if is_done => {}
                None => self.insert(told),
            }
        }
        for (epoch, run) in memory.runs {
            match self.runs.get_mut(&epoch) {
                Some(here) => here.merge(&run),
                None => drop(self.runs.insert(epoch, run)),
            }
        }
        self.forget_runs();
        for name in memory.named {
            if self.named.iter().all(|(_, known)| *known != name) {
                self.named.push_back((now, name));
            }
        }
        let surplus = self.named.len().saturating_sub(MAX_NAMED);
        self.named.drain(..surplus);
    }

    fn find_mut(&mut self, key: &PushKey) -> Option<&mut OpenPush> {
        self.open.iter_mut().find(|push| push.key == *key)
    }

    /// Adds an open push: behind all, unless later ones of the same run are there already.
    fn insert(&mut self, push: OpenPush) {
        let at = self.open.iter().position(|other| push.key.is_before(&other.key));
        self.open.insert(at.unwrap_or(self.open.len()), push);
    }

    /// A push was accepted. Whether that is news.
    fn remember(&mut self, key: &PushKey, now: Instant) -> bool {
        if self.has(key, now) {
            return false;
        }
        match key {
            PushKey::Counted { epoch, number } => self.count(*epoch, *number),
            PushKey::Named(name) => {
                self.named.push_back((now, Arc::clone(name)));
                if self.named.len() > MAX_NAMED {
                    self.named.pop_front();
                }
            }
        }
        true
    }

    fn count(&mut self, epoch: u64, number: u64) {
        // A client that was acknowledged some elsewhere begins with the first that was not.
        let run = self.runs.entry(epoch).or_insert_with(|| Run::new(number));
        run.take(number);
        self.forget_runs();
    }

    fn forget_runs(&mut self) {
        while self.runs.len() > MAX_RUNS {
            let least = self.runs.iter().min_by_key(|(_, run)| run.next).map(|(&epoch, _)| epoch);
            self.runs.remove(&least.expect("there are runs"));
        }
    }
}

impl Run {
    fn new(next: u64) -> Self {
        let mut run = Self { next: 1, missing: BTreeSet::new() };
        run.reach(next);
        run
    }

    fn has(&self, number: u64) -> bool {
        number < self.next && !self.missing.contains(&number)
    }

    fn take(&mut self, number: u64) {
        self.reach(number.saturating_add(1));
        self.missing.remove(&number);
    }

    /// All below `next` that have not been heard of are missing from now on.
    fn reach(&mut self, next: u64) {
        if next > self.next {
            let first = self.next.max(next.saturating_sub(MAX_MISSING as u64));
            self.missing.extend(first..next);
            self.next = next;
        }
        while self.missing.len() > MAX_MISSING {
            self.missing.pop_first();
        }
    }

    fn merge(&mut self, other: &Self) {
        let (here, there) = (self.next, other.next);
        let is_missing = |number: &u64| {
            (*number >= here || self.missing.contains(number))
                && (*number >= there || other.missing.contains(number))
        };
        let missing = self.missing.union(&other.missing).copied().filter(is_missing).collect();
        (self.next, self.missing) = (here.max(there), missing);
    }
}

/// What an inbox remembers beside the pushes that are open.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct InboxMemory {
    runs: Vec<(u64, Run)>,
    named: Vec<Arc<str>>,
}

impl InboxMemory {
    /// Whether a push was accepted before.
    fn has(&self, key: &PushKey) -> bool {
        match key {
            PushKey::Counted { epoch, number } => {
                self.runs.iter().any(|(run, told)| run == epoch && told.has(*number))
            }
            PushKey::Named(name) => self.named.contains(name),
        }
    }

    /// How much memory it takes beside itself, in bytes.
    pub(super) fn cost(&self) -> usize {
        let run = |(epoch, run): &(u64, Run)| {
            size_of_val(epoch) + size_of_val(run) + 2 * size_of::<u64>() * run.missing.len()
        };
        let name = |name: &Arc<str>| size_of_val(name) + name.len();
        self.runs.iter().map(run).chain(self.named.iter().map(name)).sum()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.named.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Seq;

    fn key(number: u64) -> PushKey {
        PushKey::Counted { epoch: 7, number }
    }

    fn push(key: PushKey, seq: u64) -> OpenPush {
        OpenPush::new(key, at(seq), "m".into())
    }

    fn at(seq: u64) -> MessageId {
        MessageId::new(NodeId::from_bits(1), Seq::new(seq))
    }

    #[expect(clippy::disallowed_methods, reason = "some instant to count from")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_push_is_accepted_once() {
        let (mut inbox, now) = (Inbox::default(), start());
        assert!(inbox.accept(push(key(1), 0), now));
        assert!(!inbox.accept(push(key(1), 1), now));
        inbox.finish(&key(1), at(9), now);
        assert!(inbox.is_idle());
        assert!(!inbox.accept(push(key(1), 2), now), "what is done is not accepted again");
        assert!(inbox.accept(push(key(2), 3), now));
    }

    #[test]
    fn what_was_jumped_over_is_still_taken() {
        let (mut inbox, now) = (Inbox::default(), start());
        assert!(inbox.accept(push(key(5), 0), now), "1 to 4 were acknowledged elsewhere");
        assert!(!inbox.has(&key(3), now));
        assert!(inbox.accept(push(key(3), 1), now), "its operation comes later");
        assert!(!inbox.accept(push(key(3), 2), now));
        assert!(inbox.accept(push(key(u64::MAX), 3), now));
        assert!(inbox.runs[&7].missing.len() <= MAX_MISSING);
    }

    #[test]
    fn what_was_jumped_over_is_lacked_until_it_is_heard_of() {
        let (mut inbox, now) = (Inbox::default(), start());
        assert!(!inbox.lacks_before(&key(1)));
        assert!(inbox.lacks_before(&key(2)));
        inbox.accept(push(key(1), 0), now);
        assert!(!inbox.lacks_before(&key(2)));
        inbox.accept(push(key(3), 1), now);
        assert!(inbox.lacks_before(&key(4)));
        assert!(!inbox.lacks_before(&key(2)));
        inbox.finish(&key(2), at(9), now);
        assert!(!inbox.lacks_before(&key(4)));
        assert!(!inbox.lacks_before(&PushKey::Named("a".into())));
    }

    #[test]
    fn a_named_push_is_remembered_for_a_while() {
        let (mut inbox, now) = (Inbox::default(), start());
        let named = |name: &str| PushKey::Named(name.into());
        assert!(inbox.accept(push(named("a"), 0), now));
        assert!(!inbox.accept(push(named("a"), 1), now));
        assert!(inbox.accept(push(named("a"), 2), now + NAMED_FOR));
        for number in 0..MAX_NAMED {
            inbox.accept(push(named(&number.to_string()), 3), now);
        }
        assert_eq!(inbox.named.len(), MAX_NAMED);
    }

    #[test]
    fn two_inboxes_merge_to_what_either_knows() {
        let (mut one, mut other, now) = (Inbox::default(), Inbox::default(), start());
        for number in 1..=3 {
            one.accept(push(key(number), number), now);
        }
        one.finish(&key(1), at(9), now);
        for number in 2..=5 {
            other.accept(push(key(number), number), now);
        }
        let open = other.open.iter().cloned().collect();
        // The other knows all but what accepted 1 to 3 here; here nothing above 3 is known.
        one.merge(other.memory(), open, |id| id.seq.get() > 3, |id| id.seq.get() <= 3, now);
        let left: Vec<_> = one.open.iter().map(|push| push.key.clone()).collect();
        assert_eq!(left, [2, 3, 4, 5].map(key));
        assert_eq!(one.runs[&7], Run { next: 6, missing: BTreeSet::new() });
        // Who knew of 2 and has it open no longer says that it is done.
        one.merge(InboxMemory::default(), Vec::new(), |id| id.seq.get() == 2, |_| true, now);
        assert_eq!(one.open.len(), 3);
    }

    #[test]
    fn a_push_that_was_accepted_twice_is_done_once() {
        let (mut one, mut other, now) = (Inbox::default(), Inbox::default(), start());
        one.accept(push(key(1), 1), now);
        one.finish(&key(1), at(9), now);
        other.accept(push(key(1), 2), now);
        let open: Vec<_> = other.open.iter().cloned().collect();
        one.merge(other.memory(), open, |_| true, |id| id.seq.get() == 1, now);
        assert!(one.is_idle(), "it is done here");
        other.merge(one.memory(), Vec::new(), |id| id.seq.get() == 1, |_| true, now);
        assert!(other.is_idle(), "it is done there");
    }

    #[test]
    fn a_push_that_is_known_to_be_handled_is_not_open_later() {
        let (mut inbox, now) = (Inbox::default(), start());
        inbox.finish(&key(1), at(9), now);
        assert!(!inbox.accept(push(key(1), 0), now));
        assert!(inbox.is_idle());
    }

    #[test]
    fn pushes_are_told_in_the_order_in_which_they_were_counted() {
        let (mut inbox, now) = (Inbox::default(), start());
        for number in [1, 4, 2, 3] {
            inbox.accept(push(key(number), number), now);
        }
        let told: Vec<_> =
            std::iter::from_fn(|| inbox.begin().map(|push| push.key.clone())).collect();
        assert_eq!(told, [1, 2, 3, 4].map(key));
    }

    #[test]
    fn a_merge_learns_the_effects_of_what_is_open_on_both_sides() {
        let (mut one, mut other, now) = (Inbox::default(), Inbox::default(), start());
        one.accept(push(key(1), 0), now);
        other.accept(push(key(1), 0), now);
        let cause = Cause::new(crate::id::SessionId::from_bits(1), key(1), 0);
        let id = at(9);
        other.note(&cause, id);
        let open = other.open.iter().cloned().collect();
        one.merge(other.memory(), open, |_| true, |_| true, now);
        assert_eq!(one.effect(&cause), Some(id));
    }

    #[test]
    fn an_effect_is_known_until_the_handler_has_returned() {
        let (mut inbox, now) = (Inbox::default(), start());
        inbox.accept(push(key(1), 0), now);
        let cause = Cause::new(crate::id::SessionId::from_bits(1), key(1), 0);
        let id = at(9);
        assert_eq!(inbox.effect(&cause), None);
        inbox.note(&cause, id);
        assert_eq!(inbox.effect(&cause), Some(id));
        inbox.finish(&key(1), at(9), now);
        assert_eq!(inbox.effect(&cause), None);
    }
}
