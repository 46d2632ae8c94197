//! The one UDP port of a node, on which it dials its peers and is dialed by them.
//!
//! Which port is free is decided by binding it: nothing is asked before, and no two nodes share
//! one. A node that is killed and started again at the same address answers the packets that peers
//! still send to its former self with a stateless reset, so that they know at once.

use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    ops::Range,
    sync::Arc,
    time::Duration,
};

use quinn::{
    AsyncUdpSocket, ClientConfig, ConnectionError, Endpoint, EndpointConfig, Incoming, Runtime,
    ServerConfig, TokioRuntime, TransportConfig, VarInt,
};
use quinn_proto::HashedConnectionIdGenerator;
use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;
use tracing::debug;

use crate::cluster::{
    address::Address,
    identity::{Identity, IdentityError},
    keys::Keys,
    network::{Network, Played},
};

/// What is needed to open the endpoint of a node.
#[derive(Debug)]
pub(crate) struct Binder {
    server: ServerConfig,
    client: ClientConfig,
    keys: Keys,
    address: Address,
    /// Instead of the system's.
    network: Option<Arc<dyn Network>>,
}

impl Binder {
    /// Opens endpoints for the node with this identity.
    pub(crate) fn new(identity: &Identity, keys: &Keys) -> Result<Self, IdentityError> {
        let (server, client) = (server_config(identity)?, client_config(identity)?);
        Ok(Self { server, client, keys: keys.clone(), address: Address::default(), network: None })
    }

    /// Opens them on `network`, if there is one, instead of the system's.
    pub(crate) fn on(self, network: Option<Arc<dyn Network>>) -> Self {
        Self { network, ..self }
    }

    /// Peers reach its endpoints here, instead of where they are bound.
    pub(crate) fn reached_at(self, address: Address) -> Self {
        Self { address, ..self }
    }

    /// How its endpoints dial.
    pub(crate) fn dialing(&self) -> ClientConfig {
        self.client.clone()
    }

    /// Opens the endpoint at `addr`. Port 0 is any that is free.
    pub(crate) fn bind(&self, addr: SocketAddr) -> Result<Endpoint, BindError> {
        let bound = self.socket(addr).and_then(|socket| self.endpoint(socket));
        bound.map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::Taken { addr },
            _ => BindError::Io { addr, source },
        })
    }

    /// Opens the endpoint at the first of `ports` ports, from `first` upward, that is free.
    pub(crate) fn bind_first_free(
        &self,
        ip: IpAddr,
        first: u16,
        ports: u16,
    ) -> Result<Endpoint, BindError> {
        for port in first..=first.saturating_add(ports.saturating_sub(1)) {
            match self.bind(SocketAddr::new(ip, port)) {
                Err(BindError::Taken { .. }) => {}
                other => return other,
            }
        }
        Err(BindError::AllTaken { ip, first, ports })
    }

    fn socket(&self, addr: SocketAddr) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        match &self.network {
            None => TokioRuntime.wrap_udp_socket(open(addr)?),
            Some(network) => Ok(Arc::new(Played(network.bind(addr)?))),
        }
    }

    fn endpoint(&self, socket: Arc<dyn AsyncUdpSocket>) -> io::Result<Endpoint> {
        let config = self.endpoint_config(socket.local_addr()?);
        let (server, runtime) = (Some(self.server.clone()), Arc::new(TokioRuntime));
        let mut endpoint = Endpoint::new_with_abstract_socket(config, server, socket, runtime)?;
        endpoint.set_default_client_config(self.client.clone());
        Ok(endpoint)
    }

    fn endpoint_config(&self, addr: SocketAddr) -> EndpointConfig {
        // Two nodes must not have the same reset key, so it is not that of `0.0.0.0`, which is the same
        // on every machine.
        let addr = self.address.of(addr);
        let connection_ids = self.keys.connection_ids(addr);
        let mut config = EndpointConfig::new(Arc::new(self.keys.reset(addr)));
        config
            .cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(connection_ids)));
        config
    }
}

