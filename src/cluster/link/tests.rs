//! Peers that know the secret and break the rules: the link is closed with the code that the rule
//! has, and the node goes on.

use std::{net::SocketAddr, path::PathBuf};

use quinn::Endpoint;
use rcgen::{CertificateParams, SanType};
use tempfile::TempDir;
use tokio::time::timeout;

use super::*;
use crate::{
    cluster::{
        Mesh, MeshConfig, NodeKey, Security,
        endpoint::Binder,
        identity::{Identity, SERVER_NAME},
        security::Credentials,
    },
    proto::{
        Limits, Position,
        wire::{Proof, ProtocolRange},
    },
    runtime::Tasks,
};

const CLUSTER: &str = "link";
const PATIENCE: Duration = Duration::from_secs(10);
const CONTROL: u8 = 1;
const JOURNAL: u8 = 3;

/// A cluster of a test's own.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn secret(&self) -> PathBuf {
        self.0.path().join("secret")
    }

    async fn node(&self) -> (Arc<Hub>, Mesh) {
        let key = NodeKey::generate();
        let (hub, _) = Hub::new(key.id(), Limits::default(), Tasks::default());
        let hub = Arc::new(hub);
        let mut config = MeshConfig::new(CLUSTER.to_owned());
        config.security = Security::secret_file(self.secret());
        let mesh = Mesh::start(config, key, Arc::clone(&hub)).await.unwrap();
        (hub, mesh)
    }

    /// A connection of a node that has the right keys, and has said nothing yet.
    async fn peer(&self, to: &Mesh) -> Peer {
        self.certified(to, |_| {}).await
    }

    /// The same, with something changed in its certificate.
    async fn certified(&self, to: &Mesh, change: impl FnOnce(&mut CertificateParams)) -> Peer {
        let security = Security::secret_file(self.secret());
        let Credentials { own, .. } = security.load(CLUSTER).unwrap();
        let binder = Binder::new(&Identity::for_tests(&own, change), &own).unwrap();
        let endpoint = binder.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let connection = endpoint.connect(to.addr(), SERVER_NAME).unwrap().await.unwrap();
        let addr = endpoint.local_addr().unwrap();
        let key = NodeKey::generate();
        let proof = key.prove(&Binding::of(&connection, true));
        let hello = Hello::new(CLUSTER, key.id(), addr, Position::new(), proof);
        Peer { _endpoint: endpoint, connection, key, hello, open: Vec::new() }
    }

    /// The same, after both have said hello.
    async fn greeted(&self, to: &Mesh) -> Peer {
        let mut peer = self.peer(to).await;
        let hello = Encoded::hello(&peer.hello).to_bytes();
        peer.say(CONTROL, &hello).await;
        let mut stream = peer.connection.accept_uni().await.unwrap();
        read_code(&mut stream).await.unwrap();
        Frames::new(stream).hello().await.unwrap();
        sees(to, 2).await;
        peer
    }
}

/// A peer that says what a test wants.
struct Peer {
    _endpoint: Endpoint,
    connection: Connection,
    key: NodeKey,
    hello: Hello,
    open: Vec<SendStream>,
}

impl Peer {
    /// Says this at the beginning of a stream, which stays open.
    async fn say(&mut self, lane: u8, bytes: &[u8]) {
        let Ok(mut stream) = self.connection.open_uni().await else {
            return; // It may be closed by then.
        };
        let _ = stream.write_all(&[&[lane], bytes].concat()).await; // It may be closed by then.
        self.open.push(stream);
    }

    /// The code that the node closes the connection with.
    async fn closed(&self) -> u32 {
        match timeout(PATIENCE, self.connection.closed()).await.expect("the link is closed") {
            ConnectionError::ApplicationClosed(close) => {
                u32::try_from(close.error_code.into_inner()).unwrap()
            }
            other => panic!("{other:?}"),
        }
    }
}

async fn sees(mesh: &Mesh, count: usize) {
    let mut roster = mesh.roster();
    let seen = roster.wait_for(|roster| roster.members().len() == count);
    timeout(PATIENCE, seen).await.expect("the members become this many").unwrap();
}

/// A frame of this kind, with this for a header.
fn frame(kind: u8, header: &[u8]) -> Vec<u8> {
    let length = u32::try_from(header.len()).unwrap();
    [&(6 + length).to_be_bytes()[..], &[kind, 0], &length.to_be_bytes(), header].concat()
}

