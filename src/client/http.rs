//! The HTTP server: who connects is served, over HTTP/1.1 with upgrades or over HTTP/2.
//!
//! Which of the two a client speaks is seen from its first bytes, which HTTP/2 fixes. They are
//! looked at, not taken, so that after an upgrade the connection is a bare [`TcpStream`].

mod chunks;
mod loan;
mod version1;
mod watched;

use std::{
    convert::Infallible,
    error::Error as StdError,
    future::Future,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{Request, Response};
use http_body::Body;
use hyper::{
    body::Incoming,
    rt::Executor,
    server::conn::http2,
    service::{Service, service_fn},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use tracing::{Span, debug, debug_span, warn};

pub(super) use loan::{GoesOn, is_kept};
pub(super) use watched::Watched;

use super::{Slots, Tls, tls};
use crate::runtime::Tasks;

/// What clients may ask of the server before they are known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// How long a client may take for the head of a request, counted from when it could begin it.
    /// So this is also how long a connection is kept with no request on it. Defaults to 10 s.
    pub(crate) head_patience: Duration,
    /// How many bytes the head of a request may have. Defaults to 16 KiB; more is answered by 431.
    pub(crate) head_bytes: usize,
    /// How many headers a request may have. Defaults to 64; more is answered by 431.
    pub(crate) headers: usize,
    /// How many requests may be under way on one HTTP/2 connection. Defaults to 100; more wait. If it is
    /// 0, HTTP/1.1 is spoken only.
    pub(crate) streams: u32,
    /// How long requests may go on once the node shuts down. Defaults to 10 s.
    pub(crate) shutdown_patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_patience: Duration::from_secs(10),
            head_bytes: 16 * 1024,
            headers: 64,
            streams: 100,
            shutdown_patience: Duration::from_secs(10),
        }
    }
}

