//! One node: the thing an application starts, embeds, and shuts down.

mod app;
#[cfg_attr(not(feature = "control"), allow(dead_code, reason = "nobody writes to it"))]
mod audit;
mod builder;
mod change;
#[cfg(feature = "control")]
mod control;
mod drain;
mod events;
mod explain;
#[cfg(feature = "grpc")]
mod grpc;
mod hooks;
mod inspect;
mod licensing;
mod limits;
mod members;
#[cfg(feature = "control")]
mod metrics;
mod opening;
mod question;
mod start_error;
mod statistics;
mod steering;
mod turns;

use std::{
    convert::Infallible,
    error::Error as StdError,
    fmt, io,
    net::{SocketAddr, ToSocketAddrs},
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use http::{Request, Response};
use hyper::{body::Incoming, service::Service};
use parking_lot::Mutex;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::{
    client::{HttpLimits, Server, Slots, Tls, TlsError, TlsFiles, listen},
    cluster::{Denied, Mesh},
    id::{InvalidTopicName, MessageId, NodeId, TopicName},
    license::License,
    proto::{Accounting, Close, CloseCode},
    route::Routes,
    runtime::{Hub, InvalidPattern, Scribe, Tasks},
    service::NodeService,
    store::{Recovered, StoreState},
    topic::{Receipt, Topic, Topics},
};

#[cfg(feature = "control")]
pub(crate) use change::Change;
#[cfg(feature = "control")]
pub(crate) use inspect::now_ms;
#[cfg(feature = "control")]
pub(crate) use metrics::Latency;
#[cfg(feature = "control")]
pub(crate) use question::Question;

use audit::AuditLog;
pub use builder::Builder;
pub use events::NodeEvents;
use hooks::Hooks;
pub use inspect::InvalidSessionFilter;
use licensing::too_many;
pub use limits::{InvalidLimit, Limits};
pub use members::{MemberEvents, Members};
pub use start_error::StartError;
use turns::Turns;

/// How long a shutdown waits for each of its steps.
const SHUTDOWN_STEP: Duration = Duration::from_secs(5);

/// A running node. Cheap to clone: a clone is the same node.
///
/// It runs until it is [drained](Self::drain) or [shut down](Self::shutdown), or the process ends,
/// whether anybody keeps a `Node` or not.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

struct Inner {
    hub: Arc<Hub>,
    mesh: Mesh,
    server: Arc<Server>,
    routes: Arc<Routes>,
    #[cfg(feature = "grpc")]
    grpc: Arc<crate::client::Grpc>,
    slots: Slots,
    /// What operators did.
    audit: AuditLog,
    turns: Turns,
    hooks: Hooks,
    /// When it was started.
    since: Instant,
    /// The tasks that serve clients, which end before the others do.
    clients: Tasks,
    /// Cancelled once the node has been shut down.
    ended: CancellationToken,
    /// Why it was, if that was for a licence.
    denied: OnceLock<Denied>,
    limits: Mutex<Limits>,
}

impl Node {
    /// A node of the cluster called `cluster`, yet to be started, with defaults that suit several
    /// nodes on one machine.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), exosphere::Error> {
    /// use exosphere::{Close, Message, Node, Session};
    ///
    /// async fn echo(session: Session, message: Message) -> Result<(), Close> {
    ///     session.send(message).await?;
    ///     Ok(())
    /// }
    ///
    /// let node = Node::builder("echo").route("/echo", echo).start().await?;
    /// node.serve("127.0.0.1:8080").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(cluster: impl Into<String>) -> Builder {
        Builder::new(cluster.into())
    }

    /// The name of this node, which is new at each start.
    pub fn id(&self) -> NodeId {
        self.inner.hub.id()
    }

    /// Where this node's peers reach it.
    pub fn addr(&self) -> SocketAddr {
        self.inner.mesh.addr()
    }

    /// The nodes of the cluster, now and whenever that changes.
    pub fn members(&self) -> Members {
        Members::new(self.inner.mesh.roster())
    }

    /// What happens to the nodes of the cluster from now on: who joins, drains, leaves or dies.
    pub fn member_events(&self) -> MemberEvents {
        MemberEvents::new(self.inner.mesh.events())
    }

    /// The licence that holds for this node now: the best that it has been [given](Builder::license), or
    /// shown by others. `None` if none does, or the node is under no limit.
    pub fn license(&self) -> Option<License> {
        self.inner.mesh.license()
    }

    /// How this node's [store](Builder::store) is; `None` if it has none.
    pub fn store_state(&self) -> Option<StoreState> {
        self.inner.hub.scribe().map(Scribe::state)
    }

    /// What this node found in its [store](Builder::store) when it started; `None` if it has none.
    pub fn recovered(&self) -> Option<Recovered> {
        self.inner.hub.scribe().map(|scribe| scribe.recovered().clone())
    }

    /// The topic called `name`.
    ///
    /// # Errors
    ///
    /// [`InvalidTopicName`] says what is wrong with the name.
    pub fn topic(&self, name: &str) -> Result<Topic, InvalidTopicName> {
        Ok(Topic::new(TopicName::parse(name)?, Arc::clone(&self.inner.hub)))
    }

    /// All topics whose names match `pattern`, in which `*` stands for any text, slashes among it, and
    /// `{name}` for any one segment.
    ///
    /// # Errors
    ///
    /// [`InvalidPattern`] says what is wrong with the pattern.
    pub fn topics(&self, pattern: &str) -> Result<Topics, InvalidPattern> {
        Ok(Topics::new(pattern.parse()?, Arc::clone(&self.inner.hub)))
    }

    /// A receipt for a message that was published on any node of the cluster, to learn from this one
    /// what became of it.
    ///
    /// # Examples
    ///
    /// Why did this user not get that message?
    ///
    /// ```no_run
    /// # fn example(node: exosphere::Node) -> Result<(), Box<dyn std::error::Error>> {
    /// use exosphere::Fate;
    ///
    /// match node.receipt("c3dbc2f09a7e41d5-17".parse()?).report().fate {
    ///     Fate::Pending(pending) => println!("waits for {:?}", pending.waiting),
    ///     Fate::Ended { ending, .. } => println!("{ending:?}"),
    ///     other => println!("this node cannot tell: {other:?}"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn receipt(&self, id: MessageId) -> Receipt {
        Receipt::new(id, Arc::clone(&self.inner.hub))
    }

    /// What became of the messages that this node stored, in all topics, since it was started.
    ///
    /// The topics of single sessions, which carry what is [sent](crate::Session::send) to them, are
    /// among them. Figures of several nodes can be added: see [`Accounting`].
    pub fn accounting(&self) -> Accounting {
        self.inner.hub.with(|core, _| core.accounting())
    }

    /// Looks at what the node knows.
    #[cfg(feature = "sim")]
    #[doc(hidden)]
    pub fn look<T>(&self, look: impl FnOnce(&crate::proto::Core) -> T) -> T {
        self.inner.hub.with(|core, _| look(core))
    }

    /// This node's routes as a service, to be mounted in a server of your own.
    ///
    /// Where there is no route for them, it also serves `/exosphere.js`, a client for pages, and what
    /// belongs to it: `/exosphere.mjs`, the same as a module, and `/exosphere.d.ts`, its types.
    ///
    /// It implements both `tower`'s and `hyper`'s `Service`. The server must allow HTTP/1.1
    /// upgrades, or there are no WebSockets.
    pub fn service(&self) -> NodeService {
        NodeService::http(Arc::clone(&self.inner.server))
    }

    /// Serves what [`service`](Self::service) does on `addr`, and nothing else, until the node has been shut down.
    ///
    /// A host name is looked up, and the first of its addresses that can be had is listened on.
    ///
    /// # Errors
    ///
    /// [`ServeError`] if `addr` cannot be listened on, and the node goes on; or if the node
    /// [has ended](Self::ended) as it was one too many.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops accepting; connections that are open stay open.
    pub async fn serve(&self, addr: impl ToSocketAddrs) -> Result<(), ServeError> {
        self.serve_all(bind(addr)?, self.service(), None).await
    }

    /// Serves over TLS what [`serve`](Self::serve) does, with HTTP/2 for those who can.
    ///
    /// The certificate may be renewed meanwhile: see [`TlsFiles`].
    ///
    /// # Errors
    ///
    /// [`ServeError`] if `addr` cannot be listened on, or the certificate cannot be used. The node
    /// goes on.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops accepting; connections that are open stay open.
    pub async fn serve_tls(
        &self,
        addr: impl ToSocketAddrs,
        files: TlsFiles,
    ) -> Result<(), ServeError> {
        let listener = bind(addr)?;
        let tls = Tls::watch(files, &self.inner.clients)?;
        self.serve_all(listener, self.service(), Some(&tls)).await
    }

    /// Serves what [`service`](Self::service) does on a socket that listens already, until the node is shut down.
    ///
    /// # Errors
    ///
    /// [`ServeError`] if the socket cannot be used. The node goes on.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops accepting; connections that are open stay open.
    pub async fn serve_listener(&self, listener: std::net::TcpListener) -> Result<(), ServeError> {
        self.serve_all(adopt(listener)?, self.service(), None).await
    }

    /// Serves over TLS what [`serve`](Self::serve) does on a socket that listens already.
    ///
    /// # Errors
    ///
    /// [`ServeError`] if the socket or the certificate cannot be used. The node goes on.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops accepting; connections that are open stay open.
    pub async fn serve_listener_tls(
        &self,
        listener: std::net::TcpListener,
        files: TlsFiles,
    ) -> Result<(), ServeError> {
        let listener = adopt(listener)?;
        let tls = Tls::watch(files, &self.inner.clients)?;
        self.serve_all(listener, self.service(), Some(&tls)).await
    }

    /// Waits until the node has ended, by itself or by [`shutdown`](Self::shutdown).
    ///
    /// # Errors
    ///
    /// [`ServeError::MaxLicenses`] if it has ended by itself, as it was one too many.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn ended(&self) -> Result<(), ServeError> {
        self.inner.ended.cancelled().await;
        match self.inner.denied.get() {
            Some(&Denied { max, active, .. }) => Err(ServeError::MaxLicenses { max, active }),
            None => Ok(()),
        }
    }

    /// Ends this node: tells its clients to go to another, waits for its handlers, hands its peers
    /// what they lack, and says goodbye. Harmless if it has ended already.
    ///
    /// Each step takes five seconds at most; what is not done by then is named in a warning.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the node half shut down: call this again to go on.
    pub async fn shutdown(&self) {
        let Inner { hub, mesh, clients, .. } = &*self.inner;
        hub.end_attachments(&Close::new(CloseCode::GoingAway, "the node is shutting down"));
        clients.shutdown(SHUTDOWN_STEP).await;
        mesh.leave(SHUTDOWN_STEP).await;
        hub.tasks().shutdown(SHUTDOWN_STEP).await;
        hub.close_store(SHUTDOWN_STEP).await;
        mesh.close().await;
        self.inner.ended.cancel();
    }
}

