//! Anything that can go wrong, for a `main` that does not care which.

use thiserror::Error;

use crate::{
    id::InvalidTopicName,
    node::{ServeError, StartError},
    session::JoinError,
    topic::PublishError,
};

/// Anything that can go wrong, for a `main` that does not care which.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// See [`InvalidTopicName`].
    #[error(transparent)]
    InvalidTopicName(#[from] InvalidTopicName),
    /// See [`JoinError`].
    #[error(transparent)]
    Join(#[from] JoinError),
    /// See [`PublishError`].
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// See [`ServeError`].
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// See [`StartError`].
    #[error(transparent)]
    Start(#[from] StartError),
}
