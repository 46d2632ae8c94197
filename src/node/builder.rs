//! How a node is to be, and how it starts.

mod swappable;

use std::{
    fmt,
    future::Future,
    net::SocketAddr,
    num::NonZeroU32,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use http::{Response, request::Parts};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info_span};

use super::{
    Hooks, Inner, Limits, Node, StartError, hooks::LogFilter, licensing, opening::Opened,
    question::Desk,
};
use crate::{
    client::{Admission, Authenticate, Bodies, Cookies, Hosts, Reception, Room, Server, Slots},
    cluster::{Discovery, Mesh, MeshConfig, NodeKey, Security},
    handler::Handler,
    id::Principal,
    license::{License, PublicKey},
    proto::{self, Durability, FlightLimits, SlowConsumers},
    route::{Route, Routes, Table},
    runtime::{Front, Hub, Named, Tasks, clock},
    websocket::WebSocketHandler,
};

/// The longest a cluster's name may be, in bytes.
const MAX_CLUSTER_BYTES: usize = 64;

/// How a node is to be. See [`Node::builder`].
///
/// Everything has a default. Mistakes are reported by [`start`](Self::start), and only there.
#[must_use = "a builder does nothing until `start`"]
pub struct Builder {
    mesh: MeshConfig,
    admission: Admission,
    authenticate: Option<Authenticate>,
    gives_cookies: bool,
    routes: Table,
    limits: Limits,
    core: proto::Limits,
    filters: Vec<Named>,
    store: Option<PathBuf>,
    hooks: Hooks,
    mistake: Option<StartError>,
}

impl Builder {
    pub(super) fn new(cluster: String) -> Self {
        let mistake = check_cluster(&cluster).err();
        let mesh = MeshConfig::new(cluster);
        let (routes, limits) = (Table::default(), Limits::default());
        let admission = Admission {
            origins: Vec::new(),
            hosts: Hosts::default(),
            gone_give_way: false,
            scripts: false,
            bodies: Bodies::new(limits.posted_bytes),
            parking: Room::new(limits.parked_polls),
        };
        Self {
            mesh,
            admission,
            authenticate: None,
            gives_cookies: false,
            routes,
            limits,
            core: proto::Limits::default(),
            filters: Vec::new(),
            store: None,
            hooks: Hooks::default(),
            mistake,
        }
    }

    /// Lets `handler` have the sessions of clients that connect to `path`.
    ///
    /// A segment `{name}` stands for any one segment, and `{*name}` at the end for all that follow;
    /// see [`Session::param`](crate::Session::param). Each concrete path is a topic of its own.
    pub fn route(mut self, path: &str, handler: impl Handler) -> Self {
        self.insert(path, Route::sessions(path, Arc::new(handler)));
        self
    }

    /// Lets `handler` have the bare WebSockets of clients that connect to `path`, which may have
    /// parameters as that of a [`route`](Self::route). Nothing else is served there.
    ///
    /// They keep the rules and limits of all others: who may connect, how many, how long a client may
    /// be silent, and how much may wait for it.
    pub fn websocket(mut self, path: &str, handler: impl WebSocketHandler) -> Self {
        self.insert(path, Route::WebSockets(Arc::new(handler)));
        self
    }

    fn insert(&mut self, path: &str, route: Route) {
        if let Err(err) = self.routes.insert(path, route) {
            self.mistake.get_or_insert_with(|| err.into());
        }
    }

    /// Where this node listens for its peers: one UDP port. Port 0 is any that is free.
    ///
    /// Defaults to the first free port of 127.0.0.1 from 5701 on. An address that is not a loopback
    /// one needs a [`security`](Self::security) that all nodes can have.
    pub fn bind(mut self, addr: impl Into<SocketAddr>) -> Self {
        self.mesh.bind = Some(addr.into());
        self
    }

    /// Where its peers reach it, if that is not where it listens, as behind a translator of addresses.
    /// Port 0 is the one that it listens on.
    ///
    /// Defaults to the address that it listens on. If that stands for all of the machine's, as
    /// `0.0.0.0` and `[::]` do, it is the one from which the machine would send to a seed, or else to
    /// [`Discovery::multicast`], or else the first that is no loopback address.
    pub fn advertise(mut self, addr: impl Into<SocketAddr>) -> Self {
        self.mesh.advertise = Some(addr.into());
        self
    }

