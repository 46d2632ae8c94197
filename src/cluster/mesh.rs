//! The links of a node: who is dialed, which connection is sent on, and who is a member.
//!
//! One task owns it all; connections, dialers, gossip and discovery send it events. A peer may have
//! two connections for a while, when both nodes dialed each other. Frames are accepted from either;
//! the one that the lower node id opened is sent on, and whoever opened the other closes it after a
//! moment. Operations are numbered, so that changing over loses and repeats nothing.

mod dials;
mod peers;
mod renewal;
mod run;
mod shown;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use quinn::{ClientConfig, Endpoint};
use thiserror::Error;
use tokio::sync::{broadcast, mpsc, watch};
use tracing::{Span, debug, info_span};

use self::shown::Shown;
use super::{
    Discovery, NodeKey, Security, Sighting,
    address::Address,
    beacon,
    discovery::Way,
    endpoint::{BindError, Binder, FIRST_PORT, PORTS},
    gossip::{Gossip, GossipTraffic},
    interfaces::Interfaces,
    keys::Keys,
    link::LEFT,
    link_stats::LinkStats,
    membership::Membership,
    network::Network,
    questions::{Answerer, AskError, Questions},
    scout::Scout,
    security::{Credentials, SecurityError},
    seeds::{self, InvalidSeed, Seed, Source},
    warden::{Licensed, Permit, Warden},
    warnings::Warnings,
};
use crate::{
    id::NodeId,
    license::{License, Terms},
    proto::{
        Announcement, InvalidAnnouncement, Member, MemberEvent, MemberState, Position, Roster,
        wire::{Hello, Proof, ProtocolRange},
    },
    runtime::{Hub, clock},
};

/// How long a node that starts waits for a first peer.
const FIRST_PEER_PATIENCE: Duration = Duration::from_millis(400);

/// Where a node listens that is told nothing.
const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// How many events of each kind wait for the mesh.
const MAX_WAITING: usize = 256;

/// How a node is to be reached, and how it is to find its peers.
#[derive(Clone, Debug)]
pub(crate) struct MeshConfig {
    pub(crate) cluster: String,
    pub(crate) bind: Option<SocketAddr>,
    pub(crate) advertise: Option<SocketAddr>,
    pub(crate) discoveries: Vec<Discovery>,
    pub(crate) seeds: Vec<String>,
    pub(crate) security: Security,
    pub(crate) announcement: Announcement,
    pub(crate) licensing: Terms,
    /// What it is played on, if it is.
    pub(crate) network: Option<Arc<dyn Network>>,
}

impl MeshConfig {
    /// The defaults for a node of `cluster`.
    pub(crate) fn new(cluster: String) -> Self {
        Self {
            cluster,
            bind: None,
            advertise: None,
            discoveries: Vec::new(),
            seeds: Vec::new(),
            security: Security::default(),
            announcement: Announcement::default(),
            licensing: Terms::default(),
            network: None,
        }
    }

    /// What to say beacons on, and what to look up.
    fn ways(&self) -> Result<(Vec<Interfaces>, Vec<Source>), MeshError> {
        let (mut interfaces, mut sources) = (Vec::new(), Vec::new());
        for seed in &self.seeds {
            sources.push(Source::Seed(parse_seed(seed)?));
        }
        for Discovery(way) in &self.discoveries {
            match way {
                Way::Loopback => interfaces.push(Interfaces::Loopback),
                Way::Multicast(on) => interfaces.push(on.clone()),
                Way::Seeds(seeds) => {
                    for seed in seeds {
                        sources.push(Source::Seed(parse_seed(seed)?));
                    }
                }
                Way::Dns(name) => sources.push(Source::Seed(parse_seed(name)?.or_first_port())),
                Way::Own(own) => sources.push(Source::Own(Arc::clone(own))),
            }
        }
        Ok((interfaces, sources))
    }

