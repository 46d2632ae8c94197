//! Clients: WebSockets, without a library of Atmosphere's.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{self, Message, protocol::WebSocketConfig},
};

use super::{PATIENCE, spawn, within};

/// A WebSocket, with or without the protocol of Atmosphere.
pub(crate) struct Client {
    socket: WebSocketStream<TcpStream>,
    /// The tracking id, of a client that speaks the protocol.
    pub(crate) id: String,
}

/// What comes on a WebSocket.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Received {
    Text(String),
    Binary(Vec<u8>),
    Closed(u16, String),
    Gone,
}

impl Client {
    /// A client that knows nothing of Atmosphere. `path` may have a query.
    pub(crate) async fn bare(http: SocketAddr, path: &str) -> Self {
        Self::try_connect(http, path).await.expect("a WebSocket opens")
    }

    /// A client that speaks the protocol of Atmosphere, with a new session.
    pub(crate) async fn new(http: SocketAddr, path: &str) -> Self {
        Self::try_resume(http, path, "0").await.expect("a session begins")
    }

    /// A client that speaks the protocol of Atmosphere, and had this session.
    pub(crate) async fn resume(http: SocketAddr, path: &str, id: &str) -> Self {
        Self::try_resume(http, path, id).await.expect("a session goes on")
    }

    pub(crate) async fn try_resume(
        http: SocketAddr,
        path: &str,
        id: &str,
    ) -> Result<Self, tungstenite::Error> {
        let query = format!(
            "X-Atmosphere-tracking-id={id}&X-Atmosphere-Framework=5.0.45\
             &X-Atmosphere-Transport=websocket&X-atmo-protocol=true"
        );
        let mut client = Self::try_connect(http, &format!("{path}?{query}")).await?;
        // A node that dies just now may take the connection and not the session.
        let Received::Text(handshake) = client.next().await else {
            return Err(tungstenite::Error::ConnectionClosed);
        };
        let id = handshake.strip_suffix("|60000|X|").expect("a handshake");
        client.id = id.to_owned();
        Ok(client)
    }

    pub(crate) async fn try_connect(
        http: SocketAddr,
        path: &str,
    ) -> Result<Self, tungstenite::Error> {
        let connect = async {
            let stream = TcpStream::connect(http).await?;
            stream.set_nodelay(true)?;
            let config = WebSocketConfig::default();
            let url = format!("ws://{http}{path}");
            client_async_with_config(url, stream, Some(config)).await
        };
        let (socket, _) = within(PATIENCE, "a WebSocket opens", connect).await?;
        Ok(Self { socket, id: String::new() })
    }

    pub(crate) async fn send(&mut self, text: impl Into<String>) {
        self.socket.send(Message::text(text.into())).await.expect("the connection is open");
    }

    pub(crate) async fn send_binary(&mut self, bytes: Vec<u8>) {
        self.socket.send(Message::binary(bytes)).await.expect("the connection is open");
    }

    /// What comes next, but for pings and heartbeats.
    pub(crate) async fn next(&mut self) -> Received {
        loop {
            let next = within(PATIENCE, "something comes on a WebSocket", self.socket.next()).await;
            return match next {
                Some(Ok(Message::Text(text))) if text == "X" && !self.id.is_empty() => continue,
                Some(Ok(Message::Text(text))) => Received::Text(text.to_string()),
                Some(Ok(Message::Binary(bytes))) => Received::Binary(bytes.to_vec()),
                Some(Ok(Message::Close(Some(frame)))) => {
                    Received::Closed(frame.code.into(), frame.reason.to_string())
                }
                Some(Ok(Message::Close(None))) => Received::Closed(1005, String::new()),
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => Received::Gone,
            };
        }
    }

    /// The next text.
    pub(crate) async fn text(&mut self) -> String {
        match self.next().await {
            Received::Text(text) => text,
            other => panic!("instead of a text, {other:?}"),
        }
    }

    /// The code that the connection is closed with, which is confirmed. What comes before is
    /// dropped.
    pub(crate) async fn closed(mut self) -> u16 {
        loop {
            match self.next().await {
                Received::Closed(code, _) => {
                    while self.next().await != Received::Gone {}
                    return code;
                }
                Received::Gone => panic!("the connection is gone without a close"),
                Received::Binary(_) | Received::Text(_) => {}
            }
        }
    }

