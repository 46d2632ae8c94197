//! Names for things. Each is its own type, so that one cannot be passed for another.

mod bits;
mod principal;
mod push_key;
mod topic_name;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

pub use principal::{InvalidPrincipal, Principal};
pub use push_key::{Cause, InvalidPushKey, PushKey};
pub use topic_name::{InvalidTopicName, TopicName};

/// A node, for one run of its process.
///
/// A restarted node gets a new id, so that peers never mistake the new process for the old one.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct NodeId(u64);

impl NodeId {
    /// The id with these bits, which should be random: ids are never handed out twice.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The bits of this id.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// The first eight digits, by which people tell nodes apart in a log.
    pub fn short(self) -> String {
        format!("{:08x}", self.0 >> 32)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for NodeId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match digits {
            true => u64::from_str_radix(text, 16).map(Self).map_err(|_| InvalidId),
            false => Err(InvalidId),
        }
    }
}

/// A client's session. It outlives any one connection, and any one transport.
///
/// Its text form, a UUID, is what Atmosphere calls the tracking id. Whoever knows it, and is the same
/// [`Principal`], can take the session over, so show it to nobody but its client.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct SessionId(#[serde(with = "bits")] u128);

impl SessionId {
    /// The id with these bits, of which at least 122 should be random.
    pub const fn from_bits(bits: u128) -> Self {
        Self(bits)
    }

    /// The bits of this id.
    pub const fn to_bits(self) -> u128 {
        self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_u128(self.0).hyphenated().fmt(f)
    }
}

impl FromStr for SessionId {
    type Err = InvalidId;

    /// Reads the hyphenated form of a UUID, and no other.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match text.len() {
            36 => Uuid::try_parse(text).map(|uuid| Self(uuid.as_u128())).map_err(|_| InvalidId),
            _ => Err(InvalidId),
        }
    }
}

/// A browser, whichever of its pages are clients: what its cookie says.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct BrowserId(#[serde(with = "bits")] u128);

impl BrowserId {
    /// The id with these bits, of which at least 122 should be random.
    pub const fn from_bits(bits: u128) -> Self {
        Self(bits)
    }

    /// The bits of this id.
    pub const fn to_bits(self) -> u128 {
        self.0
    }
}

/// The number of an operation within one node's journal, counted from zero without gaps.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(transparent)]
pub struct Seq(u64);

impl Seq {
    /// The number of the first operation.
    pub const FIRST: Self = Self(0);

    /// The number with this value.
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// The number after this one. The last of all is its own successor, which no journal reaches.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// How many operations lie from `earlier`, inclusive, to this one, exclusive.
    ///
    /// `None` if `earlier` is in truth later.
    pub const fn since(self, earlier: Self) -> Option<u64> {
        self.0.checked_sub(earlier.0)
    }

    /// The number as it is written on the wire.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// How often a session has been claimed. Of two claims, the one with the higher epoch wins.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(transparent)]
pub struct Epoch(u64);

impl Epoch {
    /// The epoch of a session's first attachment.
    pub const FIRST: Self = Self(1);

    /// The epoch with this value.
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// Its value.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The epoch of the next claim.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A published message: which node took it, and under which number of its journal.
///
/// It names the same message on every node, for ever. Its text form is `origin-seq`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[non_exhaustive]
pub struct MessageId {
    /// The node that the message was published on.
    pub origin: NodeId,
    /// The number of the operation that published it.
    pub seq: Seq,
}

impl MessageId {
    /// The message that `origin` published as its operation `seq`.
    pub const fn new(origin: NodeId, seq: Seq) -> Self {
        Self { origin, seq }
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.origin, self.seq)
    }
}

impl FromStr for MessageId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let (origin, seq) = text.split_once('-').ok_or(InvalidId)?;
        let seq = seq.parse().map(Seq).map_err(|_| InvalidId)?;
        Ok(Self { origin: origin.parse()?, seq })
    }
}

/// A text is not an id of the kind that was asked for.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("not an id of this kind")]
#[non_exhaustive]
pub struct InvalidId;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_what_they_print() {
        let node = NodeId::from_bits(0x0198_c9c4_0000_00ff);
        let message = MessageId::new(node, Seq::new(17));
        let session = SessionId::from_bits(0x1234_5678_9abc_def0_1234_5678_9abc_def0);
        assert_eq!(node.short(), "0198c9c4");
        assert_eq!(node.to_string().parse(), Ok(node));
        assert_eq!(message.to_string(), "0198c9c4000000ff-17");
        assert_eq!(message.to_string().parse(), Ok(message));
        assert_eq!(session.to_string().parse(), Ok(session));
    }

    #[cfg(feature = "node")]
    #[test]
    fn names_are_read_as_they_were_written_also_where_there_are_no_bytes_and_nothing_to_borrow() {
        let topic = TopicName::parse("/a").unwrap();
        let value = serde_json::to_value(&topic).unwrap();
        assert_eq!(serde_json::from_value::<TopicName>(value).unwrap(), topic);
        let session = SessionId::from_bits(0x1234_5678_9abc_def0_1234_5678_9abc_def0);
        let written = serde_json::to_string(&session).unwrap();
        assert_eq!(serde_json::from_str::<SessionId>(&written).unwrap(), session);
        for short in [&written.replacen("18,", "", 1), &written.replace(']', ",1]")] {
            assert!(serde_json::from_str::<SessionId>(short).is_err(), "{short}");
        }
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in ["", "0", "+198c9c4000000ff", "0198c9c4000000ff0", "zz98c9c4000000ff"] {
            assert_eq!(text.parse::<NodeId>(), Err(InvalidId), "{text:?}");
        }
        let simple = "123456789abcdef0123456789abcdef0";
        for text in ["", "0", simple, &format!("{{{simple}}}"), &"x".repeat(36)] {
            assert_eq!(text.parse::<SessionId>(), Err(InvalidId), "{text:?}");
        }
        for text in ["", "0198c9c4000000ff", "0198c9c4000000ff-", "0198c9c4000000ff--1"] {
            assert_eq!(text.parse::<MessageId>(), Err(InvalidId), "{text:?}");
        }
    }
}