const HAVE: u8 = 2;
const UNKNOWN: u8 = 200;

/// A length that no frame may have.
const OVERSIZED: [u8; 4] = [0xff; 4];

#[tokio::test]
async fn who_does_not_begin_with_a_greeting_is_turned_away() {
    let place = Place::new();
    let (_hub, mesh) = place.node().await;
    for (lane, bytes) in [
        (CONTROL, Encoded::goodbye().to_bytes().to_vec()),
        (CONTROL, frame(UNKNOWN, b"")),
        (CONTROL, frame(HAVE, b"\xc1")),
        (CONTROL, OVERSIZED.to_vec()),
        (JOURNAL, b"".to_vec()),
        (77, b"".to_vec()),
    ] {
        let mut peer = place.peer(&mesh).await;
        peer.say(lane, &bytes).await;
        assert_eq!(peer.closed().await, MALFORMED, "{lane} {bytes:?}");
    }
    let mut peer = place.peer(&mesh).await;
    peer.say(CONTROL, b"").await;
    peer.open[0].finish().unwrap();
    assert_eq!(peer.closed().await, MALFORMED, "nothing at all");

    let _other = place.node().await;
    sees(&mesh, 2).await;
}

#[tokio::test]
async fn who_says_nothing_is_not_waited_for() {
    let place = Place::new();
    let (_hub, mesh) = place.node().await;
    let peer = place.peer(&mesh).await;
    assert_eq!(peer.closed().await, MALFORMED);
    assert_eq!(mesh.roster().borrow().members().len(), 1);
}

/// What is wrong with a greeting, which the node with this key says on this connection.
type Change = fn(&mut Hello, &NodeKey, &Connection);

#[tokio::test]
async fn who_is_not_to_be_talked_with_is_told_why() {
    let place = Place::new();
    let (_hub, mesh) = place.node().await;
    let other = place.greeted(&mesh).await;
    let changes: [(Change, u32); 7] = [
        (|hello, _, _| hello.cluster = "other".to_owned(), 0x21),
        (|hello, _, _| hello.node = NodeId::from_bits(0xc), 0x22),
        (|hello, _, _| hello.proof = Proof::from_bytes([0; Proof::BYTES]), 0x22),
        (|hello, key, own| hello.proof = key.prove(&Binding::of(own, false)), 0x22),
        (|hello, _, own| hello.proof = NodeKey::generate().prove(&Binding::of(own, true)), 0x22),
        (|hello, _, _| hello.protocol = ProtocolRange::new(9, 9), 0x20),
        (|hello, _, _| hello.protocol = ProtocolRange::new(1, 0), 0x20),
    ];
    for (change, code) in changes {
        let mut peer = place.peer(&mesh).await;
        change(&mut peer.hello, &peer.key, &peer.connection);
        let hello = Encoded::hello(&peer.hello).to_bytes();
        peer.say(CONTROL, &hello).await;
        assert_eq!(peer.closed().await, code, "{:?}", peer.hello);
    }
    assert_eq!(mesh.roster().borrow().members().len(), 2);
    assert!(other.connection.close_reason().is_none());
}

#[tokio::test]
async fn who_is_certified_for_something_else_is_turned_away() {
    let place = Place::new();
    let (_hub, mesh) = place.node().await;
    for uri in [None, Some("exo://link/admin"), Some("exo://other/node"), Some("https://link/node")]
    {
        let change = |params: &mut CertificateParams| {
            params.subject_alt_names.truncate(1);
            let uri = uri.map(|uri| SanType::URI(uri.try_into().unwrap()));
            params.subject_alt_names.extend(uri);
        };
        let mut peer = place.certified(&mesh, change).await;
        let hello = Encoded::hello(&peer.hello).to_bytes();
        peer.say(CONTROL, &hello).await;
        assert_eq!(peer.closed().await, NO_IDENTITY, "{uri:?}");
    }
    assert_eq!(mesh.roster().borrow().members().len(), 1);
}

/// What a liar says, who has overheard what another said, and knows where the node is.
type Lie = fn(&mut Hello, &Hello, SocketAddr);

