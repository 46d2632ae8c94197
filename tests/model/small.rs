//! Positions, operations and logs, small enough that millions of states fit into memory.
//!
//! `alike.rs` holds these to the real ones.

use std::hash::{Hash, Hasher};

/// How many nodes there are, those that start later among them.
pub(crate) const NODES: usize = 3;

/// A node, which is an origin at the same time.
pub(crate) type Place = usize;

/// For each origin, the next operation not yet seen.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Upto(pub(crate) [u8; NODES]);

impl Upto {
    pub(crate) fn get(self, origin: Place) -> u8 {
        self.0[origin]
    }

    pub(crate) fn advance(&mut self, origin: Place, next: u8) {
        self.0[origin] = self.0[origin].max(next);
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for origin in 0..NODES {
            self.advance(origin, other.0[origin]);
        }
    }

    pub(crate) fn meet(&mut self, other: Self) {
        for origin in 0..NODES {
            self.0[origin] = self.0[origin].min(other.0[origin]);
        }
    }

    pub(crate) fn covers(self, id: Id) -> bool {
        id.seq() < self.0[id.origin()]
    }

    pub(crate) fn includes(self, other: Self) -> bool {
        (0..NODES).all(|origin| self.0[origin] >= other.0[origin])
    }
}

/// The name of an operation: its origin and its number, in one byte.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Id(u8);

impl Id {
    pub(crate) fn new(origin: Place, seq: u8) -> Self {
        Self((origin as u8) << 4 | seq)
    }

    pub(crate) fn origin(self) -> Place {
        usize::from(self.0 >> 4)
    }

    pub(crate) fn seq(self) -> u8 {
        self.0 & 0xf
    }
}

/// What a message says: which push led to it, or that nobody pushed it.
pub(crate) type Text = u8;

/// The first text that is not of a push: the application published it by itself.
pub(crate) const PLAIN: Text = 8;

/// One operation of a journal.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Op {
    /// A push was taken.
    Accepted(Text),
    /// A message was published; if its text is a push, that is the cause.
    Published(Text),
    /// The handler has returned from a push.
    Handled(Text),
    /// What follows was made by who knew of this.
    Follows(Id),
    /// A session reads the topic from here on.
    Joined(u8, Upto),
    /// A session is over.
    Closed(u8),
}

/// A few values in a row.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Row<T, const MOST: usize> {
    count: u8,
    values: [T; MOST],
}

impl<T: Copy + PartialEq, const MOST: usize> Row<T, MOST> {
    pub(crate) const fn new(filler: T) -> Self {
        Self { count: 0, values: [filler; MOST] }
    }

    pub(crate) fn push(&mut self, value: T) {
        self.values[usize::from(self.count)] = value;
        self.count += 1;
    }

    /// Takes the first away. `filler` keeps equal rows equal.
    pub(crate) fn pop_first(&mut self, filler: T) {
        let count = usize::from(self.count);
        self.values.copy_within(1..count, 0);
        self.values[count - 1] = filler;
        self.count -= 1;
    }

    pub(crate) fn len(&self) -> usize {
        usize::from(self.count)
    }

    pub(crate) fn has(&self, value: T) -> bool {
        self.as_slice().contains(&value)
    }

    pub(crate) fn as_slice(&self) -> &[T] {
        &self.values[..usize::from(self.count)]
    }
}

impl<T: Hash + Copy + PartialEq, const MOST: usize> Hash for Row<T, MOST> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.as_slice().hash(hasher);
    }
}
