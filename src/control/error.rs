//! Why Tower Control is not served.

use std::{io, net::SocketAddr};

use thiserror::Error;

use crate::{client::TlsError, node::ServeError};

/// Why Tower Control is not served, or no longer. The node goes on, unless it has ended.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ControlError {
    /// The address cannot be listened on. Another, or waiting until it is free, helps.
    #[error("cannot listen for operators")]
    Bind(#[source] io::Error),
    /// Others than this machine can reach the address, and could read tokens on their way.
    #[error(
        "others can reach {addr}: give it a certificate with `Control::tls`, or listen on 127.0.0.1"
    )]
    Exposed {
        /// The address.
        addr: SocketAddr,
    },
    /// A host is neither a name, nor `.name`, nor `*`.
    #[error("{host:?} is no host")]
    InvalidHost {
        /// What was given.
        host: String,
    },
    /// There is no token, so nobody could do anything.
    #[error("nobody may use it: give a token with `Control::token`")]
    NoToken,
    /// The node has ended, as it was one too many.
    #[error(transparent)]
    Ended(#[from] ServeError),
    /// The certificate cannot be used. Other files help.
    #[error(transparent)]
    Tls(TlsError),
    /// A token is so short that it can be guessed.
    #[error("a token has fewer than 16 bytes: take `Control::random_token`")]
    WeakToken,
}
