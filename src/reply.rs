//! Where a handler's answer goes.

/// An answer of a typed handler, and where it goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "an answer goes to one, to some, to all, or nowhere")]
pub enum Reply<T> {
    /// Nowhere.
    Nothing,
    /// To the client that asked.
    Session(T),
    /// To everyone who reads the topic that is called like the client's path, the client among them.
    Topic(T),
    /// To everyone who reads any topic of the cluster, once for each topic.
    Everyone(T),
}
