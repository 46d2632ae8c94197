//! What a node tells all others of itself.

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

    /// What it is in gossip: the names of its entries and their values.
    pub(crate) fn entries(&self) -> [(&'static str, String); 5] {
        let tags = self.tags.iter().map(|(name, value)| format!("{name}={value}"));
        [
            (PROTOCOL, self.protocol.to_string()),
            (STATE, self.state.to_string()),
            (ROLE, self.role.clone().unwrap_or_default()),
            (TAGS, tags.collect::<Vec<_>>().join(" ")),
            (URL, self.url.clone().unwrap_or_default()),
        ]
    }

    /// What a peer has in gossip. What this node cannot read is as if it were not there.
    pub(crate) fn read<'a>(entry: impl Fn(&str) -> Option<&'a str>) -> Self {
        let state = match entry(STATE) {
            Some("draining") => MemberState::Draining,
            Some("joining") => MemberState::Joining,
            _ => MemberState::Active,
        };
        let word = |text: &&str| is_word(text);
        let tags = entry(TAGS).unwrap_or_default().split(' ').take(Self::MAX_TAGS);
        let tags = tags.filter_map(|tag| tag.split_once('='));
        let tags = tags.filter(|(name, value)| is_word(name) && is_word(value));
        Self {
            protocol: entry(PROTOCOL).and_then(ProtocolRange::parse).unwrap_or_default(),
            state,
            role: entry(ROLE).filter(word).map(str::to_owned),
            tags: tags.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            url: entry(URL).filter(|url| is_url(url)).map(str::to_owned),
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

/// Keys of gossip.
const PROTOCOL: &str = "proto";
const STATE: &str = "st";
const ROLE: &str = "role";
const TAGS: &str = "tags";
const URL: &str = "url";

#[cfg(test)]
mod tests {
    use super::*;

    fn announcement() -> Announcement {
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

    fn read(entries: &[(&str, String)]) -> Announcement {
        let entry = |key: &str| entries.iter().find(|(it, _)| *it == key);
        Announcement::read(|key| entry(key).map(|(_, value)| &**value))
    }

    #[test]
    fn what_is_told_is_what_is_read() {
        for told in [announcement(), Announcement::default()] {
            assert_eq!(told.check(), Ok(()));
            assert_eq!(read(&told.entries()), told);
        }
        assert_eq!(read(&[]), Announcement::default());
    }

    #[test]
    fn what_cannot_be_read_is_not_there() {
        let long = "x".repeat(49);
        let told = [
            (PROTOCOL, "2-1".to_owned()),
            (STATE, "of a later version".to_owned()),
            (ROLE, "two words".to_owned()),
            (TAGS, format!("a=b c {long}=1 d=\n e=f= g=h")),
            (URL, "https://a.example/path".to_owned()),
        ];
        let read = read(&told);
        assert_eq!((read.protocol, read.state), (ProtocolRange::OURS, MemberState::Active));
        assert_eq!((read.role, read.url), (None, None));
        assert_eq!(read.tags.into_keys().collect::<Vec<_>>(), ["a", "g"]);
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

    /// Goal: whatever may be told fits into an entry of gossip.
    #[test]
    fn the_longest_is_short() {
        let word = "x".repeat(Announcement::MAX_WORD_BYTES);
        let tags =
            (0..Announcement::MAX_TAGS).map(|tag| (format!("{tag}{}", &word[1..]), word.clone()));
        let longest = Announcement { tags: tags.collect(), ..announcement() };
        assert_eq!(longest.check(), Ok(()));
        assert!(longest.entries().iter().all(|(_, value)| value.len() <= 1024));
    }
}
