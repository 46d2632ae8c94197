//! What a node tells of itself, as entries of gossip.

use super::{Announcement, MemberState, is_url, is_word};
use crate::proto::wire::ProtocolRange;

/// Keys of gossip.
const PROTOCOL: &str = "proto";
const STATE: &str = "st";
const ROLE: &str = "role";
const TAGS: &str = "tags";
const URL: &str = "url";

impl Announcement {
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

#[cfg(test)]
mod tests {
    use super::{super::tests::announcement, *};

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
