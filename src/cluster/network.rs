//! The seam below a node's datagrams: the system's sockets, unless a test plays others.
//!
//! All that nodes say to each other is datagrams: of QUIC, and beacons. So who plays these has a
//! whole cluster of real nodes in one thread and in virtual time.

use std::{
    fmt,
    io::{self, IoSliceMut},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use quinn::{
    AsyncUdpSocket, UdpPoller,
    udp::{RecvMeta, Transmit},
};

/// The network of one machine, which is played.
pub trait Network: fmt::Debug + Send + Sync + 'static {
    /// Opens a socket at `addr`. Port 0 is any that is free. At a multicast address there may be
    /// several, each of which hears all that is sent there.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AddrInUse`] if there is one at `addr` already.
    fn bind(&self, addr: SocketAddr) -> io::Result<Arc<dyn Socket>>;
}

/// A socket for datagrams.
pub trait Socket: fmt::Debug + Send + Sync + 'static {
    /// Where it is.
    ///
    /// # Errors
    ///
    /// Those of the system.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// Sends a datagram, without waiting. What cannot be sent now is lost.
    ///
    /// # Errors
    ///
    /// Those of the system. The datagram is lost.
    fn send_to(&self, datagram: &[u8], to: SocketAddr) -> io::Result<()>;

    /// Receives the next datagram into `buffer`, and says how long it is and who sent it. One that is
    /// longer than `buffer` is cut off.
    ///
    /// # Errors
    ///
    /// Those of the system. Nothing was received.
    fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>>;
}

/// A socket that is played, as QUIC wants it.
#[derive(Debug)]
pub(super) struct Played(pub(super) Arc<dyn Socket>);

impl AsyncUdpSocket for Played {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Writable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.0.send_to(transmit.contents, transmit.destination)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut received = 0;
        for (buffer, meta) in buffers.iter_mut().zip(metas) {
            match self.0.poll_receive(cx, buffer)? {
                Poll::Ready((len, addr)) => {
                    *meta = RecvMeta { addr, len, stride: len, ..RecvMeta::default() };
                    received += 1;
                }
                Poll::Pending if received == 0 => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(received))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    fn may_fragment(&self) -> bool {
        false
    }
}

/// Nobody ever waits to send.
#[derive(Debug)]
struct Writable;

impl UdpPoller for Writable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
