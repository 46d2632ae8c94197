//! What was sent, acknowledged and received, and when.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use exosphere::NodeId;

/// A client, by its place among those of its kind.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Name {
    Bare(usize),
    Publisher(usize),
    Subscriber(usize),
}

/// What happened.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// A publisher pushes its message with this number.
    Sent(u64),
    /// It is acknowledged, by so many nodes.
    Acknowledged(u64, usize),
    /// It will not be acknowledged.
    Failed(u64, String),
    /// The message of a publisher came, from the node that published it, if that is told.
    Received(usize, u64, Option<NodeId>),
    /// A connection was made: what comes from now on comes on that one.
    Connected,
    /// A connection was lost.
    Interrupted,
    /// Something was dropped.
    Gap,
    /// A session is over.
    Expired,
    /// Something is done to the node that this client is with.
    Hit,
}

#[derive(Clone, Debug)]
pub(crate) struct Note {
    pub(crate) at: Duration,
    pub(crate) who: Name,
    pub(crate) what: What,
}

/// All that happened. Cheap to clone: a clone is the same notes.
#[derive(Clone, Debug)]
pub(crate) struct Notes {
    begun: Instant,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    notes: Vec<Note>,
    names: [usize; 3],
    /// How many of each publisher's messages are acknowledged.
    acknowledged: HashMap<usize, u64>,
    /// The number above the highest that a client has of each publisher.
    received: HashMap<(Name, usize), u64>,
}

impl Default for Notes {
    #[expect(clippy::disallowed_methods, reason = "the torture is no node")]
    fn default() -> Self {
        Self { begun: Instant::now(), inner: Arc::default() }
    }
}

impl Notes {
    pub(crate) fn next_subscriber(&self) -> Name {
        let mut inner = self.lock();
        inner.names[0] += 1;
        Name::Subscriber(inner.names[0] - 1)
    }

    pub(crate) fn next_bare(&self) -> Name {
        let mut inner = self.lock();
        inner.names[1] += 1;
        Name::Bare(inner.names[1] - 1)
    }

    pub(crate) fn note(&self, who: Name, what: What) {
        let at = self.begun.elapsed();
        let mut inner = self.lock();
        match (who, &what) {
            (Name::Publisher(publisher), What::Acknowledged(..)) => {
                *inner.acknowledged.entry(publisher).or_default() += 1;
            }
            (_, What::Received(publisher, number, _)) => {
                let next = inner.received.entry((who, *publisher)).or_default();
                *next = (number + 1).max(*next);
            }
            _ => {}
        }
        inner.notes.push(Note { at, who, what });
    }

    /// How long ago it began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    pub(crate) fn hit(&self, who: Name) {
        self.note(who, What::Hit);
    }

    /// Notes a message that came, if it is one.
    pub(crate) fn received(&self, who: Name, text: &str, from: Option<NodeId>) {
        let numbers = text.split_once(' ').map(|(a, b)| (a.parse(), b.parse()));
        if let Some((Ok(publisher), Ok(number))) = numbers {
            self.note(who, What::Received(publisher, number, from));
        }
    }

    /// How many messages are acknowledged.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.lock().acknowledged.values().sum()
    }

    /// How many messages of each publisher are acknowledged.
    pub(crate) fn all_acknowledged(&self) -> HashMap<usize, u64> {
        self.lock().acknowledged.clone()
    }

    /// Whether this client has the last of so many messages of each publisher.
    pub(crate) fn has_all(&self, who: Name, counts: &HashMap<usize, u64>) -> bool {
        let inner = self.lock();
        let has = |(&publisher, &count): (&usize, &u64)| {
            inner.received.get(&(who, publisher)).is_some_and(|&next| next >= count)
        };
        counts.iter().all(has)
    }

    /// All that happened, in order.
    pub(crate) fn take(&self) -> Vec<Note> {
        std::mem::take(&mut self.lock().notes)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