    /// Where to listen, if it matters, and where peers reach that, once nothing speaks against it.
    async fn address(&self, sources: &[Source]) -> Result<Address, MeshError> {
        let bound = self.bind.map_or(LOCAL, |addr| addr.ip());
        let exposed = [self.bind, self.advertise].into_iter().flatten();
        let exposed = exposed.into_iter().find(|addr| !addr.ip().is_loopback());
        if let Some(addr) = exposed.filter(|_| !self.security.is_shared()) {
            return Err(MeshError::NoSecret { addr });
        }
        let seeds = sources.iter().filter_map(|source| match source {
            Source::Seed(seed) => Some(seed.clone()),
            Source::Own(_) => None,
        });
        let seeds: Vec<_> = seeds.collect();
        let unspecified = self.advertise.or(self.bind);
        let unspecified = unspecified.unwrap_or(SocketAddr::new(LOCAL, FIRST_PORT));
        let found = Address::find(bound, self.advertise, &seeds).await;
        found.ok_or(MeshError::Unspecified { addr: unspecified })
    }

    /// What to say beacons on that tell of `addr`, if others can use what they say, and it is sealed.
    fn check_beacons(
        &self,
        mut interfaces: Vec<Interfaces>,
        addr: SocketAddr,
        are_sealed: bool,
    ) -> Result<Vec<Interfaces>, MeshError> {
        let go_out = interfaces.iter().any(|on| *on != Interfaces::Loopback);
        let is_local = addr.ip().is_loopback();
        if go_out && !(are_sealed && self.security.is_shared()) {
            return Err(MeshError::NoSeal);
        }
        if is_local && interfaces.contains(&Interfaces::All) {
            return Err(MeshError::Unreachable { addr });
        }
        if is_local && self.discoveries.is_empty() {
            interfaces.push(Interfaces::Loopback);
        }
        Ok(interfaces)
    }

    async fn credentials(&self) -> Result<Credentials, MeshError> {
        if self.network.is_some() {
            // Virtual time does not wait for other threads.
            return Ok(self.security.load(&self.cluster)?);
        }
        let (security, cluster) = (self.security.clone(), self.cluster.clone());
        // Files are read, and a passphrase takes its time.
        let loading = tokio::task::spawn_blocking(move || security.load(&cluster));
        Ok(loading.await.map_err(transport)??)
    }
    /// Who sees to it that `node` keeps to its limit, if it is under one.
    fn warden(&self, node: NodeId) -> Option<Warden> {
        let (now, calendar) = (clock::now(), clock::calendar());
        let terms = self.licensing.limits().then(|| self.licensing.clone())?;
        Some(Warden::new(node, terms, &self.cluster, now, calendar))
    }
}

