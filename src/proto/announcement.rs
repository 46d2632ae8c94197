//! What a node tells all others of itself.

#[cfg(feature = "node")]
mod gossip;

use std::{collections::BTreeMap, fmt};

use thiserror::Error;

use super::wire::ProtocolRange;

/// How a node stands among the others.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum MemberState {
    /// It serves clients.
    #[default]
    Active,
    /// It sends its clients to other nodes, takes no new ones, and leaves then. See
    /// [`Node::drain`](crate::Node::drain).
    Draining,
    /// It may not serve clients yet: whether there is a place for it is not settled, or it waits for one.
    /// See [`Builder::standby`](crate::Builder::standby).
    Joining,
}

impl fmt::Display for MemberState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Draining => "draining",
            Self::Joining => "joining",
        })
    }
}

/// What a node tells all others of itself: few and short things, since every change is told to
/// everybody.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Announcement {
    /// The versions of the protocol between nodes that it speaks.
    pub protocol: ProtocolRange,
    /// How it stands.
    pub state: MemberState,
    /// What it is for, in the application's words.
    pub role: Option<String>,
    /// What else the application says of it.
    pub tags: BTreeMap<String, String>,
    /// Where clients reach it, as `scheme://host:port`.
    pub url: Option<String>,
}

impl Announcement {
    /// The most tags that a node may have.
    pub const MAX_TAGS: usize = 8;

    /// How long a role, and the name or the value of a tag, may be, in bytes.
    pub const MAX_WORD_BYTES: usize = 48;

    /// How long the URL may be, in bytes: it fits into the reason of a close.
    pub const MAX_URL_BYTES: usize = 100;

    /// Whether others will be able to read it.
    ///
    /// # Errors
    ///
    /// [`InvalidAnnouncement`] says what is wrong.
    pub fn check(&self) -> Result<(), InvalidAnnouncement> {
        if self.tags.len() > Self::MAX_TAGS {
            return Err(InvalidAnnouncement::TooManyTags);
        }
        let words =
            self.role.iter().chain(self.tags.iter().flat_map(|(name, value)| [name, value]));
        for word in words {
            if !is_word(word) {
                return Err(InvalidAnnouncement::Word(word.clone()));
            }
        }
        match &self.url {
            Some(url) if !is_url(url) => Err(InvalidAnnouncement::Url(url.clone())),
            _ => Ok(()),
        }
    }
}

/// Words stand in logs and in lists of tags.
fn is_word(word: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:@+".contains(&byte);
    (1..=Announcement::MAX_WORD_BYTES).contains(&word.len()) && word.bytes().all(is_plain)
}

/// A URL of a whole server, which clients put a path behind.
fn is_url(url: &str) -> bool {
    let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:[]".contains(&byte);
    let is_host = |host: &str| !host.is_empty() && host.bytes().all(is_plain);
    url.len() <= Announcement::MAX_URL_BYTES && host.is_some_and(is_host)
}

/// Why a node cannot tell this of itself.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum InvalidAnnouncement {
    /// There are more tags than a node may have.
    #[error("a node has at most {} tags", Announcement::MAX_TAGS)]
    TooManyTags,
    /// The URL is not that of a server.
    #[error("{0:?} is no URL of a server, such as https://a.example:8443, without a path")]
    Url(String),
    /// A role, or the name or value of a tag, is empty, too long, or has other characters.
    #[error("{0:?} is not 1 to {max} letters, digits or any of -_./:@+", max = Announcement::MAX_WORD_BYTES)]
    Word(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn announcement() -> Announcement {
        let tags = [("zone", "eu-1"), ("rack", "7/b")];
        let tags = tags.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Announcement {
            protocol: ProtocolRange::new(3, 12),
            state: MemberState::Draining,
            role: Some("edge".into()),
            tags: tags.into(),
            url: Some("https://a.example:8443".into()),
        }
    }

    #[test]
    fn what_others_could_not_read_is_not_told() {
        let with = |change: fn(&mut Announcement)| {
            let mut announcement = announcement();
            change(&mut announcement);
            announcement.check()
        };
        let many = |it: &mut Announcement| {
            it.tags = (0..9).map(|tag| (tag.to_string(), "x".to_owned())).collect();
        };
        assert_eq!(with(many), Err(InvalidAnnouncement::TooManyTags));
        let word = with(|it| it.role = Some("a b".into()));
        assert_eq!(word, Err(InvalidAnnouncement::Word("a b".into())));
        for url in ["a.example", "ftp://a", "http://", "http://a/b", "http://a b", "http://u@a"] {
            let announcement = Announcement { url: Some(url.into()), ..announcement() };
            assert_eq!(announcement.check(), Err(InvalidAnnouncement::Url(url.into())));
        }
    }
}
