//! Whom a message is for.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::id::SessionId;

/// Which of a topic's sessions a message is for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Recipients {
    /// All of them.
    #[default]
    Everyone,
    /// All but these, in ascending order.
    Except(Arc<[SessionId]>),
    /// These, in ascending order.
    Only(Arc<[SessionId]>),
}

impl Recipients {
    /// The most sessions that can be named. More are told apart by a topic of their own.
    pub const MAX_NAMED: usize = 1_000;

    /// All but these sessions.
    pub fn except(sessions: impl IntoIterator<Item = SessionId>) -> Self {
        Self::Except(ascending(sessions))
    }

    /// These sessions, as far as they are in the topic.
    pub fn only(sessions: impl IntoIterator<Item = SessionId>) -> Self {
        Self::Only(ascending(sessions))
    }

    /// Whether `session` is one of them.
    pub fn include(&self, session: SessionId) -> bool {
        match self {
            Self::Everyone => true,
            Self::Except(named) => named.binary_search(&session).is_err(),
            Self::Only(named) => named.binary_search(&session).is_ok(),
        }
    }

    /// Whether no session can be one of them.
    pub fn are_none(&self) -> bool {
        matches!(self, Self::Only(named) if named.is_empty())
    }

    /// Those that are among these or among `others`.
    #[must_use]
    pub fn with(&self, others: &Self) -> Self {
        match (self, others) {
            (Self::Everyone, _) | (_, Self::Everyone) => Self::Everyone,
            (Self::Only(one), Self::Only(other)) => Self::only(one.iter().chain(&**other).copied()),
            (Self::Except(named), rest) | (rest, Self::Except(named)) => {
                let left = named.iter().copied().filter(|&session| !rest.include(session));
                Self::all_but(left.collect())
            }
        }
    }

    /// Those of these that are not among `others`.
    #[must_use]
    pub fn without(&self, others: &Self) -> Self {
        self.complement().with(others).complement()
    }

    /// How many sessions are named.
    pub fn named(&self) -> usize {
        match self {
            Self::Everyone => 0,
            Self::Except(named) | Self::Only(named) => named.len(),
        }
    }

    /// All that are not among these.
    fn complement(&self) -> Self {
        match self {
            Self::Everyone => Self::only([]),
            Self::Except(named) => Self::Only(Arc::clone(named)),
            Self::Only(named) => Self::all_but(named.to_vec()),
        }
    }

    fn all_but(sessions: Vec<SessionId>) -> Self {
        match sessions.is_empty() {
            true => Self::Everyone,
            false => Self::except(sessions),
        }
    }
}

/// On the wire: 0 for everyone, 1 for all but, 2 for only; then the sessions.
impl Serialize for Recipients {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (kind, named): (u8, &[SessionId]) = match self {
            Self::Everyone => (0, &[]),
            Self::Except(named) => (1, named),
            Self::Only(named) => (2, named),
        };
        (kind, named).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Recipients {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (kind, named) = <(u8, Vec<SessionId>)>::deserialize(deserializer)?;
        if named.len() > Self::MAX_NAMED {
            return Err(de::Error::custom("too many recipients"));
        }
        match kind {
            0 => Ok(Self::Everyone),
            1 => Ok(Self::except(named)),
            2 => Ok(Self::only(named)),
            _ => Err(de::Error::custom("no such kind of recipients")),
        }
    }
}

fn ascending(sessions: impl IntoIterator<Item = SessionId>) -> Arc<[SessionId]> {
    let mut sessions: Vec<_> = sessions.into_iter().collect();
    sessions.sort_unstable();
    sessions.dedup();
    sessions.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: what is said of sets is true of each session.
    ///
    /// Method: all kinds of sets of four sessions against each other, asked about each session, and
    /// about a fifth that no set names.
    #[test]
    fn sets_are_joined_and_taken_from_each_other_session_by_session() {
        let session = |number: u128| SessionId::from_bits(number);
        let mut sets = vec![Recipients::Everyone];
        for bits in 0..16_u128 {
            let named = || (0..4).filter(move |at| bits >> at & 1 == 1).map(session);
            sets.extend([Recipients::only(named()), Recipients::except(named())]);
        }
        for (one, other) in sets.iter().flat_map(|one| sets.iter().map(move |other| (one, other))) {
            for asked in (0..5).map(session) {
                let (is_one, is_other) = (one.include(asked), other.include(asked));
                let (both, left) = (one.with(other), one.without(other));
                assert_eq!(both.include(asked), is_one || is_other, "{one:?} with {other:?}");
                assert_eq!(left.include(asked), is_one && !is_other, "{one:?} without {other:?}");
            }
        }
        assert!(Recipients::Everyone.without(&Recipients::Everyone).are_none());
        assert!(Recipients::only([session(1)]).without(&Recipients::only([session(1)])).are_none());
        assert!(!Recipients::except([session(1)]).are_none());
    }
}
