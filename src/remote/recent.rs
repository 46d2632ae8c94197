//! A map that forgets what was not used for longest.

use std::{
    borrow::Borrow,
    collections::{BTreeMap, HashMap},
    hash::Hash,
    num::NonZeroUsize,
};

/// A map with a limit. At the limit, what was not used for longest is forgotten.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    limit: NonZeroUsize,
    /// Values, with when they were used last.
    values: HashMap<K, (u64, V)>,
    /// The keys by when they were used last: as many as there are values.
    used: BTreeMap<u64, K>,
    /// How often anything has been used.
    uses: u64,
}

impl<K: Clone + Eq + Hash, V> Recent<K, V> {
    pub(super) fn new(limit: NonZeroUsize) -> Self {
        Self { limit, values: HashMap::new(), used: BTreeMap::new(), uses: 0 }
    }

    /// Uses the value of `key`.
    pub(super) fn get_mut<Q>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let (used, value) = self.values.get_mut(key)?;
        let key = self.used.remove(used).expect("what has a value has been used");
        self.uses += 1;
        *used = self.uses;
        self.used.insert(self.uses, key);
        Some(value)
    }

    /// Gives `key`, which has no value, this one.
    pub(super) fn insert(&mut self, key: K, value: V) {
        if self.values.len() == self.limit.get()
            && let Some((_, oldest)) = self.used.pop_first()
        {
            self.values.remove(&oldest);
        }
        self.uses += 1;
        self.used.insert(self.uses, key.clone());
        self.values.insert(key, (self.uses, value));
        debug_assert_eq!(self.values.len(), self.used.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_longest_is_forgotten() {
        let mut recent = Recent::new(NonZeroUsize::new(2).unwrap());
        recent.insert("a", 1);
        recent.insert("b", 2);
        assert_eq!(recent.get_mut("a"), Some(&mut 1));
        recent.insert("c", 3);
        assert_eq!(recent.get_mut("b"), None);
        assert_eq!(recent.get_mut("a"), Some(&mut 1));
        assert_eq!(recent.get_mut("c"), Some(&mut 3));
    }
}
