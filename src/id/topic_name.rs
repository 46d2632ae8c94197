//! The name of a topic, read once.

use std::{borrow::Borrow, fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

use super::SessionId;

/// The name of a topic, such as `/chat/lobby`. Cheap to clone.
///
/// 1 to [`MAX_BYTES`](Self::MAX_BYTES) bytes of UTF-8 without control characters, in segments
/// parted by `/`, none of them empty; one slash may stand in front. Names that begin with `~` are
/// the private topics of sessions, and cannot be asked for by name.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TopicName(Arc<str>);

impl TopicName {
    /// The longest a name may be, in bytes.
    pub const MAX_BYTES: usize = 255;

    /// What the names of private topics begin with.
    const PRIVATE: char = '~';

    /// What stands behind the names of all private topics, and before all that come behind those.
    #[cfg(feature = "node")]
    pub(crate) const LAST_PRIVATE: &str = "~\u{10ffff}";

    /// Reads a name.
    ///
    /// # Errors
    ///
    /// [`InvalidTopicName`] says which rule the text breaks.
    pub fn parse(name: &str) -> Result<Self, InvalidTopicName> {
        if name.starts_with(Self::PRIVATE) {
            return Err(InvalidTopicName::Private);
        }
        Self::check(name)?;
        Ok(Self(name.into()))
    }

    /// The topic of what is sent to `session` alone.
    pub fn private(session: SessionId) -> Self {
        Self(format!("{}{session}", Self::PRIVATE).into())
    }

    /// Whose private topic this is, if it is one.
    pub fn private_session(&self) -> Option<SessionId> {
        self.0.strip_prefix(Self::PRIVATE)?.parse().ok()
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn check(name: &str) -> Result<(), InvalidTopicName> {
        if name.is_empty() || name.len() > Self::MAX_BYTES {
            return Err(InvalidTopicName::Length(name.len()));
        }
        if name.chars().any(char::is_control) {
            return Err(InvalidTopicName::ControlCharacter);
        }
        let segments = name.strip_prefix('/').unwrap_or(name);
        match segments.split('/').any(str::is_empty) {
            true => Err(InvalidTopicName::EmptySegment),
            false => Ok(()),
        }
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for TopicName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Serialize for TopicName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for TopicName {
    /// Reads the name of a private topic too: peers send them.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = TopicName;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a topic's name")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<TopicName, E> {
                TopicName::check(name).map_err(E::custom)?;
                Ok(TopicName(name.into()))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

/// Why a text is not the name of a topic.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum InvalidTopicName {
    /// A control character is in it.
    #[error("a topic's name has a control character")]
    ControlCharacter,
    /// A segment between slashes is empty.
    #[error("a topic's name has an empty segment")]
    EmptySegment,
    /// It is empty or too long.
    #[error("a topic's name has {0} bytes, not 1 to {max}", max = TopicName::MAX_BYTES)]
    Length(usize),
    /// It begins with `~`.
    #[error("a topic's name begins with `~`, which is kept for private topics")]
    Private,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_segments_parted_by_slashes() {
        for name in ["/chat/lobby", "prices/EURUSD", "x", "/caf\u{e9}/\u{1f600}", &"x".repeat(255)]
        {
            assert_eq!(TopicName::parse(name).unwrap().as_str(), name);
        }
        for (name, why) in [
            ("", InvalidTopicName::Length(0)),
            (&"x".repeat(256) as &str, InvalidTopicName::Length(256)),
            ("/", InvalidTopicName::EmptySegment),
            ("//a", InvalidTopicName::EmptySegment),
            ("a/", InvalidTopicName::EmptySegment),
            ("a//b", InvalidTopicName::EmptySegment),
            ("a\nb", InvalidTopicName::ControlCharacter),
            ("~a", InvalidTopicName::Private),
        ] {
            assert_eq!(TopicName::parse(name), Err(why), "{name:?}");
        }
    }
}
