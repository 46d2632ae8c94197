//! Paths, which are names of topics, too.

use percent_encoding::percent_decode_str;
use thiserror::Error;

use crate::id::{InvalidTopicName, TopicName};

/// Why a path is none that is answered.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub(crate) enum InvalidPath {
    #[error("the path has an encoded slash")]
    Slash,
    #[error("the path has a percent sign that stands for nothing")]
    Percent,
    #[error("the path is not UTF-8")]
    NotText,
    #[error("the path has a segment of dots")]
    Dots,
    #[error("there is nothing at the root")]
    Root,
    #[error(transparent)]
    Name(#[from] InvalidTopicName),
}

/// A path as it was asked for, decoded, without one slash at its end.
///
/// # Errors
///
/// [`InvalidPath`] if a guard in front of the node could take it for another.
pub(crate) fn read(path: &str) -> Result<TopicName, InvalidPath> {
    // A guard would see one segment where the handler sees two.
    if path.to_ascii_lowercase().contains("%2f") {
        return Err(InvalidPath::Slash);
    }
    if !is_escaped_well(path) {
        return Err(InvalidPath::Percent);
    }
    let decoded = percent_decode_str(path).decode_utf8().map_err(|_| InvalidPath::NotText)?;
    let trimmed = match decoded.strip_suffix('/') {
        Some("") | None => &*decoded,
        Some(trimmed) => trimmed,
    };
    // Whoever passes it on takes these for a way up.
    if trimmed.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(InvalidPath::Dots);
    }
    match trimmed {
        "/" => Err(InvalidPath::Root),
        path => Ok(TopicName::parse(path)?),
    }
}

/// Whether every percent sign begins an escape: two guards would not take others for the same.
fn is_escaped_well(path: &str) -> bool {
    let mut pieces = path.as_bytes().split(|&byte| byte == b'%').skip(1);
    pieces
        .all(|piece| matches!(piece, [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_in_one_way_or_not_at_all() {
        for (path, name) in [("/a", "/a"), ("/a/", "/a"), ("/a%20b/c", "/a b/c")] {
            assert_eq!(read(path).unwrap().as_str(), name);
        }
        for (path, invalid) in [
            ("/a%2Fb", InvalidPath::Slash),
            ("/a%2", InvalidPath::Percent),
            ("/a%zz", InvalidPath::Percent),
            ("/%ff", InvalidPath::NotText),
            ("/a/../b", InvalidPath::Dots),
            ("/a/%2e%2E/b", InvalidPath::Dots),
            ("/", InvalidPath::Root),
        ] {
            assert_eq!(read(path), Err(invalid), "{path}");
        }
    }
}
