//! How well something is stored before it counts as accepted.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How well a push is stored before its client is told that it need not send it again.
///
/// Where this cannot be reached, because there are fewer nodes or the disk failed, a push is
/// acknowledged all the same once that is certain, which takes two seconds; the acknowledgement
/// names the [`Level`] that was reached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Durability {
    /// In the memory of the node that took it. It is lost if that node dies before its peers have
    /// it, which is a few milliseconds.
    Local,
    /// In the memory of this many further nodes. The default is one, where there is another node.
    Replicated(usize),
    /// On the disk of the node that took it, which survives that all nodes die, and stored by one
    /// further node, where there is another: if all die, and the client is with a node again before
    /// the one that took it is back, the order of its pushes would else be lost.
    Disk,
}

impl Durability {
    /// How many further nodes are to have stored it, where there are so many.
    pub(super) const fn peers(self) -> usize {
        match self {
            Self::Local => 0,
            Self::Replicated(wanted) => wanted,
            Self::Disk => 1,
        }
    }
}

impl Default for Durability {
    fn default() -> Self {
        Self::Replicated(1)
    }
}

/// How well something is stored.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Level {
    /// One node has it in memory.
    Local,
    /// Other nodes have it in memory, too.
    Replicated,
    /// It is on the disk of the node that took it, at least.
    Disk,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "local",
            Self::Replicated => "replicated",
            Self::Disk => "disk",
        })
    }
}
