//! The last of many things.

use std::collections::VecDeque;

/// The last things of some kind. It grows as it is used.
#[derive(Debug)]
pub(super) struct Ring<T> {
    limit: usize,
    items: VecDeque<T>,
}

impl<T> Ring<T> {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, items: VecDeque::new() }
    }

    /// Adds a thing, and returns the oldest one if that is forgotten for it.
    pub(super) fn push(&mut self, item: T) -> Option<T> {
        if self.limit == 0 {
            return None;
        }
        let oldest = if self.items.len() == self.limit { self.items.pop_front() } else { None };
        self.items.push_back(item);
        oldest
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.items.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }
}