/// Shows another identity from now on to who dials `endpoint`. Returns how to dial with it.
pub(crate) fn renew(
    endpoint: &Endpoint,
    identity: &Identity,
) -> Result<ClientConfig, IdentityError> {
    let (server, client) = (server_config(identity)?, client_config(identity)?);
    endpoint.set_server_config(Some(server));
    Ok(client)
}

/// Whether a connection did not come to be because one end does not accept what the other shows.
pub(crate) fn is_unacceptable(error: &ConnectionError) -> bool {
    let code = match error {
        ConnectionError::TransportError(error) => error.code,
        ConnectionError::ConnectionClosed(close) => close.error_code,
        _ => return false,
    };
    TLS_ALERTS.contains(&code.into())
}

/// The codes that QUIC has for the alerts of TLS (RFC 9001, section 4.8).
const TLS_ALERTS: Range<u64> = 0x100..0x200;

/// What to do with who wants to begin a handshake.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Admission {
    /// Let it begin.
    Accept,
    /// Let it prove first that its address is real: [`Incoming::retry`] costs it a round trip, and
    /// us nothing.
    Retry,
    /// Say nothing: it asks again in a moment, when there may be room.
    Ignore,
}

impl Admission {
    /// What to do while `in_flight` other handshakes are under way.
    pub(crate) fn of(incoming: &Incoming, in_flight: usize) -> Self {
        let is_validated = incoming.remote_address_validated() || !incoming.may_retry();
        Self::decide(is_validated, in_flight)
    }

    fn decide(is_validated: bool, in_flight: usize) -> Self {
        match is_validated {
            false if in_flight >= UNVALIDATED_HANDSHAKES => Self::Retry,
            _ if in_flight >= MAX_HANDSHAKES => Self::Ignore,
            _ => Self::Accept,
        }
    }
}

/// Opens the socket, for this process alone.
fn open(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.ip() == IpAddr::from([0u16; 8]) {
        // Where the system cannot do both families, one has to do.
        let _ = socket.set_only_v6(false);
    }
    socket.bind(&addr.into())?;
    // The system may grant less, which costs throughput under bursts and nothing else.
    let _ = socket.set_recv_buffer_size(SOCKET_BYTES);
    let _ = socket.set_send_buffer_size(SOCKET_BYTES);
    debug!(%addr, receive = ?socket.recv_buffer_size(), send = ?socket.send_buffer_size(), "bound");
    Ok(socket.into())
}

fn server_config(identity: &Identity) -> Result<ServerConfig, IdentityError> {
    let mut config = ServerConfig::with_crypto(Arc::new(identity.server_config()?));
    config
        .transport_config(Arc::new(transport_config()))
        .migration(false)
        .max_incoming(MAX_INCOMING)
        .incoming_buffer_size(INCOMING_BYTES)
        .incoming_buffer_size_total(INCOMING_BYTES * 64);
    Ok(config)
}

fn client_config(identity: &Identity) -> Result<ClientConfig, IdentityError> {
    let mut config = ClientConfig::new(Arc::new(identity.client_config()?));
    config.transport_config(Arc::new(transport_config()));
    Ok(config)
}

fn transport_config() -> TransportConfig {
    let mut config = TransportConfig::default();
    let idle = IDLE_TIMEOUT.try_into().expect("it is far below the limit");
    config
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .initial_rtt(INITIAL_RTT)
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(WINDOW_BYTES))
        .send_window(SEND_WINDOW_BYTES)
        .max_concurrent_uni_streams(VarInt::from_u32(MAX_UNI_STREAMS))
        .max_concurrent_bidi_streams(VarInt::from_u32(MAX_BIDI_STREAMS))
        .datagram_receive_buffer_size(Some(DATAGRAM_BYTES))
        .datagram_send_buffer_size(DATAGRAM_BYTES);
    config
}

