//! The half of a client that pushes.

use std::{fmt, sync::Arc};

use super::{acknowledgement::Acknowledgement, error::PushError, pushed::Pushed, shared::Shared};
use crate::message::Message;

/// The half of a client that pushes, for tasks of its own. Cheap to clone.
///
/// It pushes for as long as its [`Client`](super::Client) exists.
#[derive(Clone)]
pub struct Pusher(Arc<Shared>);

impl Pusher {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// As [`Client::push`](super::Client::push), with the same errors.
    ///
    /// # Cancel safety
    ///
    /// That of [`Client::push`](super::Client::push).
    ///
    /// # Errors
    ///
    /// Those of [`Client::push`](super::Client::push).
    pub async fn push(&self, message: impl Into<Message>) -> Result<Acknowledgement, PushError> {
        self.begin_push(message).await?.await
    }

    /// As [`Client::begin_push`](super::Client::begin_push).
    ///
    /// # Cancel safety
    ///
    /// That of [`Client::begin_push`](super::Client::begin_push).
    ///
    /// # Errors
    ///
    /// Those of [`Client::begin_push`](super::Client::begin_push).
    pub async fn begin_push(&self, message: impl Into<Message>) -> Result<Pushed, PushError> {
        self.0.push(message.into()).await
    }
}

impl fmt::Debug for Pusher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pusher").finish_non_exhaustive()
    }
}
