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

    /// How many sessions are named.
    pub fn named(&self) -> usize {
        match self {
            Self::Everyone => 0,
            Self::Except(named) | Self::Only(named) => named.len(),
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