/// Why a node has no endpoint. Nothing is bound, and the node was not started.
#[derive(Debug, Error)]
pub(crate) enum BindError {
    /// Trying again helps once the other process has ended.
    #[error("another process listens on UDP {addr}")]
    Taken {
        /// The address.
        addr: SocketAddr,
    },
    /// Trying again helps once one of those processes has ended, or from another port on.
    #[error("all {ports} UDP ports of {ip} from {first} on are taken")]
    AllTaken {
        /// The address.
        ip: IpAddr,
        /// The first port that was tried.
        first: u16,
        /// How many were tried.
        ports: u16,
    },
    /// Trying again helps only once the address is one of this machine's.
    #[error("UDP {addr} cannot be listened on")]
    Io {
        /// The address.
        addr: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

/// The port that a node tries first, and that a seed without a port has first.
pub(crate) const FIRST_PORT: u16 = 5701;

/// How many ports a node tries, one after the other, until one is free.
pub(crate) const PORTS: u16 = 100;

/// How long a silent peer is believed to be there. It is dialed again if it turns up later.
///
/// Gossip tells who is alive, but not of a peer that it has only just met: that one's death is seen
/// by this alone, and should be within two seconds too.
const IDLE_TIMEOUT: Duration = Duration::from_millis(1_600);

/// How often an otherwise silent connection is used, so that three losses are survived.
const KEEP_ALIVE: Duration = Duration::from_millis(400);

/// What a round trip is assumed to take until the first is measured: that of a local network.
const INITIAL_RTT: Duration = Duration::from_millis(20);

/// How much a peer may send on one stream beyond what was read.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;

/// How much a peer may send on all streams beyond what was read: the memory it can cost us.
const WINDOW_BYTES: u32 = 32 << 20;

/// How much is kept for a peer that did not acknowledge it. At the limit, writers wait.
const SEND_WINDOW_BYTES: u64 = 16 << 20;

/// How many one-way streams a peer may have open. At the limit, it waits.
const MAX_UNI_STREAMS: u32 = 256;

/// How many two-way streams a peer may have open. At the limit, it waits.
const MAX_BIDI_STREAMS: u32 = 16;

/// How much of unread datagrams is kept. At the limit, the oldest go.
const DATAGRAM_BYTES: usize = 256 << 10;

/// How many handshakes may wait to be accepted. At the limit, further ones are refused.
const MAX_INCOMING: usize = 1024;

/// How much a peer may send before its handshake is accepted. Beyond it, packets are dropped.
const INCOMING_BYTES: u64 = 64 << 10;

/// How many handshakes may be under way before their addresses have to be proved.
const UNVALIDATED_HANDSHAKES: usize = 64;

/// How many handshakes may be under way at all. At the limit, further ones are not answered until
/// some have ended, which takes two seconds at most.
const MAX_HANDSHAKES: usize = 256;

/// The buffers that the system is asked for, in each direction.
const SOCKET_BYTES: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use quinn::{Connection, ConnectionError};
    use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, SanType, date_time_ymd};
    use tokio::time::timeout;

    use super::*;
    use crate::cluster::{
        identity::{SERVER_NAME, check_peer},
        node_key::{self, Binding, NodeKey},
        secret::Secret,
    };

    const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    fn keys(secret: u8, cluster: &str) -> Keys {
        Keys::derive(&Secret::from_bytes(vec![secret; 32]).unwrap(), cluster)
    }

    fn binder(secret: u8, cluster: &str) -> Binder {
        let keys = keys(secret, cluster);
        let identity = Identity::derive(std::slice::from_ref(&keys)).unwrap();
        Binder::new(&identity, &keys).unwrap()
    }

    async fn connect(from: &Endpoint, to: &Endpoint) -> Result<Connection, ConnectionError> {
        from.connect(to.local_addr().unwrap(), SERVER_NAME).unwrap().await
    }

    async fn accept(endpoint: &Endpoint) -> Result<Connection, ConnectionError> {
        endpoint.accept().await.expect("the endpoint is open").await
    }

