//! What became of what a client posted.

use super::Acknowledgement;

/// What became of what a client posted.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Posted {
    /// These pushes, which are the first of it, are stored. Those behind them are to be posted again.
    /// What was confirmed is, or was of a connection that is gone.
    Stored(Vec<Acknowledgement>),
    /// Nothing is known to be done: the session is attached nowhere for now, or who has it does not
    /// take more, or cannot be asked. All of it is to be posted again, which is harmless.
    Later,
}
