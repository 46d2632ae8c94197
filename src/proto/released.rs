//! What the last owner of a session tells the node that took it over.

use serde::{Deserialize, Serialize};

use super::Position;
use crate::id::{Epoch, Seq, SessionId, TopicName};

/// What a node knew of a session when it heard that another had claimed it: it does nothing more on
/// the session's behalf.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Released {
    /// Which session.
    pub session: SessionId,
    /// The epoch of the claim that it gives way to.
    pub epoch: Epoch,
    /// The next operation of the sender's journal: all that it did for the session lies before. `None`
    /// if the sender itself still waited for what an owner before it did: then so does the receiver.
    pub next: Option<Seq>,
    /// How far the client had read, as exactly as the sender knew.
    pub positions: Vec<(TopicName, Position)>,
}

impl Released {
    /// What is said to who claimed `session` with `epoch`.
    pub const fn new(
        session: SessionId,
        epoch: Epoch,
        next: Option<Seq>,
        positions: Vec<(TopicName, Position)>,
    ) -> Self {
        Self { session, epoch, next, positions }
    }
}
