//! How a store is.

/// How a node's store is.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum StoreState {
    /// What happens is stored.
    Working,
    /// The disk has failed, or is full. What was said to be on it is there, as far as it can be
    /// read; nothing more is written, and nothing is said to be on it any more. The node goes on in
    /// memory. To store again, restart it on a disk that works.
    Failed {
        /// What the system said.
        reason: String,
    },
    /// The node has been shut down.
    Closed,
}
