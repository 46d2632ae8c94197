//! How a node finds the others, as the application says it.

use std::{error::Error, fmt, future::Future, net::SocketAddr, pin::Pin, sync::Arc};

use crate::cluster::interfaces::Interfaces;

/// A way to find the other nodes of a cluster. [`Builder::discover`](crate::Builder::discover) takes
/// several.
///
/// Each goes on for as long as the node runs, so that a cluster that was in two parts for however
/// long becomes one again. What is found is only a hint: who is there has to prove that it is one of
/// the cluster's.
#[derive(Clone, Debug)]
pub struct Discovery(pub(super) Way);

#[derive(Clone)]
pub(super) enum Way {
    Loopback,
    Multicast(Interfaces),
    Seeds(Vec<String>),
    Dns(String),
    Own(Arc<dyn Boxed>),
}

impl Discovery {
    /// Nodes of this machine, by beacons on its loopback interface, which do not leave it. The default
    /// of a node that listens on a loopback address.
    pub fn loopback() -> Self {
        Self(Way::Loopback)
    }

    /// Nodes of this network, by beacons to the multicast group 239.192.57.1, UDP port 54570, from
    /// every IPv4 interface that is up, but for loopback. No router passes them on (their TTL is 1).
    ///
    /// Interfaces are looked at again every 30 seconds. Beacons are sealed, so it takes a secret that
    /// all nodes are given, and an address that others can reach. Most clouds have no multicast.
    pub fn multicast() -> Self {
        Self(Way::Multicast(Interfaces::All))
    }

    /// The same, from some interfaces only, each given by its name (`eth0`) or its IPv4 address.
    pub fn multicast_on<I: Into<String>>(interfaces: impl IntoIterator<Item = I>) -> Self {
        let named = interfaces.into_iter().map(Into::into).collect();
        Self(Way::Multicast(Interfaces::Named(named)))
    }

    /// Nodes at these addresses, each `host` or `host:port`, of which one that is reachable is enough.
    ///
    /// A name is looked up again and again. Without a port, 5701 to 5703 are tried.
    pub fn seeds<S: Into<String>>(seeds: impl IntoIterator<Item = S>) -> Self {
        Self(Way::Seeds(seeds.into_iter().map(Into::into).collect()))
    }

    /// Nodes at all addresses, A and AAAA, that a name stands for: `name` or `name:port`, such as a
    /// headless service of Kubernetes. Without a port, it is 5701.
    ///
    /// It is looked up every second for ten seconds, then every ten until there is a peer, and then
    /// every minute. A name that does not resolve is warned of, once a minute, and looked up again.
    pub fn dns(name: impl Into<String>) -> Self {
        Self(Way::Dns(name.into()))
    }

    /// A way of your own, which is asked as often as names are looked up.
    pub fn own(discover: impl Discover) -> Self {
        Self(Way::Own(Arc::new(discover)))
    }
}

/// A way of the application's own to find the other nodes: an API, a file, a registry.
///
/// # Examples
///
/// ```
/// use std::{error::Error, net::SocketAddr};
///
/// use exosphere::{Discover, Discovery, Node};
///
/// /// Addresses in a file, one on each line.
/// struct File(&'static str);
///
/// impl Discover for File {
///     async fn addresses(&self) -> Result<Vec<SocketAddr>, Box<dyn Error + Send + Sync>> {
///         let lines = std::fs::read_to_string(self.0)?;
///         Ok(lines.lines().map(str::parse).collect::<Result<_, _>>()?)
///     }
/// }
///
/// let builder = Node::builder("chat").discover(Discovery::own(File("/etc/chat/nodes")));
/// # drop(builder);
/// ```
pub trait Discover: Send + Sync + 'static {
    /// Where there may be nodes, now. This node's own address may be among them, and so may some where
    /// nobody is. Of more than 64, the first 64 are dialed.
    ///
    /// # Errors
    ///
    /// Whatever went wrong. It is warned of, at most once a minute, and it is asked again.
    ///
    /// # Cancel safety
    ///
    /// The future is dropped if it is not ready after five seconds, or when the node ends.
    fn addresses(
        &self,
    ) -> impl Future<Output = Result<Vec<SocketAddr>, Box<dyn Error + Send + Sync>>> + Send;
}

/// What a [`Discover`] answers.
pub(crate) type Found =
    Pin<Box<dyn Future<Output = Result<Vec<SocketAddr>, Box<dyn Error + Send + Sync>>> + Send>>;

/// A [`Discover`] of whatever type.
pub(crate) trait Boxed: Send + Sync {
    fn addresses(self: Arc<Self>) -> Found;
}

impl<D: Discover> Boxed for D {
    fn addresses(self: Arc<Self>) -> Found {
        Box::pin(async move { Discover::addresses(&*self).await })
    }
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loopback => f.write_str("Loopback"),
            Self::Multicast(interfaces) => f.debug_tuple("Multicast").field(interfaces).finish(),
            Self::Seeds(seeds) => f.debug_tuple("Seeds").field(seeds).finish(),
            Self::Dns(name) => f.debug_tuple("Dns").field(name).finish(),
            Self::Own(_) => f.write_str("Own"),
        }
    }
}
