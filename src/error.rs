//! Anything that can go wrong, for a `main` that does not care which.

use std::{error::Error as StdError, fmt};

use thiserror::Error;

use crate::{
    id::InvalidTopicName,
    node::{ServeError, StartError},
    topic::{JoinError, PublishError},
};

/// Anything that can go wrong, for a `main` that does not care which.
///
/// A `main` that returns it ends with a sentence: its [`Debug`](fmt::Debug), which is what is printed
/// then, is what went wrong and what led to that, in words. `{:#?}` prints its parts, for programmers.
#[derive(Error)]
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

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            return match self {
                Self::InvalidTopicName(it) => f.debug_tuple("InvalidTopicName").field(it).finish(),
                Self::Join(it) => f.debug_tuple("Join").field(it).finish(),
                Self::Publish(it) => f.debug_tuple("Publish").field(it).finish(),
                Self::Serve(it) => f.debug_tuple("Serve").field(it).finish(),
                Self::Start(it) => f.debug_tuple("Start").field(it).finish(),
            };
        }
        write!(f, "{self}")?;
        let mut next = self.source();
        while let Some(source) = next {
            write!(f, ": {source}")?;
            next = source.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_main_that_fails_ends_with_a_sentence() {
        let taken = io::Error::new(io::ErrorKind::AddrInUse, "the address is taken");
        let error = Error::from(ServeError::Bind(taken));
        assert_eq!(format!("{error:?}"), "cannot listen for clients: the address is taken");
        assert!(format!("{error:#?}").starts_with("Serve("), "{error:#?}");
    }
}