/// Why a node has no links. Nothing was started.
#[derive(Debug, Error)]
pub(crate) enum MeshError {
    #[error(transparent)]
    Announcement(#[from] InvalidAnnouncement),
    #[error("cannot listen for peers on {addr}")]
    Bind { addr: SocketAddr, source: io::Error },
    #[error("{addr} is reachable from other machines, but there is no secret of theirs")]
    NoSecret { addr: SocketAddr },
    #[error(transparent)]
    Security(#[from] SecurityError),
    #[error("{seed:?} is no seed")]
    Seed { seed: String, source: InvalidSeed },
    #[error("there is no secret that nodes of other machines have, to seal beacons with")]
    NoSeal,
    #[error("nodes of other machines cannot reach {addr}")]
    Unreachable { addr: SocketAddr },
    #[error("peers cannot be told to dial {addr}")]
    Unspecified { addr: SocketAddr },
    #[error("the transport cannot be set up")]
    Transport(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The links of a node.
pub(crate) struct Mesh {
    shared: Arc<Shared>,
    announcement: Mutex<Announcement>,
    roster: watch::Receiver<Roster>,
    events: broadcast::Receiver<MemberEvent>,
    /// How many nodes may be active, if that is limited.
    limit: Option<Licensed>,
    cookie_keys: Vec<[u8; 32]>,
    security: &'static str,
}

/// What every task of the mesh may need.
struct Shared {
    hub: Arc<Hub>,
    endpoint: Endpoint,
    /// How peers are dialed, which changes with the node's certificate.
    dialing: Mutex<ClientConfig>,
    cluster: String,
    key: NodeKey,
    addr: SocketAddr,
    protocol: ProtocolRange,
    gossip: Arc<Gossip>,
    questions: Arc<Questions>,
    warnings: Arc<Warnings>,
}

impl Shared {
    /// What this node says of itself when a link begins.
    fn hello(&self, proof: Proof) -> Hello {
        let have: Position = self.hub.with(|core, _| core.replica().applied().clone());
        Hello::new(&self.cluster, self.key.id(), self.addr, have, proof).speaking(self.protocol)
    }
}

impl Mesh {
    /// Binds the node's socket, and begins to look for its peers. The node's id is that of `key`.
    pub(crate) async fn start(
        config: MeshConfig,
        key: NodeKey,
        hub: Arc<Hub>,
    ) -> Result<Self, MeshError> {
        let (interfaces, sources) = config.ways()?;
        let address = config.address(&sources).await?;
        config.announcement.check()?;
        let Credentials { identity, shared: keys, own, files } = config.credentials().await?;
        let cookie_keys = keys.iter().map(Keys::cookies).collect();
        let binder = Binder::new(&identity, &own).map_err(transport)?;
        let binder = binder.on(config.network.clone()).reached_at(address);
        let endpoint = bind(&binder, config.bind)?;
        let addr = address.of(endpoint.local_addr().map_err(transport)?);
        let interfaces = config.check_beacons(interfaces, addr, !keys.is_empty())?;

        let tasks = hub.tasks();
        let (sightings, sighted) = mpsc::channel::<Sighting>(MAX_WAITING);
        let (outgoing, gossip_out) = mpsc::channel::<(SocketAddr, Bytes)>(MAX_WAITING);
        let warden = config.warden(hub.id());
        let mut announcement = config.announcement;
        if warden.is_some() {
            announcement.state = MemberState::Joining;
        }
        let gossip =
            Gossip::start(hub.id(), &config.cluster, addr, &announcement, outgoing, tasks).await;
        let gossip = Arc::new(gossip);
        let warnings = Arc::<Warnings>::default();
        let scout = Scout {
            sightings,
            members: gossip.members(),
            warnings: Arc::clone(&warnings),
            tasks: tasks.clone(),
            network: config.network,
        };
        for on in interfaces {
            beacon::start(hub.id(), addr, keys.clone(), on, scout.clone());
        }
        seeds::start(sources, &scout);

        let security = config.security.name();
        let limit = warden.as_ref().map(Warden::licensed);
        let shared = Arc::new(Shared {
            hub: Arc::clone(&hub),
            endpoint,
            dialing: Mutex::new(binder.dialing()),
            cluster: config.cluster,
            key,
            addr,
            protocol: announcement.protocol,
            gossip,
            questions: Arc::new(Questions::new()),
            warnings,
        });
        if let Some(files) = files {
            let renewing = renewal::run(Arc::clone(&shared), files);
            tasks.spawn(info_span!(parent: Span::current(), "certificate"), renewing);
        }
        let this = Member::new(hub.id(), addr, Some(Arc::new(announcement.clone())));
        let shown = Shown::new(Roster::new(this, []));
        let (mut roster, events) = (shown.roster(), shown.events());
        let span = info_span!(parent: Span::current(), "mesh");
        let running = run::run(Arc::clone(&shared), sighted, gossip_out, shown, warden);
        tasks.spawn(span, running);
        if tokio::time::timeout(FIRST_PEER_PATIENCE, roster.changed()).await.is_err() {
            debug!("no peer yet");
        }
        let announcement = Mutex::new(announcement);
        Ok(Self { shared, announcement, roster, events, limit, cookie_keys, security })
    }

    /// Where peers reach this node.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.shared.addr
    }

    /// The cluster's name.
    pub(crate) fn cluster(&self) -> &str {
        &self.shared.cluster
    }

    /// How nodes prove that they belong together, in a word.
    pub(crate) fn security(&self) -> &'static str {
        self.security
    }

    /// The keys that seal the cookies of browsers, which are the same on every node: the first seals,
    /// what any has sealed is opened. There are none where nodes have no secret.
    pub(crate) fn cookie_keys(&self) -> &[[u8; 32]] {
        &self.cookie_keys
    }

    /// The live nodes, now and whenever that changes.
    pub(crate) fn roster(&self) -> watch::Receiver<Roster> {
        self.roster.clone()
    }

    /// What happens to the nodes from now on.
    pub(crate) fn events(&self) -> broadcast::Receiver<MemberEvent> {
        self.events.resubscribe()
    }

    /// Who answers what peers ask, from now on.
    pub(crate) fn set_answerer(&self, answerer: Arc<dyn Answerer>) {
        self.shared.questions.set_answerer(answerer);
    }

    /// Asks a peer. See [`Answerer`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes nothing back: the peer may do what it was asked for.
    pub(crate) async fn ask(&self, peer: NodeId, question: Bytes) -> Result<Bytes, AskError> {
        self.shared.questions.ask(peer, question).await
    }

    /// The links to peers, as they are now.
    pub(crate) fn links(&self) -> Vec<LinkStats> {
        let links = self.shared.questions.links();
        links.into_iter().map(|(peer, connection)| LinkStats::of(peer, &connection)).collect()
    }

    /// How much gossip there was.
    #[cfg_attr(not(feature = "control"), allow(dead_code, reason = "nobody watches"))]
    pub(crate) fn gossip_traffic(&self) -> GossipTraffic {
        self.shared.gossip.traffic()
    }

    /// What this node says of itself.
    pub(crate) fn announcement(&self) -> Announcement {
        self.announcement.lock().clone()
    }

    /// The licence that holds for this node, if one does.
    pub(crate) fn license(&self) -> Option<License> {
        self.limit.as_ref()?.license.borrow().clone()
    }

    /// The licence that holds for this node, now and whenever that changes; nothing if it is under no
    /// limit.
    #[cfg_attr(not(feature = "control"), allow(dead_code, reason = "nobody watches"))]
    pub(crate) fn licenses(&self) -> Option<watch::Receiver<Option<License>>> {
        self.limit.as_ref().map(|limit| limit.license.clone())
    }

    /// Whether this node may serve clients, now and whenever that changes; nothing if it is under no
    /// limit.
    pub(crate) fn permits(&self) -> Option<watch::Receiver<Permit>> {
        self.limit.as_ref().map(|limit| limit.permits.clone())
    }

    /// Tells all others that this node has this state from now on.
    pub(crate) async fn announce(&self, state: MemberState) {
        let announcement = {
            let mut announcement = self.announcement.lock();
            announcement.state = state;
            announcement.clone()
        };
        self.shared.gossip.announce(&announcement).await;
    }

    /// Accepts nothing more, hands peers what they lack, and says goodbye. Waits for each for `patience` at the most.
    pub(crate) async fn leave(&self, patience: Duration) {
        self.shared.hub.with(|core, _| core.begin_leaving());
        let handed_over = self.shared.hub.until(crate::proto::Core::is_handed_over);
        if tokio::time::timeout(patience, handed_over).await.is_err() {
            tracing::warn!("some peers do not have all that this node has");
        }
        self.shared.hub.with(|core, _| core.say_goodbye());
        let _ = tokio::time::timeout(patience, self.shared.gossip.leave()).await;
    }

    /// Closes every connection, and waits until peers have heard of it.
    pub(crate) async fn close(&self) {
        self.shared.endpoint.close(LEFT.into(), b"left");
        let _ = tokio::time::timeout(FIRST_PEER_PATIENCE, self.shared.endpoint.wait_idle()).await;
    }
}

fn parse_seed(seed: &str) -> Result<Seed, MeshError> {
    seed.parse().map_err(|source| MeshError::Seed { seed: seed.to_owned(), source })
}

fn bind(binder: &Binder, addr: Option<SocketAddr>) -> Result<Endpoint, MeshError> {
    let bound = match addr {
        Some(addr) => binder.bind(addr),
        None => binder.bind_first_free(LOCAL, FIRST_PORT, PORTS),
    };
    bound.map_err(|err| match err {
        BindError::Io { addr, source } => MeshError::Bind { addr, source },
        taken @ (BindError::Taken { .. } | BindError::AllTaken { .. }) => {
            let addr = addr.unwrap_or_else(|| SocketAddr::new(LOCAL, FIRST_PORT));
            MeshError::Bind { addr, source: io::Error::new(io::ErrorKind::AddrInUse, taken) }
        }
    })
}

fn transport(err: impl std::error::Error + Send + Sync + 'static) -> MeshError {
    MeshError::Transport(Box::new(err))
}