    #[tokio::test]
    async fn members_connect_and_can_prove_who_they_are() {
        let a = binder(1, "chat room").bind(LOCAL).unwrap();
        let b = binder(1, "chat room").bind(LOCAL).unwrap();
        let (dialed, accepted) = tokio::join!(connect(&a, &b), accept(&b));
        let (dialed, accepted) = (dialed.unwrap(), accepted.unwrap());
        for end in [&dialed, &accepted] {
            assert_eq!(check_peer(end, "chat room"), Ok(()));
            assert!(check_peer(end, "chat").is_err());
        }
        let key = NodeKey::generate();
        let proof = key.prove(&Binding::of(&dialed, true));
        assert_eq!(node_key::verify(&proof, &Binding::of(&accepted, true)), Some(key.id()));
        let echoed = node_key::verify(&proof, &Binding::of(&dialed, false));
        assert_eq!(echoed, None, "what one end has proved, the other cannot send back");
    }

    /// Goal: while a secret is changed, those who show the new one and those who show the old one
    /// are one cluster, as long as each accepts both.
    #[tokio::test]
    async fn a_secret_can_be_changed_while_nodes_run() {
        let binder = |secrets: &[u8]| {
            let keys: Vec<_> = secrets.iter().map(|&secret| keys(secret, "chat")).collect();
            Binder::new(&Identity::derive(&keys).unwrap(), &keys[0]).unwrap().bind(LOCAL).unwrap()
        };
        let (old, both, new) = (binder(&[1]), binder(&[1, 2]), binder(&[2, 1]));
        for (from, to, is_one) in [
            (&old, &both, true),
            (&both, &old, true),
            (&both, &new, true),
            (&new, &both, true),
            (&old, &new, false),
            (&new, &old, false),
            (&new, &binder(&[2]), true),
        ] {
            let (dialed, accepted) = tokio::join!(connect(from, to), accept(to));
            assert_eq!(dialed.is_ok() && accepted.is_ok(), is_one);
            let errors = [dialed.err(), accepted.err()].into_iter().flatten();
            assert!(errors.into_iter().all(|error| is_unacceptable(&error)));
        }
    }

    #[tokio::test]
    async fn who_has_another_secret_or_cluster_is_refused() {
        let b = binder(1, "chat").bind(LOCAL).unwrap();
        for stranger in [binder(2, "chat"), binder(1, "game")] {
            let a = stranger.bind(LOCAL).unwrap();
            let (dialed, accepted) = tokio::join!(connect(&a, &b), accept(&b));
            assert!(dialed.is_err());
            assert!(accepted.is_err());
        }
    }

