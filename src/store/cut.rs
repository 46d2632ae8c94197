//! What was found in a directory, and what of it could not be used.

use std::fmt;

/// What a node found in its directory when it started.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Recovered {
    /// How many records there were that could be used: operations, positions, and the parts of the
    /// checkpoint.
    pub records: u64,
    /// How many were whole but follow on something that is lost, so that they mean nothing. Other
    /// nodes may know what is lost.
    pub unfit: u64,
    /// Where files were cut. A node that was killed while it wrote leaves one such cut, at the end,
    /// behind all that was said to be on the disk; anything else is damage.
    pub cuts: Vec<Cut>,
}

/// A place in a file from which on nothing could be used.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Cut {
    /// The file's name.
    pub file: String,
    /// Where, in bytes from the file's start.
    pub at: u64,
    /// How many bytes there were from there on.
    pub bytes: u64,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from byte {} on, {} bytes", self.file, self.at, self.bytes)
    }
}