impl Node {
    async fn serve_all<S, B>(
        &self,
        listener: tokio::net::TcpListener,
        service: S,
        tls: Option<&Tls>,
    ) -> Result<(), ServeError>
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
        S: Clone + Send + 'static,
        S::Future: Send + 'static,
        B: http_body::Body<Data: Send, Error: Into<Box<dyn StdError + Send + Sync>>>,
        B: Send + Unpin + 'static,
    {
        self.serve_in(listener, service, tls, &self.inner.slots, HttpLimits::default()).await
    }

    /// Serves a service on a socket that listens already, to as many as have room in `slots`.
    async fn serve_in<S, B>(
        &self,
        listener: tokio::net::TcpListener,
        service: S,
        tls: Option<&Tls>,
        slots: &Slots,
        limits: HttpLimits,
    ) -> Result<(), ServeError>
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
        S: Clone + Send + 'static,
        S::Future: Send + 'static,
        B: http_body::Body<Data: Send, Error: Into<Box<dyn StdError + Send + Sync>>>,
        B: Send + Unpin + 'static,
    {
        crate::client::serve(listener, service, tls, slots, &self.inner.clients, limits).await;
        // Who returns from `main` now would cut the shutdown short.
        self.ended().await
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("id", &self.id()).field("addr", &self.addr()).finish()
    }
}

