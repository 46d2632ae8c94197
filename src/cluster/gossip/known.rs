//! The members that gossip keeps track of, which must not become too many.
//!
//! chitchat fails once the digest of all members, the dead included, leaves no room for anything
//! else in a message, and a broken member can invent as many as it likes. So a message that would
//! make them too many is refused.

use std::collections::BTreeSet;

use super::precheck::{Member, Refusal};

/// Members, alive or dead, that chitchat knows or is about to hear of.
#[derive(Debug, Default)]
pub(super) struct Known(BTreeSet<Member>);

impl Known {
    /// Twice as many, with the longest addresses, have a digest of 48,300 bytes, which leaves
    /// chitchat the 16,384 that it wants for a block. Twice, because messages that were checked
    /// before the last [`refresh`](Self::refresh) may still wait.
    pub(super) const MAX_MEMBERS: usize = 350;

    /// Takes note of the members that a message names, unless there are too many.
    pub(super) fn admit(&mut self, named: BTreeSet<Member>) -> Result<(), Refusal> {
        let new = named.difference(&self.0).count();
        if self.0.len() + new > Self::MAX_MEMBERS {
            return Err(Refusal::TooManyMembers);
        }
        self.0.extend(named);
        Ok(())
    }

    /// These are the members that chitchat knows now.
    pub(super) fn refresh(&mut self, members: BTreeSet<Member>) {
        self.0 = members;
    }
}

#[cfg(test)]
mod tests {
    use super::{super::forge::member, *};

    fn members(ids: std::ops::Range<u64>) -> BTreeSet<Member> {
        ids.map(member).collect()
    }

    #[test]
    fn members_are_bounded_until_some_are_forgotten() {
        let mut known = Known::default();
        let most = Known::MAX_MEMBERS as u64;
        assert_eq!(known.admit(members(0..most)), Ok(()));
        assert_eq!(known.admit(members(5..most)), Ok(()), "these are no news");
        assert_eq!(known.admit(members(0..most + 1)), Err(Refusal::TooManyMembers));
        known.refresh(members(0..2));
        assert_eq!(known.admit(members(1..most)), Ok(()));
        assert_eq!(known.admit(members(most..most + 1)), Err(Refusal::TooManyMembers));
    }
}
