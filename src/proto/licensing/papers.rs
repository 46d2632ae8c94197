//! What a node tells all others about licences.

use std::sync::Arc;

use super::Claim;

/// What a node that is under a limit tells all others.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Papers {
    /// Its place.
    pub claim: Claim,
    /// The best licence that it knows of.
    pub token: Option<Arc<str>>,
}

impl Papers {
    /// How long a token may be, in bytes: it is told to everybody.
    pub const MAX_TOKEN_BYTES: usize = 1 << 10;

    /// This place, and this licence.
    pub fn new(claim: Claim, token: Option<Arc<str>>) -> Self {
        Self { claim, token }
    }

    /// What they are in gossip: the names of the entries and their values.
    pub fn entries(&self) -> [(&'static str, String); 2] {
        let token = self.token.as_deref().unwrap_or_default();
        [(CLAIM, self.claim.to_string()), (TOKEN, token.to_owned())]
    }

    /// What a peer has in gossip. Nothing, if it is under no limit or that cannot be read.
    pub fn read<'a>(entry: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        let claim = entry(CLAIM)?.parse().ok()?;
        let is_short = |token: &&str| (1..=Self::MAX_TOKEN_BYTES).contains(&token.len());
        Some(Self { claim, token: entry(TOKEN).filter(is_short).map(Arc::from) })
    }
}

/// Keys of gossip.
const CLAIM: &str = "lic.k";
const TOKEN: &str = "lic";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(claim: Option<&str>, token: Option<&str>) -> Option<Papers> {
        Papers::read(|key| if key == CLAIM { claim } else { token })
    }

    #[test]
    fn what_is_told_is_what_is_read_and_what_cannot_be_is_not_there() {
        for token in [None, Some("EXO1.x.y".into())] {
            let told = Papers::new(Claim::new(5), token);
            let entries = told.entries();
            assert_eq!(read(Some(&entries[0].1), Some(&entries[1].1)), Some(told));
        }
        assert_eq!(read(None, Some("EXO1.x.y")), None);
        assert_eq!(read(Some("5,0"), Some("EXO1.x.y")), None);
        let long = "x".repeat(Papers::MAX_TOKEN_BYTES + 1);
        assert_eq!(read(Some("5,0,0"), Some(&long)), Some(Papers::new(Claim::new(5), None)));
    }
}
