//! The task of a client: it lends the machine a socket to one node after the other.

use std::{fmt, sync::Arc};

use futures_util::{SinkExt, StreamExt, stream::SplitSink, stream::SplitStream};
use tokio::{
    net::TcpStream,
    sync::oneshot,
    time::{Duration, sleep_until, timeout},
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        self, Message,
        client::IntoClientRequest,
        handshake::client::Request,
        http::{HeaderValue, Uri},
        protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode},
    },
};
use tracing::{Instrument, debug, debug_span};

use super::{
    error::ConnectError,
    machine::{Dial, NORMAL, Transmit},
    shared::Shared,
};
use crate::{postman, runtime::clock};

/// How long it may take to tell a node that the session ends.
pub(super) const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// How much is read at once. It is touched for each connection, so it should not be much.
const READ_BUFFER_BYTES: usize = 16 << 10;

/// The longest that what a node says may be: a message of 1 MiB, written as JSON, and then some.
const MAX_FRAME_BYTES: usize = 8 << 20;

/// How much is written without waiting until the socket has taken it.
const WRITE_BUFFER_BYTES: usize = 64 << 10;

/// Where a node is.
#[derive(Clone, Debug)]
pub(super) struct Address {
    uri: Uri,
    /// What to connect to: the host and the port.
    authority: String,
}

impl Address {
    /// Reads a URL.
    pub(super) fn parse(url: &str) -> Result<Self, ConnectError> {
        let invalid = || ConnectError::InvalidUrl { url: url.to_owned() };
        let uri: Uri = url.parse().map_err(|_| invalid())?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(invalid)?;
        if uri.scheme_str() != Some("ws") {
            return Err(invalid());
        }
        let authority = format!("{host}:{}", uri.port_u16().unwrap_or(80));
        Ok(Self { uri, authority })
    }

    /// The same path on the node that clients reach at `url`, if this client can.
    fn at(&self, url: &str) -> Option<Self> {
        let authority = url.strip_prefix("http://")?;
        let path = self.uri.path_and_query()?.as_str();
        Self::parse(&format!("ws://{authority}{path}")).ok()
    }

    /// The request for a WebSocket that goes on with a session.
    fn request(&self, dial: &Dial) -> Result<Request, tungstenite::Error> {
        let mut request = self.uri.clone().into_client_request()?;
        let headers = request.headers_mut();
        headers.insert(postman::HEADER, HeaderValue::from(u16::from(postman::VERSION)));
        let session = dial.session.map(|session| session.to_string());
        for (name, value) in [(TRACKING_ID, &session), (POSITION, &dial.position)] {
            if let Some(value) = value {
                headers.insert(name, HeaderValue::from_str(value)?);
            }
        }
        Ok(request)
    }
}

const TRACKING_ID: &str = "X-Atmosphere-tracking-id";
const POSITION: &str = "X-Exosphere-Position";

/// The task of a client.
#[derive(Debug)]
pub(super) struct Task {
    shared: Arc<Shared>,
    addresses: Vec<Address>,
}

type Socket = WebSocketStream<TcpStream>;

impl Task {
    pub(super) const fn new(shared: Arc<Shared>, addresses: Vec<Address>) -> Self {
        Self { shared, addresses }
    }

    /// Starts the task. `ended` is dropped when it ends.
    #[expect(clippy::disallowed_methods, reason = "a client is no node: its one task ends with it")]
    pub(super) fn spawn(self, ended: oneshot::Sender<()>) {
        let task = async move {
            self.run().await;
            drop(ended);
        };
        tokio::spawn(task.instrument(debug_span!("client")));
    }

    async fn run(&self) {
        while !self.shared.look(|machine| machine.is_ended()) {
            if let Some(dial) = self.shared.with_quietly(|m, now| m.poll_dial(now)) {
                self.attach(&dial).await;
            } else {
                self.wait().await;
            }
        }
    }

