//! The two sockets of beacons: one hears what is said to the group, one speaks and is answered.
//!
//! Every node of the machine listens at the same group and port. Each has a socket of its own to
//! speak with, because a datagram to a single address reaches only one of several.
//!
//! Interfaces are named wherever they can be: the loopback interface has no multicast route, so the
//! system would choose another, or none, and of several it would choose one.

use std::{
    collections::BTreeSet,
    future::poll_fn,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    task::{Context, Poll},
};

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::{io::ReadBuf, net::UdpSocket};
use tracing::debug;

use crate::cluster::{
    interfaces::Interfaces,
    network::{self, Network},
};

/// The sockets of one node.
#[derive(Debug)]
pub(super) struct Sockets {
    /// Hears the group.
    group: Arc<dyn network::Socket>,
    /// Speaks, and hears answers.
    own: Arc<dyn network::Socket>,
    /// The two again, if they are the system's.
    system: Option<System>,
}

/// What there is to do with sockets of the system.
#[derive(Debug)]
struct System {
    interfaces: Interfaces,
    group: Arc<UdpSocket>,
    own: Arc<UdpSocket>,
    /// The addresses of the interfaces that both use.
    joined: BTreeSet<Ipv4Addr>,
}

impl Sockets {
    /// Opens both, for beacons from these interfaces; on `network` if there is one, instead of the
    /// system's, which has but one interface.
    pub(super) fn open(interfaces: Interfaces, network: Option<&dyn Network>) -> io::Result<Self> {
        if let Some(network) = network {
            let any = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
            let (group, own) = (network.bind(to_group())?, network.bind(any)?);
            return Ok(Self { group, own, system: None });
        }
        let own = Arc::new(open_own(interfaces == Interfaces::Loopback)?);
        let group = Arc::new(open_group()?);
        let (heard, spoken) = (Arc::clone(&group), Arc::clone(&own));
        let mut system = System { interfaces, group, own, joined: BTreeSet::new() };
        system.look_around()?;
        Ok(Self { group: heard, own: spoken, system: Some(system) })
    }

    /// Uses the interfaces that there are now.
    pub(super) fn look_around(&mut self) -> io::Result<()> {
        self.system.as_mut().map_or(Ok(()), System::look_around)
    }

    /// Whether there is an interface to speak on.
    pub(super) fn reach_somebody(&self) -> bool {
        self.system.as_ref().is_none_or(|system| !system.joined.is_empty())
    }

    /// Waits for a datagram, and says who sent it. A longer one than `buffer` is cut off.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it is ready loses no datagram.
    pub(super) async fn receive<'a>(
        &self,
        group_buffer: &'a mut [u8],
        own_buffer: &'a mut [u8],
    ) -> io::Result<(&'a [u8], SocketAddr)> {
        tokio::select! {
            received = poll_fn(|cx| self.group.poll_receive(cx, group_buffer)) => {
                received.map(|(bytes, from)| (&group_buffer[..bytes], from))
            }
            received = poll_fn(|cx| self.own.poll_receive(cx, own_buffer)) => {
                received.map(|(bytes, from)| (&own_buffer[..bytes], from))
            }
        }
    }

    /// Says something to all nodes, from each interface. What the system does not take now is lost.
    pub(super) fn say(&self, datagram: &[u8]) -> io::Result<()> {
        let Some(system) = &self.system else {
            return self.say_to(datagram, to_group());
        };
        let mut said = Ok(());
        for addr in &system.joined {
            let from_there = SockRef::from(&*system.own).set_multicast_if_v4(addr);
            if let Err(error) = from_there.and_then(|()| self.say_to(datagram, to_group())) {
                said = Err(error);
            }
        }
        said
    }

    /// Says something to one of them.
    pub(super) fn say_to(&self, datagram: &[u8], to: SocketAddr) -> io::Result<()> {
        self.own.send_to(datagram, to)
    }
}

impl System {
    fn look_around(&mut self) -> io::Result<()> {
        let found = self.interfaces.addrs()?;
        self.joined.retain(|addr| found.contains(addr));
        for addr in found {
            match self.group.join_multicast_v4(GROUP, addr) {
                Ok(()) => debug!(%addr, "beacons are heard"),
                // Joined already, which the system forgets only if the interface goes.
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => {
                    debug!(%addr, %error, "no beacons from this interface");
                    continue;
                }
            }
            self.joined.insert(addr);
        }
        Ok(())
    }
}

/// The system's.
impl network::Socket for UdpSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }

    fn send_to(&self, datagram: &[u8], to: SocketAddr) -> io::Result<()> {
        // Not through tokio, which would first have to see the socket writable.
        SockRef::from(self).send_to(datagram, &to.into()).map(drop)
    }

    fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        let mut buffer = ReadBuf::new(buffer);
        self.poll_recv_from(cx, &mut buffer).map_ok(|from| (buffer.filled().len(), from))
    }
}

fn to_group() -> SocketAddr {
    SocketAddr::new(GROUP.into(), GROUP_PORT)
}

fn open_group() -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    #[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
    socket.set_reuse_port(true)?;
    // Or it would hear what comes to interfaces that only another socket has joined.
    #[cfg(target_os = "linux")]
    socket.set_multicast_all_v4(false)?;
    // Bound to the group, the socket hears nothing else that is sent to this port.
    let at: IpAddr = if cfg!(unix) { GROUP.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    socket.bind(&SocketAddr::new(at, GROUP_PORT).into())?;
    into_tokio(socket)
}

fn open_own(is_local: bool) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    // No beacon leaves the machine, or the network.
    let (at, ttl) = match is_local {
        true => (Ipv4Addr::LOCALHOST, 0),
        false => (Ipv4Addr::UNSPECIFIED, 1),
    };
    socket.bind(&SocketAddr::new(at.into(), 0).into())?;
    socket.set_multicast_loop_v4(true)?;
    socket.set_multicast_ttl_v4(ttl)?;
    into_tokio(socket)
}

fn into_tokio(socket: Socket) -> io::Result<UdpSocket> {
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}

/// The group, out of those that are for use within an organization (RFC 2365).
pub(crate) const GROUP: Ipv4Addr = Ipv4Addr::new(239, 192, 57, 1);

const GROUP_PORT: u16 = 54570;
