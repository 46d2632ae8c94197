//! How far a reader has read, or a node has stored: one number for each origin.
//!
//! A [`Position`] means the same on every node, because an operation has the same origin and the
//! same number everywhere. It is what a node knows (the next operation that it lacks of each
//! journal), and it is where a session stands in a topic (the next message not yet read).
//!
//! # Invariants
//!
//! 1. Origins are in ascending order, each at most once.
//! 2. No number is zero: an origin that is not named is at its first operation.
//! 3. There are at most [`MAX_ORIGINS`](Position::MAX_ORIGINS) origins in what comes from outside.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, de};
use thiserror::Error;

use crate::id::{MessageId, NodeId, Seq};

/// For each origin, the next operation not yet seen. The default has seen nothing.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Position(Vec<(NodeId, Seq)>);

impl Position {
    /// The most origins that a position from outside may name.
    pub const MAX_ORIGINS: usize = 256;

    /// The longest a token may be, in characters: 48 origins with a trillion operations each.
    pub const MAX_TOKEN_CHARS: usize = 1024;

    /// The first byte of a token, before it is written as text.
    const TOKEN_VERSION: u8 = 1;

    /// Nothing has been seen.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Everything of `origin` before `next` has been seen. Never goes back. Whether that was news.
    pub fn advance(&mut self, origin: NodeId, next: Seq) -> bool {
        match self.0.binary_search_by_key(&origin, |&(node, _)| node) {
            Ok(at) if self.0[at].1 < next => self.0[at].1 = next,
            Err(at) if next > Seq::FIRST => self.0.insert(at, (origin, next)),
            Ok(_) | Err(_) => return false,
        }
        true
    }

    /// How much memory it takes beside itself, in bytes.
    pub(super) fn cost(&self) -> usize {
        size_of_val(&self.0[..])
    }

    /// Everything that `other` has seen has been seen. Whether any of it was news.
    pub fn merge(&mut self, other: &Self) -> bool {
        let mut news = false;
        for &(origin, next) in &other.0 {
            news |= self.advance(origin, next);
        }
        news
    }

    /// Takes back what `other` has not seen: what is left is what both have.
    pub fn meet(&mut self, other: &Self) {
        self.0.retain_mut(|(origin, next)| {
            *next = other.get(*origin).min(*next);
            *next > Seq::FIRST
        });
    }

    /// Forgets `origin`, as if nothing of it had been seen.
    pub fn forget(&mut self, origin: NodeId) {
        self.0.retain(|&(node, _)| node != origin);
    }

    /// The next operation of `origin` not yet seen.
    pub fn get(&self, origin: NodeId) -> Seq {
        match self.0.binary_search_by_key(&origin, |&(node, _)| node) {
            Ok(at) => self.0[at].1,
            Err(_) => Seq::FIRST,
        }
    }

    /// Whether this message has been seen.
    pub fn covers(&self, id: MessageId) -> bool {
        id.seq < self.get(id.origin)
    }

    /// Whether everything that `other` has seen has been seen.
    pub fn includes(&self, other: &Self) -> bool {
        other.0.iter().all(|&(origin, next)| self.get(origin) >= next)
    }