    /// Ends the session, as a page does that is left.
    pub(crate) async fn close(mut self) {
        let frame = tungstenite::protocol::CloseFrame {
            code: tungstenite::protocol::frame::coding::CloseCode::Normal,
            reason: "".into(),
        };
        let _ = self.socket.close(Some(frame)).await; // It may be closed already.
        while !matches!(self.next().await, Received::Gone | Received::Closed(..)) {}
    }

    /// Cuts the connection, as a network does.
    pub(crate) fn cut(self) {
        let stream = self.socket.get_ref();
        socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// Publishes the numbers 0, 1, 2, ... through a bare WebSocket, one every few milliseconds.
pub(crate) struct Publisher {
    stop: Arc<AtomicBool>,
    published: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Publisher {
    pub(crate) async fn start(http: SocketAddr, path: &str, every: Duration) -> Self {
        let (mut sink, mut stream) = Client::bare(http, path).await.socket.split();
        let (stop, published) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&published));
        let task = spawn(async move {
            let mut ticks = tokio::time::interval(every);
            let mut heard = 0;
            while heard < counted.load(Ordering::Acquire) || !stopped.load(Ordering::Acquire) {
                tokio::select! {
                    _ = ticks.tick(), if !stopped.load(Ordering::Acquire) => {
                        let number = counted.load(Ordering::Acquire);
                        sink.send(Message::text(number.to_string())).await.unwrap();
                        counted.store(number + 1, Ordering::Release);
                    }
                    next = stream.next() => match next.unwrap().unwrap() {
                        Message::Text(text) => {
                            assert_eq!(text.as_str(), heard.to_string(), "to the publisher itself");
                            heard += 1;
                        }
                        Message::Ping(_) => sink.flush().await.unwrap(),
                        other => panic!("to the publisher: {other:?}"),
                    },
                    // To look again whether it is to stop.
                    () = tokio::time::sleep(Duration::from_millis(20)) => {}
                }
            }
        });
        Self { stop, published, task }
    }

    /// How many there are by now.
    pub(crate) fn published(&self) -> u64 {
        self.published.load(Ordering::Acquire)
    }

    /// Stops. Returns how many were published, all of which the publisher itself has heard.
    pub(crate) async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Release);
        within(PATIENCE, "the publisher hears all it said", self.task).await.unwrap();
        self.published.load(Ordering::Acquire)
    }
}

/// A WebSocket on which anything can be said.
pub(crate) struct RawSocket {
    stream: TcpStream,
}

impl RawSocket {
    pub(crate) async fn connect(http: SocketAddr, path: &str) -> Self {
        let mut stream = TcpStream::connect(http).await.unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {http}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = within(PATIENCE, "an upgrade", stream.read_u8()).await.unwrap();
            head.push(byte);
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
        Self { stream }
    }

    /// Sends these very bytes, as far as the node takes them.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await; // It may have been closed for the first of them.
    }

    /// The next frame, which is short: its first byte, and its payload.
    pub(crate) async fn next(&mut self) -> (u8, Vec<u8>) {
        let read = async {
            let first = self.stream.read_u8().await.expect("a frame comes");
            let length = usize::from(self.stream.read_u8().await.unwrap());
            assert!(length <= 125, "a long frame");
            let mut payload = vec![0; length];
            self.stream.read_exact(&mut payload).await.unwrap();
            (first, payload)
        };
        within(PATIENCE, "a frame", read).await
    }

    /// The code of the close frame that comes, after which the connection ends.
    pub(crate) async fn closed(&mut self) -> u16 {
        let read = async {
            let mut code = None;
            loop {
                let Ok(first) = self.stream.read_u8().await else { break code };
                let length = usize::from(self.stream.read_u8().await.unwrap());
                assert!(length <= 125, "a long frame instead of a close");
                let mut payload = vec![0; length];
                self.stream.read_exact(&mut payload).await.unwrap();
                if first == 0x88 {
                    code = Some(u16::from_be_bytes([payload[0], payload[1]]));
                    // Now it is for the client to end the connection.
                    let _ = self.stream.shutdown().await;
                }
            }
        };
        within(PATIENCE, "a close", read).await.expect("a close frame before the end")
    }
}

/// A client's frame: its first byte, and its payload, masked.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x12, 0xff, 0x00, 0xa5];
    let mut frame = vec![first];
    match payload.len() {
        length @ ..=125 => frame.push(0x80 | length as u8),
        length @ ..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}
