//! What can go wrong.

use thiserror::Error;

/// Why a client did not connect. There is no client, and no session was left behind.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum ConnectError {
    /// A URL is not one of this kind. Trying again does not help.
    #[error("{url:?} is not a URL such as ws://127.0.0.1:8080/chat")]
    InvalidUrl {
        /// The URL.
        url: String,
    },
    /// There is no URL. Trying again does not help.
    #[error("there is no URL to connect to")]
    NoUrl,
    /// No node answered, or none that understands this client. Trying again may help.
    #[error("no node can be reached; of the last: {reason}")]
    Unreachable {
        /// What happened with the node tried last, for people.
        reason: String,
    },
}

/// Why a push was not acknowledged.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum PushError {
    /// The client or its session has ended. Unless the push was acknowledged before, whether it
    /// was stored is not known. Trying again takes another client.
    #[error("the client has ended")]
    Ended,
    /// A node refused it: it was not handled, and never will be. Trying again may help, if the
    /// reason is one that passes.
    #[error("the push was refused: {reason}")]
    Refused {
        /// Why, for people.
        reason: String,
    },
    /// It is too long. Nothing was pushed, and trying again does not help.
    #[error("the push has {bytes} bytes as it is sent, more than the limit of {limit}")]
    TooLarge {
        /// How long it is once it is written as JSON, or Base64 within it.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
}
