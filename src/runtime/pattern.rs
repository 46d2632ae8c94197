//! Which topics are meant.

use std::str::FromStr;

use thiserror::Error;

use crate::id::TopicName;

/// Names of topics: `*` stands for any text, slashes among it, and `{name}` for any one segment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Pattern(Vec<Piece>);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Piece {
    Text(String),
    /// Any text.
    Any,
    /// Any text that is not empty and has no slash in it.
    Segment,
}

/// A pattern that stands for nothing. No topic was touched.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("the pattern {pattern:?} cannot be: {why}")]
#[non_exhaustive]
pub struct InvalidPattern {
    /// The pattern.
    pub pattern: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl Pattern {
    /// How many pieces a pattern may have: it takes time to match.
    const MAX_PIECES: usize = 32;

    /// Whether this topic is meant.
    pub(crate) fn matches(&self, name: &TopicName) -> bool {
        matches(&self.0, name.as_str())
    }
}

impl FromStr for Pattern {
    type Err = InvalidPattern;

    fn from_str(pattern: &str) -> Result<Self, InvalidPattern> {
        let invalid = |why| InvalidPattern { pattern: pattern.to_owned(), why };
        let (mut pieces, mut rest) = (Vec::new(), pattern);
        while !rest.is_empty() {
            let (text, special) = rest.split_at(rest.find(['*', '{']).unwrap_or(rest.len()));
            if !text.is_empty() {
                pieces.push(Piece::Text(text.to_owned()));
            }
            rest = match special.strip_prefix('*') {
                Some(after) => {
                    pieces.push(Piece::Any);
                    after
                }
                None if special.is_empty() => special,
                None => {
                    let end = special.find('}').ok_or_else(|| invalid("`{` without `}`"))?;
                    pieces.push(Piece::Segment);
                    &special[end + 1..]
                }
            };
        }
        match pieces.len() {
            0 => Err(invalid("it is empty")),
            len if len > Self::MAX_PIECES => Err(invalid("it has more than 32 pieces")),
            _ => Ok(Self(pieces)),
        }
    }
}

/// Whether `pieces` stand for the whole of `text`. Each further `*` begins a search, but never one
/// within another: what the one before has passed over, it need not look at again.
fn matches(pieces: &[Piece], text: &str) -> bool {
    let (mut at, mut rest) = (pieces, text);
    let mut again: Option<(&[Piece], &str)> = None;
    loop {
        match take(at, rest) {
            Some((after, left)) if after.is_empty() && left.is_empty() => return true,
            Some((after, left)) if let Some(Piece::Any) = after.first() => {
                (at, rest) = (&after[1..], left);
                if at.is_empty() {
                    return true;
                }
                again = Some((at, rest));
            }
            _ => {
                let Some((pieces, from)) = again else { return false };
                let Some(first) = from.chars().next() else { return false };
                (at, rest) = (pieces, &from[first.len_utf8()..]);
                again = Some((at, rest));
            }
        }
    }
}

/// Takes from `text` what the pieces before the next `*` stand for.
fn take<'a, 'b>(mut pieces: &'a [Piece], mut text: &'b str) -> Option<(&'a [Piece], &'b str)> {
    while let Some((piece, after)) = pieces.split_first() {
        text = match piece {
            Piece::Text(expected) => text.strip_prefix(expected.as_str())?,
            Piece::Segment => {
                let end = text.find('/').unwrap_or(text.len());
                // What follows a segment within its segment is looked for from the end.
                let end = match after.first() {
                    Some(Piece::Text(next)) if !next.starts_with('/') => {
                        text[..end].rfind(next.split('/').next()?)?
                    }
                    _ => end,
                };
                (end > 0).then(|| &text[end..])?
            }
            Piece::Any => return Some((pieces, text)),
        };
        pieces = after;
    }
    Some((pieces, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_stands_for_these_topics() {
        let table = [
            ("/chat/lobby", "/chat/lobby", true),
            ("/chat/lobby", "/chat/lobby2", false),
            ("/chat/*", "/chat/a/b", true),
            ("/chat*", "/chat", true),
            ("/chat/*", "/chat", false),
            ("*", "/anything/at all", true),
            ("*/b", "/a/b/c/b", true),
            ("*/b", "/a/b/c", false),
            ("/a*b*c", "/a-b-b-c", true),
            ("/a*b*c", "/a-c-b", false),
            ("/chat/{room}", "/chat/a", true),
            ("/chat/{room}", "/chat/a/b", false),
            ("/chat/{room}/x", "/chat/a/x", true),
            ("/chat{room}", "/chat", false),
            ("/{a}/{b}", "/x/y", true),
            ("/{a}-{b}", "/x-y-z", true),
            ("/{a}.json", "/x.json", true),
            ("*{last}", "/a/b", true),
        ];
        for (pattern, topic, expected) in table {
            let name = TopicName::parse(topic).unwrap();
            let found = pattern.parse::<Pattern>().unwrap().matches(&name);
            assert_eq!(found, expected, "{pattern} {topic}");
        }
        for wrong in ["", "/a/{b", &"*".repeat(33)] {
            assert!(wrong.parse::<Pattern>().is_err(), "{wrong}");
        }
    }

    /// Goal: no pattern takes longer than its pieces times the name's length.
    #[test]
    fn a_hostile_pattern_is_matched_soon() {
        let pattern: Pattern = "*a".repeat(16).parse().unwrap();
        let name = TopicName::parse(&format!("/{}b", "a".repeat(200))).unwrap();
        assert!(!pattern.matches(&name));
    }
}
