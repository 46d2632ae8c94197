//! The two sockets of beacons: one hears what is said to the group, one speaks and is answered.
//!
//! Every node of the machine listens at the same group and port. Each has a socket of its own to
//! speak with, because a datagram to a single address reaches only one of several.
//!
//! The loopback interface is named wherever it can be: it has no multicast route, so the system
//! would choose another interface, or none.

use std::{
    future::poll_fn,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    task::{Context, Poll},
};

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::{io::ReadBuf, net::UdpSocket};

use crate::cluster::network::{self, Network};

/// The sockets of one node.
#[derive(Debug)]
pub(super) struct Sockets {
    /// Hears the group.
    group: Arc<dyn network::Socket>,
    /// Speaks, and hears answers.
    own: Arc<dyn network::Socket>,
}

impl Sockets {
    /// Opens both, on `network` if there is one, instead of the system's.
    pub(super) fn open(network: Option<&dyn Network>) -> io::Result<Self> {
        match network {
            None => Ok(Self { group: Arc::new(open_group()?), own: Arc::new(open_own()?) }),
            Some(network) => {
                let any = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
                Ok(Self { group: network.bind(to_group())?, own: network.bind(any)? })
            }
        }
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

    /// Says something to all nodes of the machine. What the system does not take now is lost.
    pub(super) fn say(&self, datagram: &[u8]) -> io::Result<()> {
        self.say_to(datagram, to_group())
    }

    /// Says something to one of them.
    pub(super) fn say_to(&self, datagram: &[u8], to: SocketAddr) -> io::Result<()> {
        self.own.send_to(datagram, to)
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
    // Bound to the group, the socket hears nothing else that is sent to this port.
    let at: IpAddr = if cfg!(unix) { GROUP.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    socket.bind(&SocketAddr::new(at, GROUP_PORT).into())?;
    socket.join_multicast_v4(&GROUP, &Ipv4Addr::LOCALHOST)?;
    into_tokio(socket)
}

fn open_own() -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.bind(&SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0).into())?;
    socket.set_multicast_if_v4(&Ipv4Addr::LOCALHOST)?;
    socket.set_multicast_loop_v4(true)?;
    // No beacon leaves the machine.
    socket.set_multicast_ttl_v4(0)?;
    into_tokio(socket)
}

fn into_tokio(socket: Socket) -> io::Result<UdpSocket> {
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket.into())
}

/// The group, out of those that are for use within an organization (RFC 2365).
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 192, 57, 1);

const GROUP_PORT: u16 = 54570;
