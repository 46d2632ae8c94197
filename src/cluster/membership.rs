//! The seam between this crate and whatever finds out which members are alive.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    net::SocketAddr,
    sync::Arc,
};

use bytes::Bytes;
use tokio::sync::watch;

use crate::{
    id::NodeId,
    proto::{Announcement, licensing::Papers},
};

/// What members say of themselves, this node included.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct News {
    /// Those that are alive.
    pub(crate) told: BTreeMap<NodeId, Arc<Announcement>>,
    /// Of those, what the ones tell that are under a limit.
    pub(crate) papers: BTreeMap<NodeId, Papers>,
    /// Of those that were, the ones that have said that they leave.
    pub(crate) left: BTreeSet<NodeId>,
}

/// Knows which members of the cluster are alive, by exchanging messages with some of them.
///
/// It has no socket. Messages that it wants to send leave through a channel that it is given, for
/// the address that a member advertises, and what arrives is handed to [`handle`](Self::handle).
pub(crate) trait Membership: Send + Sync + 'static {
    /// Why a message is refused.
    type Refusal: std::error::Error + Send + Sync + 'static;

    /// There is a link to the member at `addr` now: let it know of us, and learn what it knows.
    fn meet(&self, addr: SocketAddr);

    /// A message arrived from the member `from`, which advertises `from_addr`.
    ///
    /// # Errors
    ///
    /// The message breaks the rules, or too many wait. Nothing was changed. The peer repeats
    /// whatever matters, so the message may be forgotten.
    fn handle(
        &self,
        from_addr: SocketAddr,
        from: NodeId,
        bytes: Bytes,
    ) -> Result<(), Self::Refusal>;

    /// The members that are alive, this node included, with the addresses that they advertise.
    fn members(&self) -> watch::Receiver<BTreeMap<NodeId, SocketAddr>>;

    /// What members say of themselves. It is at least as new as [`members`](Self::members).
    fn news(&self) -> watch::Receiver<News>;

    /// Tells the others this of this node, from now on.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave some of it untold.
    fn announce(&self, announcement: &Announcement) -> impl Future<Output = ()> + Send;

    /// Tells the others this about licences, from now on.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave some of it untold.
    fn present(&self, papers: &Papers) -> impl Future<Output = ()> + Send;

    /// Tells the others that this node leaves, and waits for that, a moment at most.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the others hear of it in time even if the future is dropped.
    fn leave(&self) -> impl Future<Output = ()> + Send;
}