    /// The origins of which something has been seen, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, Seq)> {
        self.0.iter().copied()
    }

    /// How many operations have been seen, of all origins together.
    pub fn total(&self) -> u64 {
        self.0.iter().fold(0, |sum, &(_, next)| sum.saturating_add(next.get()))
    }

    /// The position as text, for clients to hand back on any transport, to any node.
    ///
    /// Base64url without padding of a version byte and, for each origin, its 8 bytes (big endian)
    /// and its number as a LEB128 varint.
    pub fn token(&self) -> String {
        let mut bytes = vec![Self::TOKEN_VERSION];
        for &(origin, next) in &self.0 {
            bytes.extend(origin.to_bits().to_be_bytes());
            write_varint(&mut bytes, next.get());
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a token. Accepts any text whatever: what is no token is an error, never a panic.
    ///
    /// # Errors
    ///
    /// [`InvalidToken`] if [`token`](Self::token) cannot have written this.
    pub fn parse_token(token: &str) -> Result<Self, InvalidToken> {
        if token.len() > Self::MAX_TOKEN_CHARS {
            return Err(InvalidToken);
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| InvalidToken)?;
        let (&Self::TOKEN_VERSION, mut rest) = bytes.split_first().ok_or(InvalidToken)? else {
            return Err(InvalidToken);
        };
        let mut entries = Vec::new();
        while !rest.is_empty() {
            let (origin, tail) = rest.split_first_chunk().ok_or(InvalidToken)?;
            let (next, tail) = read_varint(tail).ok_or(InvalidToken)?;
            entries.push((NodeId::from_bits(u64::from_be_bytes(*origin)), Seq::new(next)));
            rest = tail;
        }
        Self::from_entries(entries).ok_or(InvalidToken)
    }

    /// A position of these entries, unless they break an invariant.
    fn from_entries(entries: Vec<(NodeId, Seq)>) -> Option<Self> {
        let ascending = entries.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let positive = entries.iter().all(|&(_, next)| next > Seq::FIRST);
        (ascending && positive && entries.len() <= Self::MAX_ORIGINS).then_some(Self(entries))
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_entries(Vec::deserialize(deserializer)?)
            .ok_or_else(|| de::Error::custom("not a position"))
    }
}

impl FromIterator<(NodeId, Seq)> for Position {
    fn from_iter<I: IntoIterator<Item = (NodeId, Seq)>>(entries: I) -> Self {
        let mut position = Self::new();
        for (origin, next) in entries {
            position.advance(origin, next);
        }
        position
    }
}

/// A text is not a position token. What came with it can still be served, from the start.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("not a position token")]
#[non_exhaustive]
pub struct InvalidToken;

fn write_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// The varint in front, which must be as short as it can be, and the rest.
fn read_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (index, &byte) in bytes.iter().enumerate().take(10) {
        let bits = u64::from(byte & 0x7f);
        let shift = 7 * index as u32;
        if bits << shift >> shift != bits {
            return None;
        }
        value |= bits << shift;
        if byte < 0x80 {
            let shortest = index == 0 || byte != 0;
            return shortest.then_some((value, &bytes[index + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(entries: &[(u64, u64)]) -> Position {
        entries.iter().map(|&(node, next)| (NodeId::from_bits(node), Seq::new(next))).collect()
    }

    #[test]
    fn a_position_never_goes_back() {
        let mut position = position(&[(7, 3)]);
        assert!(!position.advance(NodeId::from_bits(7), Seq::new(2)));
        assert!(!position.advance(NodeId::from_bits(9), Seq::FIRST));
        assert!(position.advance(NodeId::from_bits(7), Seq::new(4)));
        assert!(position.advance(NodeId::from_bits(1), Seq::new(1)));
        assert_eq!(position, self::position(&[(1, 1), (7, 4)]));
    }

    #[test]
    fn merge_is_the_most_and_meet_the_least_of_two() {
        let (a, b) = (position(&[(1, 5), (2, 1)]), position(&[(1, 3), (3, 2)]));
        let mut both = a.clone();
        assert!(both.merge(&b));
        assert!(!both.merge(&b));
        assert_eq!(both, position(&[(1, 5), (2, 1), (3, 2)]));
        assert!(both.includes(&a) && both.includes(&b) && !a.includes(&b));
        both.meet(&a);
        assert_eq!(both, a);
        both.meet(&b);
        assert_eq!(both, position(&[(1, 3)]));
    }

    #[test]
    fn a_token_reads_back_and_its_like_is_refused() {
        let all = [(1, 1), (2, 127), (3, 128), (u64::MAX, u64::MAX)];
        for entries in [&all[..0], &all[..1], &all] {
            let position = position(entries);
            assert_eq!(Position::parse_token(&position.token()), Ok(position));
        }
        let refused = |bytes: &[u8]| {
            Position::parse_token(&URL_SAFE_NO_PAD.encode(bytes)) == Err(InvalidToken)
        };
        let one = [0, 0, 0, 0, 0, 0, 0, 1];
        assert!(refused(&[]), "no version");
        assert!(refused(&[2]), "another version");
        assert!(refused(&[&[1], &one[..7]].concat()), "half an origin");
        assert!(refused(&[&[1], &one[..], &[0x80]].concat()), "half a number");
        assert!(refused(&[&[1], &one[..], &[0]].concat()), "a zero");
        assert!(refused(&[&[1], &one[..], &[0x81, 0]].concat()), "a long number");
        assert!(refused(&[&[1], &one[..], &[0xff; 9][..], &[2]].concat()), "too large a number");
        assert!(refused(&[&[1], &one[..], &[1], &one[..], &[1]].concat()), "an origin twice");
        assert_eq!(Position::parse_token("AQ=="), Err(InvalidToken));
        assert_eq!(Position::parse_token(&"A".repeat(1025)), Err(InvalidToken));
    }
}
