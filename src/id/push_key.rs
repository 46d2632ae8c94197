//! The name that a client gives to what it sends.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

use super::SessionId;

/// The name that a client gives to what it sends, so that it can send it again without its being
/// handled again. It is unique within the client's session.
///
/// # Examples
///
/// ```
/// use exosphere::PushKey;
///
/// let key: PushKey = "0198c9c401234567.17".parse()?;
/// assert_eq!(key, PushKey::Counted { epoch: 0x0198_c9c4_0123_4567, number: 17 });
/// # Ok::<(), exosphere::InvalidPushKey>(())
/// ```
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum PushKey {
    /// What a client of ours counts. Its text is 16 hexadecimal digits, a dot, and the number.
    Counted {
        /// 64 random bits of one run of the client, such as one load of a page.
        epoch: u64,
        /// 1 for the first that it sends, 2 for the next, and so on without gaps.
        number: u64,
    },
    /// What any other client makes up: any text. It is remembered for a while only.
    Named(Arc<str>),
}

impl PushKey {
    /// The longest that a key may be, in bytes.
    pub const MAX_BYTES: usize = 128;

    /// Whether the same run of a client has counted this before `other`.
    pub(crate) fn is_before(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Counted { epoch, number },
                Self::Counted { epoch: other_epoch, number: other_number },
            ) => epoch == other_epoch && number < other_number,
            _ => false,
        }
    }
}

impl fmt::Display for PushKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Counted { epoch, number } => write!(f, "{epoch:016x}.{number}"),
            Self::Named(name) => f.write_str(name),
        }
    }
}

impl FromStr for PushKey {
    type Err = InvalidPushKey;

    fn from_str(text: &str) -> Result<Self, InvalidPushKey> {
        if text.is_empty() || text.len() > Self::MAX_BYTES {
            return Err(InvalidPushKey { bytes: text.len() });
        }
        Ok(counted(text).unwrap_or_else(|| Self::Named(text.into())))
    }
}

impl Serialize for PushKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PushKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// The counted key that is written exactly so.
fn counted(text: &str) -> Option<PushKey> {
    let (epoch, number) = text.split_once('.')?;
    let key = PushKey::Counted {
        epoch: u64::from_str_radix(epoch, 16).ok()?,
        number: number.parse().ok().filter(|&number| number > 0)?,
    };
    (key.to_string() == text).then_some(key)
}

/// What made an operation: the push that the handler was told of, and how many operations it had
/// led to before.
///
/// A handler that is told again of a push, because its node died, makes operations with the causes
/// that those of the first time had.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[non_exhaustive]
pub struct Cause {
    /// Who sent the push.
    pub session: SessionId,
    /// What the client calls it.
    pub key: PushKey,
    /// 0 for the first operation that it led to.
    pub index: u32,
}

impl Cause {
    /// The operation `index` that `session`'s push `key` led to.
    pub const fn new(session: SessionId, key: PushKey, index: u32) -> Self {
        Self { session, key, index }
    }
}

/// A text that is no name for a push. A shorter one helps.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("a push is named by 1 to {} bytes, and these are {bytes}", PushKey::MAX_BYTES)]
#[non_exhaustive]
pub struct InvalidPushKey {
    /// How long it is.
    pub bytes: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_what_it_is_written_as() {
        let key = |text: &str| text.parse::<PushKey>();
        let counted = PushKey::Counted { epoch: 0xab, number: 7 };
        assert_eq!(key("00000000000000ab.7"), Ok(counted));
        for text in ["00000000000000AB.7", "ab.7", "00000000000000ab.07", "00000000000000ab.0", "x"]
        {
            assert_eq!(key(text), Ok(PushKey::Named(text.into())));
        }
        assert_eq!(key(""), Err(InvalidPushKey { bytes: 0 }));
        let long = "x".repeat(PushKey::MAX_BYTES + 1);
        assert_eq!(key(&long), Err(InvalidPushKey { bytes: long.len() }));
    }
}
