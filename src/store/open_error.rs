//! Why a directory cannot be used.

use std::io;

use thiserror::Error;

/// Why a directory cannot be used. Nothing in it was changed.
#[derive(Debug, Error)]
pub(crate) enum OpenError {
    /// Waiting until the other process has ended helps, or another directory.
    #[error("another process uses it")]
    InUse,
    /// Another directory helps, one that is empty or does not exist.
    #[error("there are files in it, and it is no store")]
    Foreign,
    /// Another directory helps.
    #[error("it is the store of the cluster {cluster:?}")]
    OtherCluster { cluster: String },
    /// The version that wrote it helps, or another directory.
    #[error("it was written by a version that this one does not understand")]
    Version,
    #[error(transparent)]
    Io(#[from] io::Error),
}