/// Why clients cannot be served, or no longer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address cannot be listened on. The node goes on. Another address, or waiting until it is
    /// free, helps.
    #[error("cannot listen for clients")]
    Bind(#[source] io::Error),
    /// The node was one too many for longer than is allowed, and has ended. Its clients go to others.
    /// One of those that leaves makes room, and so does a licence for more.
    #[error("{}", too_many(*.max, *.active))]
    MaxLicenses {
        /// How many nodes may be active.
        max: u32,
        /// How many are that came before this one.
        active: u32,
    },
    /// The certificate cannot be used. The node goes on. Other files help.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A socket that listens, for the runtime.
fn adopt(listener: std::net::TcpListener) -> Result<tokio::net::TcpListener, ServeError> {
    listener.set_nonblocking(true).map_err(ServeError::Bind)?;
    tokio::net::TcpListener::from_std(listener).map_err(ServeError::Bind)
}

/// The first of the addresses that can be listened on.
fn bind(addr: impl ToSocketAddrs) -> Result<tokio::net::TcpListener, ServeError> {
    let mut bound = Err(io::Error::from(io::ErrorKind::AddrNotAvailable));
    for addr in addr.to_socket_addrs().map_err(ServeError::Bind)? {
        bound = listen(addr);
        if bound.is_ok() {
            break;
        }
    }
    bound.map_err(ServeError::Bind)
}
