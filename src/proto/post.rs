//! What a client says by a request of its own.

use super::Mark;
use crate::{
    id::{PushKey, SessionId},
    message::Message,
};

/// What a client says by a request of its own, as what it reads from goes one way only.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Post {
    /// Who says it.
    pub session: SessionId,
    /// The mark before which its application has everything, and the series that it is of: see
    /// [`Core::set_series`](super::Core::set_series).
    pub confirmed: Option<(u64, Mark)>,
    /// What must not be lost, in the order in which the handler is to be told.
    pub pushes: Vec<(PushKey, Message)>,
    /// Whether it says that it is done: its session ends, once the handler was told of all pushes.
    pub is_done: bool,
}

impl Post {
    /// How many pushes of one post are taken, as many as can be open. Those behind them are to be
    /// posted again.
    pub const MAX_PUSHES: usize = 64;

    /// What `session` says that goes on: of more than [`MAX_PUSHES`](Self::MAX_PUSHES) the first.
    pub fn new(
        session: SessionId,
        confirmed: Option<(u64, Mark)>,
        mut pushes: Vec<(PushKey, Message)>,
    ) -> Self {
        pushes.truncate(Self::MAX_PUSHES);
        Self { session, confirmed, pushes, is_done: false }
    }

    /// What `session` says that is done.
    pub const fn done(session: SessionId) -> Self {
        Self { session, confirmed: None, pushes: Vec::new(), is_done: true }
    }
}