    /// Connects to a node, and stays with it for as long as it can.
    async fn attach(&self, dial: &Dial) {
        let listed = &self.addresses[dial.node];
        let sent_to = dial.destination.as_deref().and_then(|url| listed.at(url));
        let address = sent_to.as_ref().unwrap_or(listed);
        let opened = tokio::select! {
            biased;
            opened = connect(address, dial) => opened,
            () = self.clock() => return,
        };
        match opened {
            Ok(socket) => {
                debug!(node = %address.authority, "connected");
                self.shared.handle(|machine, _| machine.handle_open());
                let lost = self.exchange(socket).await;
                debug!(node = %address.authority, reason = %lost, "disconnected");
                self.shared.handle(|machine, now| machine.handle_lost(&lost, now));
            }
            Err(err) => {
                debug!(node = %address.authority, %err, "not connected");
                self.shared.handle(|machine, now| machine.handle_lost(&err, now));
            }
        }
    }

    /// Reads, writes and looks at the time, until the connection is of no use any more.
    async fn exchange(&self, socket: Socket) -> Lost {
        let (mut sink, stream) = socket.split();
        let lost = tokio::select! {
            biased;
            () = self.clock() => Lost::GivenUp,
            lost = self.read(stream) => lost,
            lost = self.write(&mut sink) => lost,
        };
        if self.shared.look(|machine| machine.is_ended()) {
            let frame = CloseFrame { code: CloseCode::from(NORMAL), reason: "".into() };
            let farewell = async {
                sink.send(Message::Close(Some(frame))).await?;
                sink.close().await
            };
            let _ = timeout(CLOSE_WITHIN, farewell).await; // The node may be gone.
        }
        lost
    }

    /// Hands what comes to the machine. Does not read while the application has enough.
    async fn read(&self, mut stream: SplitStream<Socket>) -> Lost {
        loop {
            while !self.shared.look(|machine| machine.has_room()) {
                self.shared.reading.notified().await;
            }
            let message = match stream.next().await {
                Some(Ok(message)) => message,
                Some(Err(err)) => return Lost::Failed(err),
                None => return Lost::Closed,
            };
            self.shared.handle(|machine, now| match message {
                Message::Text(text) => machine.handle_text(&text, now),
                Message::Close(Some(frame)) => {
                    machine.handle_closed(frame.code.into(), &frame.reason, now);
                }
                Message::Close(None) => machine.handle_lost(&Lost::Closed, now),
                _ => machine.handle_heard(now),
            });
        }
    }

    /// Writes what the machine has to say, all that there is at a time.
    async fn write(&self, sink: &mut SplitSink<Socket, Message>) -> Lost {
        loop {
            let mut has_written = false;
            while let Some(transmit) = self.shared.with_quietly(|m, now| m.poll_transmit(now)) {
                let message = match transmit {
                    Transmit::Text(text) => Message::text(text),
                    Transmit::Ping => Message::Ping(Default::default()),
                };
                if let Err(err) = sink.feed(message).await {
                    return Lost::Failed(err);
                }
                has_written = true;
            }
            if has_written {
                // What is written may be waited for from now on.
                self.shared.timer.notify_one();
                if let Err(err) = sink.flush().await {
                    return Lost::Failed(err);
                }
            }
            self.shared.transmit.notified().await;
        }
    }

    /// Tells the machine the time, until it gives the connection up.
    async fn clock(&self) {
        while self.shared.look(|machine| machine.is_connected()) {
            self.wait().await;
            self.shared.with_quietly(|machine, now| machine.handle_timeout(now));
            self.shared.transmit.notify_one();
            self.shared.news.notify_one();
        }
    }

    /// Waits until the machine is to be told the time, or it may be another time.
    async fn wait(&self) {
        let due = self.shared.look(|machine| machine.poll_timeout()).unwrap_or_else(clock::far_off);
        tokio::select! {
            () = sleep_until(due.into()) => {}
            () = self.shared.timer.notified() => {}
        }
    }
}

async fn connect(address: &Address, dial: &Dial) -> Result<Socket, tungstenite::Error> {
    let request = address.request(dial)?;
    let stream = TcpStream::connect(&address.authority).await?;
    stream.set_nodelay(true)?;
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_message_size(Some(MAX_FRAME_BYTES))
        .max_frame_size(Some(MAX_FRAME_BYTES));
    let (socket, _) = client_async_with_config(request, stream, Some(config)).await?;
    Ok(socket)
}

/// Why a connection is of no use any more.
#[derive(Debug)]
enum Lost {
    /// The node ended it without a word.
    Closed,
    Failed(tungstenite::Error),
    /// The machine knows why.
    GivenUp,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the connection was closed"),
            Self::Failed(err) => err.fmt(f),
            Self::GivenUp => f.write_str("the connection was given up"),
        }
    }
}