    /// Goal: what the right authority has issued is refused if it is not valid now, or not for this.
    #[tokio::test]
    async fn who_has_a_certificate_that_is_not_good_is_refused() {
        let changes: [fn(&mut CertificateParams); 4] = [
            |params| params.not_after = date_time_ymd(2020, 1, 2),
            |params| params.not_before = date_time_ymd(2119, 12, 31),
            |params| params.subject_alt_names.retain(|name| !matches!(name, SanType::DnsName(_))),
            |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning],
        ];
        for (at, change) in changes.into_iter().enumerate() {
            let (keys, good) = (keys(1, "chat"), binder(1, "chat").bind(LOCAL).unwrap());
            let bad = Binder::new(&Identity::for_tests(&keys, change), &keys).unwrap();
            let bad = bad.bind(LOCAL).unwrap();
            let (dialed, accepted) = tokio::join!(connect(&good, &bad), accept(&bad));
            assert!(dialed.as_ref().is_err_and(is_unacceptable) && accepted.is_err(), "{at}");
            // Who dials is not asked for a name.
            let is_let_in = at == 2;
            let (_, accepted) = tokio::join!(connect(&bad, &good), accept(&good));
            assert_eq!(accepted.as_ref().is_err_and(is_unacceptable), !is_let_in, "{at}");
        }
    }

    /// Goal: a member does not let in who shows no certificate, even if that one asks no questions.
    #[tokio::test]
    async fn who_shows_no_certificate_is_refused() {
        let b = binder(1, "chat").bind(LOCAL).unwrap();
        let a = binder(2, "chat").bind(LOCAL).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        let identity = Identity::derive(&[keys(1, "chat")]).unwrap();
        roots.add(identity.authority_for_tests()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"exo/1".to_vec()];
        let tls = quinn::crypto::rustls::QuicClientConfig::try_from(tls).unwrap();
        let config = ClientConfig::new(Arc::new(tls));
        let dial = a.connect_with(config, b.local_addr().unwrap(), SERVER_NAME).unwrap();
        let (_, accepted) = tokio::join!(dial, accept(&b));
        assert!(accepted.is_err());
    }

    #[test]
    fn there_are_never_too_many_handshakes() {
        let decide = Admission::decide;
        assert_eq!(decide(false, UNVALIDATED_HANDSHAKES - 1), Admission::Accept);
        assert_eq!(decide(false, UNVALIDATED_HANDSHAKES), Admission::Retry);
        assert_eq!(decide(true, MAX_HANDSHAKES - 1), Admission::Accept);
        assert_eq!(decide(true, MAX_HANDSHAKES), Admission::Ignore);
        assert_eq!(decide(false, MAX_HANDSHAKES), Admission::Retry, "it is not under way yet");
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_said_to_be() {
        let binder = binder(1, "chat");
        let first = binder.bind(LOCAL).unwrap();
        let addr = first.local_addr().unwrap();
        assert!(
            matches!(binder.bind(addr), Err(BindError::Taken { addr: taken }) if taken == addr)
        );
    }

    #[tokio::test]
    async fn the_first_free_port_is_found_by_binding() {
        let binder = binder(1, "chat");
        let socket = UdpSocket::bind(LOCAL).unwrap();
        let taken = socket.local_addr().unwrap();
        let found = binder.bind_first_free(taken.ip(), taken.port(), 50).unwrap();
        assert!(found.local_addr().unwrap().port() > taken.port());
        let none = binder.bind_first_free(taken.ip(), taken.port(), 1);
        assert!(matches!(none, Err(BindError::AllTaken { ports: 1, .. })));
    }

    /// Goal: a node that is killed and comes back at its address is known to have gone at once.
    ///
    /// Method: forget an endpoint without a word, as a kill does, and bind another in its place.
    #[tokio::test]
    async fn a_restart_on_the_same_port_is_seen_at_once() {
        let a = binder(1, "chat").bind(LOCAL).unwrap();
        let (addr, mut child) = serve_in_a_process("0").await;
        let connection = a.connect(addr, SERVER_NAME).unwrap().await.unwrap();
        // Until the handshake is over on both sides, a reset is not understood.
        connection.accept_uni().await.unwrap();
        child.kill().await.unwrap();
        let (again, _child) = serve_in_a_process(&addr.port().to_string()).await;
        assert_eq!(again, addr);
        let gone = timeout(IDLE_TIMEOUT * 2, connection.closed()).await;
        assert!(matches!(gone, Ok(ConnectionError::Reset)), "{gone:?}");
    }

    /// Runs the test below in a process of its own, as a node at this port. Returns its address.
    async fn serve_in_a_process(port: &str) -> (SocketAddr, tokio::process::Child) {
        use tokio::io::{AsyncBufReadExt, BufReader};

        let mut child = tokio::process::Command::new(std::env::current_exe().unwrap())
            .args(["--nocapture", "serves_until_it_is_killed_if_told_a_port"])
            .env(PORT, port)
            .stdout(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some((_, addr)) = line.split_once("serving=") {
                return (addr.parse().unwrap(), child);
            }
        }
        panic!("the process ended");
    }

    const PORT: &str = "EXOSPHERE_TEST_PORT";

    #[tokio::test]
    async fn serves_until_it_is_killed_if_told_a_port() {
        let Ok(port) = std::env::var(PORT) else { return };
        let addr = SocketAddr::new(LOCAL.ip(), port.parse().unwrap());
        let endpoint = binder(1, "chat").bind(addr).unwrap();
        println!("serving={}", endpoint.local_addr().unwrap());
        let mut connections = Vec::new();
        while let Some(incoming) = endpoint.accept().await {
            let connection = incoming.await.unwrap();
            let mut stream = connection.open_uni().await.unwrap();
            stream.write_all(b"hello").await.unwrap();
            connections.push((connection, stream));
        }
    }
}