/// Takes an address to serve on. Must be called on the runtime.
///
/// # Errors
///
/// What the system says, such as that the address is in use.
pub(crate) fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // Or a node that starts again has to wait for the connections of its predecessor.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Serves everyone who connects, until the node shuts down; then requests under way may end.
///
/// # Cancel safety
///
/// Dropping the future stops accepting, and leaves alone who is connected.
pub(crate) async fn serve<S, B>(
    listener: TcpListener,
    service: S,
    tls: Option<&Tls>,
    slots: &Slots,
    tasks: &Tasks,
    limits: Limits,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn StdError + Send + Sync>>> + Send + Unpin + 'static,
{
    let mut refused = 0;
    loop {
        let accepted = tokio::select! {
            biased;
            () = tasks.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                refused = 0;
                let span = debug_span!("http", %peer);
                let Some(slot) = slots.take(&stream, tls.is_some()) else {
                    tasks.spawn(span, slots.clone().refuse(stream));
                    continue;
                };
                // What is asked tells where it came in, and an upgrade takes the place with it.
                let service = service.clone();
                let placed = service_fn(move |mut request: Request<Incoming>| {
                    request.extensions_mut().insert(slot.clone());
                    service.call(request)
                });
                if let Err(error) = configure(&stream) {
                    debug!(%error, "cannot configure the connection");
                }
                let tasks = tasks.clone();
                match tls.map(|tls| tls.acceptor(limits.streams > 0)) {
                    None => tasks.clone().spawn(span, serve_plain(stream, placed, tasks, limits)),
                    Some(acceptor) => {
                        let secured =
                            serve_secured(acceptor, stream, placed, tasks.clone(), limits);
                        tasks.spawn(span, secured);
                    }
                }
            }
            Err(error) if is_of_one_client(&error) => debug!(%error, "a client gave up"),
            Err(error) => {
                refused += 1;
                let pause = ACCEPT_PAUSE.saturating_mul(refused).min(MAX_ACCEPT_PAUSE);
                warn!(%error, ?pause, "cannot accept connections");
                tokio::select! {
                    biased;
                    () = tasks.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
            }
        }
    }
}

/// Whether an error of accepting is about the one connection. Otherwise it will come again at
/// once: there are no more file descriptors, or there is no more memory.
fn is_of_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Serves a connection that is as it comes. The client's first bytes tell what it speaks.
async fn serve_plain<S, B>(stream: TcpStream, service: S, tasks: Tasks, limits: Limits)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn StdError + Send + Sync>>> + Send + Unpin + 'static,
{
    if limits.streams == 0 {
        return serve_connection(stream, false, service, tasks, limits).await;
    }
    let spoken = tokio::select! {
        biased;
        () = tasks.cancelled() => return,
        spoken = tokio::time::timeout(limits.head_patience, speaks_http2(&stream)) => spoken,
    };
    match spoken {
        Ok(Ok(is_http2)) => serve_connection(stream, is_http2, service, tasks, limits).await,
        Ok(Err(error)) => debug!(%error, "closed"),
        Err(_) => debug!("closed, as the client says nothing"),
    }
}

/// Serves a connection over TLS, whose handshake tells what is spoken.
async fn serve_secured<S, B>(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    service: S,
    tasks: Tasks,
    limits: Limits,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn StdError + Send + Sync>>> + Send + Unpin + 'static,
{
    let shaken = tokio::select! {
        biased;
        () = tasks.cancelled() => return,
        shaken = tokio::time::timeout(limits.head_patience, acceptor.accept(stream)) => shaken,
    };
    match shaken {
        Ok(Ok(stream)) => {
            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(tls::HTTP2);
            serve_connection(stream, is_http2, service, tasks, limits).await;
        }
        Ok(Err(error)) => debug!(%error, "no handshake"),
        Err(_) => debug!("closed, as the client does not shake hands"),
    }
}

async fn serve_connection<IO, S, B>(
    stream: IO,
    is_http2: bool,
    service: S,
    tasks: Tasks,
    limits: Limits,
) where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn StdError + Send + Sync>>> + Send + Unpin + 'static,
{
    let served = if is_http2 {
        let asked = Arc::new(AtomicBool::new(false));
        let noted = Arc::clone(&asked);
        let noting = service_fn(move |request| {
            noted.store(true, Ordering::Relaxed);
            service.call(request)
        });
        let connection = http2(&tasks, limits).serve_connection(TokioIo::new(stream), noting);
        let mut connection = pin!(connection);
        let serving = drive(connection.as_mut(), |it| it.graceful_shutdown(), &tasks, limits);
        tokio::select! {
            biased;
            served = serving => served.map(|served| served.map_err(Into::into)),
            () = silent(&asked, limits) => return debug!("closed, as the client asks nothing"),
        }
    } else {
        version1::serve(stream, service, &tasks, limits).await
    };
    match served {
        Some(Ok(())) => {}
        Some(Err(error)) => debug!(%error, "closed"),
        None => debug!("closed, as the node shuts down"),
    }
}

/// How serving a connection ended.
type Served = Result<(), Box<dyn StdError + Send + Sync>>;

/// Does something for a connection to its end. `None` if that took too long once the node shut down,
/// of which it is told by `end`.
async fn drive<F: Future>(
    mut doing: Pin<&mut F>,
    end: impl FnOnce(Pin<&mut F>),
    tasks: &Tasks,
    limits: Limits,
) -> Option<F::Output> {
    tokio::select! {
        biased;
        () = tasks.cancelled() => end(doing.as_mut()),
        done = doing.as_mut() => return Some(done),
    }
    tokio::time::timeout(limits.shutdown_patience, doing).await.ok()
}

/// Waits until the time for a first request is over, and there was none.
///
/// hyper sees to this itself, and for every request, only with HTTP/1.1. With HTTP/2, a client that
/// has asked once is known by its answers to pings.
async fn silent(asked: &AtomicBool, limits: Limits) {
    tokio::time::sleep(limits.head_patience).await;
    if asked.load(Ordering::Relaxed) {
        std::future::pending().await
    }
}

fn http2(tasks: &Tasks, limits: Limits) -> http2::Builder<Spawn> {
    let mut builder = http2::Builder::new(Spawn(tasks.clone()));
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(HTTP2_PING_INTERVAL)
        .keep_alive_timeout(HTTP2_PING_PATIENCE);
    builder
}

/// Whether a client's first bytes are those of HTTP/2, of which nothing is taken.
async fn speaks_http2(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0; HTTP2_START.len()];
    loop {
        let seen = stream.peek(&mut first).await?;
        if seen == 0 || first[..seen] != HTTP2_START[..seen] {
            return Ok(false);
        }
        if seen == HTTP2_START.len() {
            return Ok(true);
        }
        // What has come stays there, so there is no waiting for more of it.
        tokio::time::sleep(PEEK_PAUSE).await;
    }
}

fn configure(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // So a client that is gone without a word is noticed soon after something is sent to it.
    #[cfg(target_os = "linux")]
    SockRef::from(stream).set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    // And some time after nothing was.
    SockRef::from(stream).set_tcp_keepalive(&keepalive())?;
    // Or the system takes megabytes for each client that does not read, and calls that written.
    #[cfg(target_os = "linux")]
    SockRef::from(stream).set_tcp_notsent_lowat(MAX_UNSENT_BYTES)?;
    Ok(())
}

/// Whether a client is there to which nothing is sent is asked after a minute, and given up after two.
fn keepalive() -> TcpKeepalive {
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE);
    #[cfg(target_os = "linux")]
    let keepalive = keepalive.with_interval(KEEPALIVE_INTERVAL).with_retries(3);
    keepalive
}

/// Runs the requests of an HTTP/2 connection as tasks of the node.
#[derive(Clone, Debug)]
struct Spawn(Tasks);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Spawn {
    fn execute(&self, request: F) {
        self.0.spawn(Span::current(), request);
    }
}

/// How many connections may wait to be accepted. Many clients come back at once when a node died.
const BACKLOG: i32 = 4096;
/// How long to wait, times the number of failures in a row, before accepting is tried again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const MAX_ACCEPT_PAUSE: Duration = Duration::from_secs(1);
/// What an HTTP/2 connection begins with, and no HTTP/1 request can.
const HTTP2_START: [u8; 4] = *b"PRI ";
const PEEK_PAUSE: Duration = Duration::from_millis(10);
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(20);
const HTTP2_PING_PATIENCE: Duration = Duration::from_secs(20);
/// How long what was sent may go without the client's TCP acknowledging it.
#[cfg(target_os = "linux")]
const USER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long nothing may be sent until the client's TCP is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(60);
#[cfg(target_os = "linux")]
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);

/// How much the system takes for a client beyond what is on its way to it.
#[cfg(target_os = "linux")]
const MAX_UNSENT_BYTES: u32 = 128 * 1024;

#[cfg(test)]
mod tests;
