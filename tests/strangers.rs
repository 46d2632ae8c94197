//! What strangers say to a node, who have neither its secret nor a certificate: it is ignored, counted,
//! and warned of now and then, and the node goes on.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use socket2::{Domain, Socket, Type};
use support::{
    Chat, Client, Mark, PATIENCE, Place, RawSocket, alone, post, publish, sees, spawn, within,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Goal: bytes that mean nothing, on either port, cost a node no memory and no client.
///
/// Method: throw 10,000 datagrams at its port for peers, some of which look like the beginning of a
/// handshake, and at its port for clients 200 connections; then let another node join.
#[tokio::test]
async fn garbage_costs_a_process_no_memory_and_it_goes_on() {
    const MAX_GROWTH: u64 = 48 << 20;
    let _alone = alone().await;
    let place = Place::new("garbage");
    let (chat, second) = (Chat::join(&place).await, Chat::join(&place).await);
    chat.sees(2, Mark::default()).await;
    let mut client = Client::new(chat.http(), "/chat/room").await;
    let mark = chat.mark();
    let before = chat.resident_bytes();
    let mut dice = Dice(1);
    let node: SocketAddr = chat.node().parse().unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for n in 0..10_000 {
        let mut datagram = dice.bytes(1 + n % 1400);
        if n % 3 == 0 {
            // A long header of QUIC's first version.
            datagram.splice(..5.min(datagram.len()), [0xc3, 0, 0, 0, 1]);
            datagram.resize(1200, 0);
        }
        let _ = socket.send_to(&datagram, node); // The system may drop what is too much.
    }
    for n in 0..200 {
        let mut stream = TcpStream::connect(chat.http()).await.unwrap();
        let _ = stream.write_all(&dice.bytes(1 + n * 50)).await; // It may be closed by then.
        if n % 2 == 0 {
            let _ = within(PATIENCE, "an end", stream.read_to_end(&mut Vec::new())).await;
        }
    }
    for n in 0..100 {
        let mut socket = RawSocket::connect(chat.http(), "/chat/room").await;
        socket.send(&dice.bytes(100 + n)).await;
    }
    let grown = chat.resident_bytes().saturating_sub(before);
    println!("grown by {} KiB from {} KiB", grown >> 10, before >> 10);
    assert!(grown < MAX_GROWTH, "{grown} bytes");
    let third = Chat::join(&place).await;
    third.sees(3, Mark::default()).await;
    assert_eq!(post(third.http(), "/chat/room", b"fine").await.status, 200);
    assert_eq!(client.text().await, "fine");
    let said = chat.since(mark);
    let mut warnings: Vec<_> = said.iter().filter(|line| line.contains(" WARN ")).collect();
    // Another test of this machine forges them.
    warnings.retain(|line| !line.contains("beacons are ignored"));
    assert!(warnings.is_empty(), "{warnings:#?}");
    drop(second);
}

/// Numbers that are the same each time (xorshift).
struct Dice(u64);

impl Dice {
    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut roll = || {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 as u8
        };
        (0..count).map(|_| roll()).collect()
    }
}

/// Goal: beacons that are forged, broken or replayed neither hurt a node nor keep it from finding
/// its peers.
///
/// Method: say them to the group on the loopback interface all the time, those that are overheard
/// among them, while two nodes start.
#[tokio::test]
async fn forged_beacons_are_ignored_and_the_nodes_find_each_other() {
    let (heard, own) = (overhear(GROUP), speaker());
    let forging = spawn(async move {
        let mut dice = Dice(2);
        let mut buffer = [0; 2048];
        for n in 0.. {
            let mut forged = dice.bytes(1 + n * 7 % 600);
            match n % 4 {
                // The right magic, version and kind.
                0 => drop(forged.splice(..6.min(forged.len()), *b"EXO1\x01\x01")),
                1 | 2 => {
                    if let Ok(len) = heard.recv(&mut buffer) {
                        forged = buffer[..len].to_vec();
                        if n % 4 == 1 {
                            *forged.last_mut().unwrap() ^= 1;
                        }
                    }
                }
                _ => {}
            }
            let _ = own.send_to(&forged, &GROUP.into());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    let place = Place::new("beacons");
    let start = || place.node().route("/chat/{room}", publish).start();
    let nodes = [start().await.unwrap(), start().await.unwrap()];
    for node in &nodes {
        sees(node, 2).await;
    }
    forging.abort();
    for node in &nodes {
        assert_eq!(node.members().current().members().len(), 2);
    }
}

/// Where nodes of this machine say beacons.
const GROUP: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(239, 192, 57, 1)), 54570);

/// A socket that speaks to the group.
fn speaker() -> Socket {
    let own = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    own.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    own.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
    own.set_multicast_ttl_v4(0).unwrap();
    own
}

/// A socket that hears what is said to the group.
fn overhear(group: SocketAddr) -> UdpSocket {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.bind(&group.into()).unwrap();
    let SocketAddr::V4(group) = group else { unreachable!("it is one of IPv4") };
    socket.join_multicast_v4(group.ip(), &Ipv4Addr::LOCALHOST).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.into()
}

/// Goal: what strangers say again and again is warned of once, with how often it was said.
///
/// Method: a process with a seed whose name does not resolve is told forged beacons, a thousand times.
#[tokio::test]
async fn what_is_wrong_again_and_again_is_warned_of_once() {
    let _alone = alone().await;
    let place = Place::new("again");
    let chat = Chat::join_with(&place, &["--seed", "no-such-host.invalid"]).await;
    chat.logs("addresses of other nodes cannot be found", Mark::default()).await;
    let own = speaker();
    for n in 0..1_000 {
        own.send_to(&[n as u8; 40], &GROUP.into()).unwrap();
    }
    chat.logs("beacons are ignored", Mark::default()).await;
    // Time for more looks at the name, which come every second.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let said = chat.since(Mark::default());
    for warning in ["addresses of other nodes", "beacons are ignored"] {
        let lines: Vec<_> = said.iter().filter(|line| line.contains(warning)).collect();
        assert_eq!(lines.len(), 1, "{said:#?}");
        assert!(lines[0].contains("WARN") && lines[0].contains("times=1"), "{said:#?}");
    }
}