    /// A way to find the other nodes. May be given many times, of whatever kinds.
    ///
    /// Defaults to [`Discovery::loopback`] where the node is reached at a loopback address, and to
    /// none elsewhere; who gives one is not given that beside it.
    pub fn discover(mut self, discovery: Discovery) -> Self {
        self.mesh.discoveries.push(discovery);
        self
    }

    /// A peer to ask for the others, as `host` or `host:port`, beside whatever else there is to
    /// [`discover`](Self::discover) them. May be given many times. See [`Discovery::seeds`].
    pub fn seed(mut self, seed: impl Into<String>) -> Self {
        self.mesh.seeds.push(seed.into());
        self
    }

    /// How this node proves to others that it is one of the cluster's, and they to it. Defaults to
    /// [`Security::auto`].
    pub fn security(mut self, security: Security) -> Self {
        self.mesh.security = security;
        self
    }

    /// Short for a [`security`](Self::security) of [`Security::secret_file`].
    pub fn secret_file(self, path: impl Into<PathBuf>) -> Self {
        self.security(Security::secret_file(path))
    }

    /// What this node is for, in the application's words: see [`Member::role`](crate::Member::role).
    /// All nodes are told. 1 to 48 letters, digits or any of `-_./:@+`.
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.mesh.announcement.role = Some(role.into());
        self
    }

    /// What all nodes are to know of this one, such as the zone that it runs in: see
    /// [`Member::tags`](crate::Member::tags). At most 8, whose names and values are written as a
    /// [`role`](Self::role).
    pub fn tag(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.mesh.announcement.tags.insert(name.into(), value.into());
        self
    }

    /// Where clients can reach this very node, without a path: `https://a.chat.example:8443`. So that
    /// the clients of a node that [drains](crate::Node::drain) can be told where to go. Defaults to none:
    /// they find another by themselves.
    pub fn public_url(mut self, url: impl Into<String>) -> Self {
        self.mesh.announcement.url = Some(url.into());
        self
    }

    /// An origin, such as `https://chat.example`, whose pages may connect beside those that this
    /// node's own host serves. May be given many times. Defaults to none.
    pub fn allow_origin(mut self, origin: impl Into<String>) -> Self {
        self.admission.origins.push(origin.into());
        self
    }

    /// A host that this node answers for, as a client names it: `chat.example`, `.chat.example` for
    /// it and all below it, or `*` for all. May be given many times.
    ///
    /// `localhost`, what ends in `.localhost`, and addresses are always answered for. Defaults to
    /// nothing else where clients connect to a loopback address, and to everything elsewhere and
    /// where the node is mounted in a server of yours: otherwise a page of anybody's could reach
    /// the node on your machine, by a name that stands for 127.0.0.1 (DNS rebinding). So behind a
    /// proxy on the same machine that passes on the host it is asked for, name that host here.
    pub fn allow_host(mut self, host: impl Into<String>) -> Self {
        if let Err(host) = self.admission.hosts.allow(host.into()) {
            self.mistake.get_or_insert(StartError::InvalidHost { host });
        }
        self
    }

    /// Whether clients may poll by loading scripts (JSONP), as pages of old do that can do nothing
    /// else. Defaults to not: any page at all can read what comes so.
    pub fn jsonp(mut self, is_allowed: bool) -> Self {
        self.admission.scripts = is_allowed;
        self
    }

    /// Asks the application who makes a request, before anything comes of it. The answer may be the
    /// client's [`Principal`]; `None` for anybody; or a response, which is all that the client gets.
    ///
    /// A session belongs to the principal of the request that began it, whichever node it goes to:
    /// for all others it is as if there was none of its id. So who signs in, or out, begins anew. It
    /// is asked for each request, of whatever transport: once for a WebSocket or a stream, however
    /// long that lasts, and for each poll and POST. Pages are asked for their origin before.
    ///
    /// Without this, a client is who the `Principal` says that a layer in front of the node has put
    /// into the request's extensions, and anybody if there is none. gRPC clients are asked the same
    /// way, but for gRPC's own health and reflection. A page of another origin shows a cookie only if it
    /// asks with credentials, by every transport that it uses.
    ///
    /// # Examples
    ///
    /// ```
    /// use bytes::Bytes;
    /// use exosphere::{Node, Principal};
    /// use http::{Response, StatusCode, header, request::Parts};
    ///
    /// async fn authenticate(request: Parts) -> Result<Option<Principal>, Response<Bytes>> {
    ///     let token = request.headers.get(header::AUTHORIZATION);
    ///     match token.map(|token| token.as_bytes()) {
    ///         None => Ok(None),
    ///         Some(b"Bearer of-alice") => Ok(Principal::new("alice").ok()),
    ///         Some(_) => {
    ///             let mut refused = Response::new(Bytes::new());
    ///             *refused.status_mut() = StatusCode::FORBIDDEN;
    ///             Err(refused)
    ///         }
    ///     }
    /// }
    ///
    /// let builder = Node::builder("chat").authenticate(authenticate);
    /// # drop(builder);
    /// ```
    pub fn authenticate<F, Fut>(mut self, authenticate: F) -> Self
    where
        F: Fn(Parts) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Option<Principal>, Response<Bytes>>> + Send + 'static,
    {
        self.authenticate = Some(Box::new(move |request| Box::pin(authenticate(request))));
        self
    }

    /// Whether browsers are given a cookie, by which their sessions are bound to them. Defaults to
    /// not.
    ///
    /// The cookie says which browser it is, sealed by a key that every node of the cluster has, which
    /// comes of its secret: with certificates, there must be one to [seal](Security::sealing). A
    /// session that was begun by a request with a cookie is found only by requests with the same,
    /// whoever knows its id. Who shows none yet is given one with the answer that begins its session,
    /// which is not bound, as it may be a program, or a page, whose requests carry no cookies; the next
    /// one is. Scripts cannot read it (`HttpOnly`), it is forgotten with the browser's windows, and
    /// is sent by pages of the same site; by those of other sites only over TLS, and if
    /// [`allow_origin`](Self::allow_origin) has named an origin: then pages of those must ask with
    /// credentials by every transport that they use (`withCredentials`, `credentials: "include"`), or
    /// they lose their sessions when they go from one to the other. Of two tabs that both come without
    /// a cookie at once, the one whose cookie the other's replaces begins anew when it comes back.
    pub fn browser_cookies(mut self, are_given: bool) -> Self {
        self.gives_cookies = are_given;
        self
    }

    /// How much this node takes and keeps, and for how long, in place of all that was said of that before.
    /// They can be [changed](crate::Node::set_limits) while it runs.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How many clients may be connected to this node at a time. Further ones are answered by 503.
    ///
    /// Defaults to 100,000. Each costs a file descriptor, of which the system may allow fewer: then
    /// further ones wait. It is not counted who connects to a server of yours that the node is mounted
    /// in, unless the node [serves](crate::Node::serve_app) that.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.limits.connections = connections;
        self
    }

    /// How many plain long polls, as of `curl`, may wait at a time. Further ones are answered at once, by
    /// what there is, or by 204 with a `Retry-After`. Stock clients are not counted.
    ///
    /// Defaults to 50,000. Each holds the buffers of its connection.
    pub fn max_parked_polls(mut self, polls: usize) -> Self {
        self.limits.parked_polls = polls;
        self
    }

    /// How many bytes the bodies of all requests may have together that this node has received and
    /// not answered. One for which there is no room is answered by 503: waiting helps.
    ///
    /// Defaults to 64 MiB. A body has at most 1 MiB, so less than that refuses some for ever.
    pub fn max_posted_bytes(mut self, bytes: usize) -> Self {
        self.limits.posted_bytes = bytes;
        self
    }

    /// How many sessions the cluster may have before this node begins no more. New clients are
    /// answered by 503 then, and those that have a session are served on. A few more may begin at
    /// the very same moment.
    ///
    /// Defaults to 1,000,000. Every node keeps every session, in about 500 bytes.
    pub fn max_sessions(mut self, sessions: usize) -> Self {
        self.limits.sessions = sessions;
        self
    }

    /// How many topics this node may have, those of single sessions apart. Beyond that, it publishes
    /// to no new one, and lets nobody join one.
    ///
    /// Defaults to 100,000. A topic is gone when it has neither sessions nor messages.
    pub fn max_topics(mut self, topics: usize) -> Self {
        self.limits.topics = topics;
        self
    }

    /// What becomes of a client that is connected to this node, and does not read as fast as is
    /// published, once a limit of its topic or of all topics drops a message that it was to get.
    /// Defaults to [`SlowConsumers::Gap`].
    ///
    /// A client that is closed comes back at once, mostly: it costs a handshake each time, and what
    /// is told of a gap is the same.
    pub fn slow_consumers(mut self, policy: SlowConsumers) -> Self {
        self.core.slow_consumers = policy;
        self
    }

    /// How much this node remembers of what happened, to [explain](crate::Node::explain) why a session
    /// got a message or did not: how many things that happened to sessions, and how many messages that
    /// were handed to clients' connections, or confirmed. At a limit the oldest is forgotten.
    ///
    /// Defaults to 32,768 and 65,536, which take some 100 and 48 bytes each, as they are used: 6 MiB in
    /// all. With zeros nothing is remembered, and less can be explained.
    pub fn flight_recorder(mut self, sessions: usize, deliveries: usize) -> Self {
        self.core.flight = FlightLimits { sessions, deliveries };
        self
    }

    /// How well a client's push is stored before it is acknowledged. Defaults to
    /// [`Durability::Replicated(1)`](Durability::Replicated).
    pub fn durability(mut self, durability: Durability) -> Self {
        self.core.durability = durability;
        self
    }

    /// The directory in which this node stores what happens, so that a cluster which is killed as a
    /// whole, and started again on its directories, delivers what it had accepted. It is made if it
    /// is missing, and is one node's at a time.
    ///
    /// A node takes over what it finds there, which may be another's. It is a new node all the same:
    /// the sessions in there are kept for as long as those of a node that has died. It costs up to
    /// four times as much disk as the node's messages and sessions take, and 256 MiB.
    ///
    /// If the disk fails, or is full, the node goes on in memory: see
    /// [`Node::store_state`](crate::Node::store_state). Defaults to none: what happens is in memory
    /// only.
    pub fn store(mut self, path: impl Into<PathBuf>) -> Self {
        self.store = Some(path.into());
        self
    }

    /// The licence that this cluster has: no more nodes are active than it is for. Defaults to none.
    ///
    /// The best licence that a node has, of a vendor that others trust, holds for them too; licences are
    /// not added up. One that has ended, with its days of grace, stops no node that runs: no further
    /// one starts but the first of a cluster, which always may. A node that comes to see too many others,
    /// as when a partition heals, gives way after 30 s if it was the last to come: see
    /// [`Node::ended`](crate::Node::ended). From 30 days before its end on, nodes warn of that in their
    /// logs. With a licence it takes two seconds more to start, or three.
    pub fn license(mut self, license: License) -> Self {
        self.mesh.licensing.license = Some(license);
        self
    }

    /// How many nodes may be active in a cluster in which none has a licence of one of `vendors`, whose
    /// public keys the application has in it. One always may. Defaults to any number: a node with
    /// neither this nor a [`license`](Self::license) is under no limit, and not counted by others.
    pub fn max_unlicensed_nodes(
        mut self,
        nodes: u32,
        vendors: impl IntoIterator<Item = PublicKey>,
    ) -> Self {
        self.mesh.licensing.unlicensed = Some(NonZeroU32::new(nodes).unwrap_or(NonZeroU32::MIN));
        self.mesh.licensing.vendors.extend(vendors);
        self
    }

    /// Whether a node that is one too many waits until there is a place for it, instead of not
    /// starting: then [`start`](Self::start) takes as long as that. Defaults to not.
    ///
    /// Meanwhile it is a member that keeps a copy of everything, and has no clients. A place is free at
    /// once when a node leaves, and after a minute when one dies. A cluster all of whose further nodes
    /// were refused is gone with those that were not; one whose further nodes wait goes on.
    pub fn standby(mut self, waits: bool) -> Self {
        self.mesh.licensing.waits = waits;
        self
    }

    /// Which log lines the application writes, and what sets that: an operator asks for it with a
    /// filter, as `info,exosphere=debug`, which the application's own subscriber of `tracing`
    /// understands. Operators are shown `in_force` until `set` has taken another. Defaults to none:
    /// then operators are told that there is none.
    ///
    /// # Errors
    ///
    /// What `set` returns as an error, the operator is told.
    pub fn on_log_filter<F>(mut self, in_force: impl Into<String>, set: F) -> Self
    where
        F: Fn(&str) -> Result<(), String> + Send + Sync + 'static,
    {
        self.hooks.log_filter = Some(LogFilter::new(in_force.into(), Box::new(set)));
        self
    }

    /// What is done beside, when an operator asks that configuration is loaded again: the files of
    /// certificates are looked at in any case. It should not take long: `reload` is called on a
    /// thread that serves others. Defaults to nothing.
    ///
    /// # Errors
    ///
    /// What `reload` returns as an error, the operator is told.
    pub fn on_reload<F>(mut self, reload: F) -> Self
    where
        F: Fn() -> Result<(), String> + Send + Sync + 'static,
    {
        self.hooks.reload = Some(Box::new(reload));
        self
    }

    /// What the node's datagrams go over, instead of the system's network.
    #[cfg(feature = "sim")]
    #[doc(hidden)]
    pub fn network(mut self, network: Arc<dyn crate::cluster::network::Network>) -> Self {
        self.mesh.network = Some(network);
        self
    }

    /// Lets the node speak these versions of the protocol between nodes, and as a later one would.
    #[cfg(feature = "sim")]
    #[doc(hidden)]
    pub fn protocol(mut self, protocol: crate::proto::wire::ProtocolRange) -> Self {
        self.mesh.announcement.protocol = protocol;
        self
    }

    /// Starts the node: binds its socket, and looks for its peers.
    ///
    /// Returns once the node can be used and has had a moment to find a peer: a second at most, three with
    /// a [`license`](Self::license), and longer only on [`standby`](Self::standby).
    ///
    /// # Errors
    ///
    /// [`StartError`] says which setting is wrong, or that there are nodes enough. Nothing keeps running.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it is ready stops what was started.
    pub async fn start(self) -> Result<Node, StartError> {
        if let Some(mistake) = self.mistake {
            return Err(mistake);
        }
        self.limits.check()?;
        let key = NodeKey::generate();
        let id = key.id();
        let span = info_span!("node", id = %id.short());
        let (tasks, clients) = (Tasks::default(), Tasks::default());
        let stop = StopOnDrop(Some(tasks.clone()));
        let (hub, duties) = Hub::new(id, self.limits.of_core(&self.core), tasks.clone());
        let hub = Arc::new(hub);
        hub.filters().set(self.filters);
        let store = match self.store {
            Some(path) => Some(Opened::open(path, &self.mesh.cluster, &hub, &span).await?),
            None => None,
        };
        let mesh = Mesh::start(self.mesh, key, Arc::clone(&hub)).instrument(span.clone()).await?;
        if let Some(store) = store {
            store.begin(&hub, &span)?;
        }
        let routes = Arc::new(Routes::new(self.routes, Arc::clone(&hub), clients.clone()));

        let are_foreign = !self.admission.origins.is_empty();
        // Read in any case: another node may have given them.
        let cookies = Cookies::new(mesh.cookie_keys(), are_foreign);
        if self.gives_cookies && cookies.is_none() {
            return Err(StartError::NothingToSeal { what: "the cookies of browsers" });
        }
        let (authenticate, gives_cookies) = (self.authenticate, self.gives_cookies);
        let reception = Arc::new(Reception { authenticate, cookies, gives_cookies });
        let swept = Arc::clone(&hub);
        tasks.spawn(span.clone(), async move { swept.sweep().await });
        tasks.spawn(span.clone(), Arc::clone(&routes).attend(duties));
        #[cfg(feature = "grpc")]
        let grpc = {
            let routes: Arc<Routes> = Arc::clone(&routes);
            let (hub, reception) = (Arc::clone(&hub), Arc::clone(&reception));
            Arc::new(crate::client::Grpc::new(hub, routes, clients.clone(), reception))
        };
        let front = Arc::clone(&routes) as Arc<dyn Front>;
        let server =
            Server::new(Arc::clone(&hub), front, clients.clone(), self.admission, reception, span);
        let server = Arc::new(server);
        let (slots, ended) = (Slots::new(self.limits.connections), CancellationToken::new());
        let inner = Inner {
            hub,
            mesh,
            server,
            routes,
            #[cfg(feature = "grpc")]
            grpc,
            slots,
            audit: super::AuditLog::default(),
            turns: super::Turns::default(),
            hooks: self.hooks,
            since: clock::now(),
            clients,
            ended,
            denied: OnceLock::new(),
            limits: Mutex::default(),
        };
        let node = Node { inner: Arc::new(inner) };
        node.inner.mesh.set_answerer(Arc::new(Desk(Arc::downgrade(&node.inner))));
        node.set_limits(self.limits)?;
        licensing::admit(&node).await?;
        stop.disarm();
        Ok(node)
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("mesh", &self.mesh).finish_non_exhaustive()
    }
}

/// Stops the tasks of a node that did not come to be.
struct StopOnDrop(Option<Tasks>);

impl StopOnDrop {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        if let Some(tasks) = &self.0 {
            tasks.cancel();
        }
    }
}

fn check_cluster(name: &str) -> Result<(), StartError> {
    let is_valid = (1..=MAX_CLUSTER_BYTES).contains(&name.len());
    match is_valid && !name.chars().any(char::is_control) {
        true => Ok(()),
        false => Err(StartError::InvalidCluster { name: name.to_owned() }),
    }
}
