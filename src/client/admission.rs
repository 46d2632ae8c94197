//! Who may connect, and how.

use super::{Bodies, Hosts, Room};

/// Who may connect, and how.
#[derive(Debug)]
pub(crate) struct Admission {
    /// The origins whose pages may connect, beside the node's own.
    pub(crate) origins: Vec<String>,
    /// The hosts that the node answers for.
    pub(crate) hosts: Hosts,
    /// Whether the session whose client has been away for the longest gives way to a new one for which
    /// there is no room.
    pub(crate) gone_give_way: bool,
    /// Whether scripts are answers, too, which any page can read.
    pub(crate) scripts: bool,
    /// The room for what is being posted.
    pub(crate) bodies: Bodies,
    /// The places for plain polls that wait for something to happen.
    pub(crate) parking: Room,
}
