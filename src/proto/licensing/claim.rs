//! What a node tells the others of its place.

use std::{collections::BTreeSet, fmt, str::FromStr};

use thiserror::Error;

use crate::id::NodeId;

/// A node's place among all. The least was first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Seniority {
    /// When the lineage began that the node joined, in milliseconds since 1970: clocks are only
    /// compared between clusters that did not know of each other.
    lineage: u64,
    /// One more than that of whoever had joined before.
    seq: u64,
    /// Which of those that joined at once.
    node: NodeId,
}

/// What a node tells the others of its place.
///
/// Its text form, which gossip carries, is `<lineage>,<seq>,<highest>` in decimal digits, and behind
/// that the held nodes in ascending order, each after a comma.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Claim {
    /// When the lineage began that it belongs to, in milliseconds since 1970.
    pub(super) lineage: u64,
    /// Its place in the lineage; 0 for one that has none.
    pub(super) seq: u64,
    /// The highest `seq` that it has heard of.
    pub(super) highest: u64,
    /// The nodes that it has lost, whose places are kept.
    pub(super) held: BTreeSet<NodeId>,
}

/// A text is not a [`Claim`]. It is as if nothing had been told.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("it is not what a node tells of its place")]
#[non_exhaustive]
pub struct InvalidClaim;

impl Claim {
    /// No number is beyond this, which neither counting nor the time comes to.
    pub(super) const MAX_NUMBER: u64 = 1 << 48;

    /// How many nodes may be held. Of more, those with the highest ids are not told of.
    pub(super) const MAX_HELD: usize = 32;

    /// What a node tells that has no place yet.
    pub(super) fn new(lineage: u64) -> Self {
        let lineage = lineage.min(Self::MAX_NUMBER);
        Self { lineage, seq: 0, highest: 0, held: BTreeSet::new() }
    }

    /// The place that `node` has, if this is its claim.
    pub(super) fn place(&self, node: NodeId) -> Option<Seniority> {
        (self.seq > 0).then_some(Seniority { lineage: self.lineage, seq: self.seq, node })
    }

    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(',');
        let mut number = || parts.next()?.parse::<u64>().ok();
        let (lineage, seq, highest) = (number()?, number()?, number()?);
        let held: Result<_, _> = parts.take(Self::MAX_HELD + 1).map(str::parse).collect();
        let claim = Self { lineage, seq, highest, held: held.ok()? };
        let is_sound = seq <= highest && lineage.max(highest) <= Self::MAX_NUMBER;
        let is_short = claim.held.len() <= Self::MAX_HELD;
        // A claim has one spelling.
        (is_sound && is_short && claim.to_string() == text).then_some(claim)
    }
}

impl FromStr for Claim {
    type Err = InvalidClaim;

    fn from_str(text: &str) -> Result<Self, InvalidClaim> {
        Self::read(text).ok_or(InvalidClaim)
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lineage, seq, highest, held } = self;
        write!(f, "{lineage},{seq},{highest}")?;
        held.iter().try_for_each(|node| write!(f, ",{node}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_has_one_spelling() {
        let a = "00000000000000aa";
        let b = "00000000000000bb";
        for text in ["5,0,0", "1795277526000,3,27", &format!("5,1,2,{a},{b}")] {
            assert_eq!(text.parse::<Claim>().unwrap().to_string(), text);
        }
        let big = Claim::MAX_NUMBER;
        for text in [
            "",
            "5,0",
            "5,0,",
            "05,0,0",
            "+5,0,0",
            "5,2,1",
            "5,0,0,",
            &format!("5,0,{}", big + 1),
            &format!("{},0,0", big + 1),
            &format!("5,0,0,{b},{a}"),
            &format!("5,0,0,{a},{a}"),
            "5,0,0,00000000000000AA",
            "18446744073709551616,0,0",
        ] {
            assert_eq!(text.parse::<Claim>(), Err(InvalidClaim), "{text}");
        }
    }

    #[test]
    fn a_claim_with_all_that_may_be_held_is_short() {
        let held = |count| (0..count).map(NodeId::from_bits).collect();
        let (lineage, most) = (Claim::MAX_NUMBER, Claim::MAX_HELD as u64);
        let mut claim = Claim { lineage, seq: lineage, highest: lineage, held: held(most) };
        let text = claim.to_string();
        assert!(text.len() <= 600, "{}", text.len());
        assert_eq!(text.parse::<Claim>(), Ok(claim.clone()));
        claim.held = held(most + 1);
        assert_eq!(claim.to_string().parse::<Claim>(), Err(InvalidClaim));
    }
}
