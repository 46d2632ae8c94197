//! Why a session has no attachment.

use serde::{Deserialize, Serialize};

/// Why a session's client is not there. If it does not come back in time, this is why its session is
/// over: see [`CloseReason::Abandoned`](super::CloseReason::Abandoned).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(from = "u8", into = "u8")]
#[non_exhaustive]
pub enum Detachment {
    /// The client closed its connection, and did not say that it is done: a page that is left, or a
    /// client that changes over.
    Left,
    /// The connection broke or ended without a close, or nothing was heard of the client for too
    /// long, or it asked no more.
    Lost,
    /// The node that it was connected to died, or could not be reached for too long.
    NodeDied,
    /// The node that it was connected to shut down, and sent it to another.
    NodeLeft,
    /// The client was told to connect anew: see [`Session::resume`](crate::Session::resume).
    Resumed,
    /// The client did not read fast enough, and its connection was closed for that: see
    /// [`SlowConsumers::Close`](super::SlowConsumers::Close).
    Slow,
    /// The client broke a rule, and its connection was closed for that.
    Violation,
    /// A reason that this version does not know.
    Other,
}

impl From<u8> for Detachment {
    fn from(code: u8) -> Self {
        match code {
            1 => Self::Left,
            2 => Self::Lost,
            3 => Self::NodeDied,
            4 => Self::NodeLeft,
            5 => Self::Violation,
            6 => Self::Slow,
            7 => Self::Resumed,
            _ => Self::Other,
        }
    }
}

impl From<Detachment> for u8 {
    fn from(why: Detachment) -> Self {
        match why {
            Detachment::Left => 1,
            Detachment::Lost => 2,
            Detachment::NodeDied => 3,
            Detachment::NodeLeft => 4,
            Detachment::Violation => 5,
            Detachment::Slow => 6,
            Detachment::Resumed => 7,
            Detachment::Other => 15,
        }
    }
}