/// Goal: nobody is taken for another who is there, whatever certificate it has.
///
/// Method: say the very greeting of another, which had its proof on its own connection; and say to
/// be where another is.
#[tokio::test]
async fn nobody_takes_the_place_of_another_who_is_there() {
    let place = Place::new();
    let (_hub, mesh) = place.node().await;
    let victim = place.greeted(&mesh).await;
    let lies: [(Lie, u32); 3] = [
        (|hello, victim, _| *hello = victim.clone(), 0x22),
        (|hello, victim, _| hello.addr = victim.addr, 0x24),
        (|hello, _, own| hello.addr = own, 0x24),
    ];
    for (lie, code) in lies {
        let mut liar = place.peer(&mesh).await;
        lie(&mut liar.hello, &victim.hello, mesh.addr());
        let hello = Encoded::hello(&liar.hello).to_bytes();
        liar.say(CONTROL, &hello).await;
        assert_eq!(liar.closed().await, code);
    }
    let roster = mesh.roster().borrow().clone();
    assert_eq!(roster.members().len(), 2);
    assert!(roster.members().iter().any(|member| member.id == victim.hello.node), "{roster}");
    assert!(victim.connection.close_reason().is_none());
}

#[tokio::test]
async fn what_is_no_frame_ends_the_link_and_nothing_else() {
    let place = Place::new();
    let (_hub, mesh) = place.node().await;
    let _other = place.node().await;
    for bytes in [
        frame(HAVE, b"\xc1"),
        frame(HAVE, b""),
        [0; 64].to_vec(),
        OVERSIZED.to_vec(),
        [7, 0, 0, 0].to_vec(),
    ] {
        for lane in 1..=4 {
            sees(&mesh, 2).await;
            let mut peer = place.peer(&mesh).await;
            let hello = Encoded::hello(&peer.hello).to_bytes();
            peer.say(CONTROL, &hello).await;
            sees(&mesh, 3).await;
            if lane == CONTROL {
                peer.open[0].write_all(&bytes).await.unwrap();
            } else {
                peer.say(lane, &bytes).await;
            }
            assert_eq!(peer.closed().await, MALFORMED, "{lane} {bytes:?}");
        }
    }
    sees(&mesh, 2).await;
}

/// Goal: what a later version may say, and gossip that makes no sense, does not end a link.
///
/// Method: say it, then do what must end the link, and see that only this did.
#[tokio::test]
async fn what_is_not_known_is_skipped() {
    let place = Place::new();
    let (hub, mesh) = place.node().await;
    let mut peer = place.greeted(&mesh).await;
    let hello = Encoded::hello(&peer.hello).to_bytes();
    for bytes in [&frame(UNKNOWN, b"\xc1\xc1"), &*hello, &*hello] {
        peer.open[0].write_all(bytes).await.unwrap();
    }
    for lane in [0, 6, 77, 255] {
        peer.say(lane, &[0xff; 100]).await;
    }
    for _ in 0..300 {
        peer.say(lanes::GOSSIP, &[0xff; 100]).await;
        peer.open.pop().unwrap().finish().unwrap();
    }
    peer.say(JOURNAL, &frame(UNKNOWN, b"")).await;
    let have = Position::from_iter([(hub.id(), crate::id::Seq::new(1 << 40))]);
    peer.open[0].write_all(&Encoded::have(&have).to_bytes()).await.unwrap();
    let bad = peer.hello.node;
    let is_read = |hub: &Hub| hub.with(|core, _| core.is_linked(bad));
    assert!(is_read(&hub) && peer.connection.close_reason().is_none());
    assert_eq!(mesh.roster().borrow().members().len(), 2);
    peer.open[0].write_all(&OVERSIZED).await.unwrap();
    assert_eq!(peer.closed().await, MALFORMED);
    sees(&mesh, 1).await;
}

#[tokio::test]
async fn who_leaves_is_gone_at_once_and_another_may_come() {
    let place = Place::new();
    let (_hub, mesh) = place.node().await;
    let peer = place.greeted(&mesh).await;
    peer.connection.close(LEFT.into(), b"left");
    sees(&mesh, 1).await;
    let again = place.greeted(&mesh).await;
    let addr: SocketAddr = again.hello.addr;
    let roster = mesh.roster().borrow().clone();
    assert!(roster.members().iter().any(|member| member.addr == addr), "{roster}");
}
