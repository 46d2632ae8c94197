//! What becomes of a client that does not keep up.

/// What becomes of a client that is connected, and does not read as fast as is published, once a
/// limit drops a message that it was to get. Nothing is skipped in silence, whatever is chosen.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum SlowConsumers {
    /// It stays connected, and is told of a gap when it reads again. The default.
    #[default]
    Gap,
    /// It is closed, by [`CloseCode::SlowConsumer`](super::CloseCode::SlowConsumer), and told of the gap
    /// once it has come back.
    Close,
}
