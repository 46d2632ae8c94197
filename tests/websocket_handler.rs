//! Bare WebSockets: what a handler that has one to itself is told, and what it can say.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::net::SocketAddr;

use bytes::Bytes;
use exosphere::{
    Close, CloseCode, Message, Node, SendError, StartError, WebSocket, WebSocketEnd,
    WebSocketHandler,
};
use http::Request;
use support::{Client, PATIENCE, Place, RawSocket, Received, frame, get, serve, spawn, within};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
};

/// What a handler is told.
#[derive(Debug)]
enum Told {
    Opened(WebSocket, Request<()>),
    Message(Message),
    Piece(Message, bool),
    Ping(Bytes),
    Pong(Bytes),
    Closed(WebSocketEnd),
}

/// Passes on what it is told. Messages of four characters are commands.
struct Tells {
    tells: mpsc::UnboundedSender<Told>,
    whole_bytes: usize,
}

impl WebSocketHandler for Tells {
    fn whole_bytes(&self) -> usize {
        self.whole_bytes
    }

    async fn open(&self, socket: &WebSocket, request: Request<()>) -> Result<(), Close> {
        let is_refused = request.uri().query() == Some("refused");
        self.tells.send(Told::Opened(socket.clone(), request)).unwrap();
        match is_refused {
            true => Err(Close::new(CloseCode::Forbidden, "not you")),
            false => Ok(()),
        }
    }

    async fn message(&self, socket: &WebSocket, message: Message) -> Result<(), Close> {
        match message.as_text() {
            Some("echo") => socket.send(message.clone()).await?,
            Some("ping") => socket.ping("are you there?").await?,
            Some("done") => socket.close(4321, "as you wish"),
            Some("fail") => return Err(Close::new(CloseCode::Policy, "you asked for it")),
            Some("dead") => panic!("as it was told"),
            Some("tell") => drop(socket.publish("/chat/lobby", "from a bare socket").await?),
            _ => {}
        }
        self.tells.send(Told::Message(message)).unwrap();
        Ok(())
    }

    async fn piece(&self, _: &WebSocket, piece: Message, is_last: bool) -> Result<(), Close> {
        self.tells.send(Told::Piece(piece, is_last)).unwrap();
        Ok(())
    }

    async fn ping(&self, _: &WebSocket, payload: Bytes) {
        self.tells.send(Told::Ping(payload)).unwrap();
    }

    async fn pong(&self, _: &WebSocket, payload: Bytes) {
        self.tells.send(Told::Pong(payload)).unwrap();
    }

    async fn closed(&self, _: &WebSocket, end: WebSocketEnd) {
        self.tells.send(Told::Closed(end)).unwrap();
    }
}

/// A node with a handler of bare WebSockets at `/bare/{name}`, and what that is told.
struct World {
    node: Node,
    http: SocketAddr,
    told: mpsc::UnboundedReceiver<Told>,
    _place: Place,
}

impl World {
    async fn new(name: &str, whole_bytes: usize) -> Self {
        let place = Place::new(name);
        let (tells, told) = mpsc::unbounded_channel();
        let builder = place.node().websocket("/bare/{name}", Tells { tells, whole_bytes });
        let chat = async |_: exosphere::Session, _: Message| Ok(());
        let node = builder.route("/chat/{room}", chat).start().await.unwrap();
        let http = serve(&node);
        Self { node, http, told, _place: place }
    }

    async fn told(&mut self) -> Told {
        within(PATIENCE, "the handler is told", self.told.recv()).await.unwrap()
    }

    async fn opened(&mut self) -> (WebSocket, Request<()>) {
        match self.told().await {
            Told::Opened(socket, request) => (socket, request),
            other => panic!("{other:?}"),
        }
    }

    /// How the socket ends. What is told before is dropped.
    async fn closed(&mut self) -> WebSocketEnd {
        loop {
            if let Told::Closed(end) = self.told().await {
                return end;
            }
        }
    }

    /// A long message, put together from its pieces, and how many there were.
    async fn pieces(&mut self) -> (Message, usize) {
        let (mut all, mut count) = (Vec::new(), 0);
        loop {
            let Told::Piece(piece, is_last) = self.told().await else { panic!("no piece") };
            all.extend_from_slice(piece.as_bytes());
            count += 1;
            if is_last {
                let all = Bytes::from(all);
                let message = match piece.is_text() {
                    true => Message::from_utf8(all).unwrap(),
                    false => Message::binary(all),
                };
                return (message, count);
            }
        }
    }
}

const MIB: usize = 1 << 20;

#[tokio::test]
async fn a_handler_has_the_socket_to_itself() {
    let mut world = World::new("bare", MIB).await;
    let mut listener = Client::bare(world.http, "/chat/lobby").await;
    let mut client = Client::bare(world.http, "/bare/caf%C3%A9?token=7").await;
    let (socket, request) = world.opened().await;
    assert_eq!(
        (socket.path().as_str(), socket.param("name")),
        ("/bare/caf\u{e9}", Some("caf\u{e9}"))
    );
    assert_eq!(request.uri().query(), Some("token=7"));
    assert!(request.headers().contains_key("sec-websocket-key"));
    // Neither a greeting nor a heartbeat of Atmosphere's, nor what a client of that would say.
    client.send("X").await;
    assert!(matches!(world.told().await, Told::Message(message) if message == "X".into()));
    client.send("echo").await;
    assert_eq!(client.text().await, "echo");
    assert!(matches!(world.told().await, Told::Message(_)));
    client.send_binary(vec![0xff; 3]).await;
    let bytes = Message::binary(vec![0xff; 3]);
    assert!(matches!(world.told().await, Told::Message(message) if message == bytes));
    socket.send(bytes).await.unwrap();
    assert_eq!(client.next().await, Received::Binary(vec![0xff; 3]));
    client.send("tell").await;
    assert_eq!(listener.text().await, "from a bare socket");
    assert!(matches!(world.told().await, Told::Message(_)));
    client.send("done").await;
    assert_eq!(client.next().await, Received::Closed(4321, "as you wish".into()));
    let ours = WebSocketEnd::Ours { code: 4321, reason: "as you wish".into() };
    assert_eq!(world.closed().await, ours);
    assert_eq!(socket.send("too late").await, Err(SendError::Over));
    assert!(!socket.is_open());
}

#[tokio::test]
async fn pings_are_answered_and_told_and_so_are_pongs() {
    let mut world = World::new("pings", MIB).await;
    let mut client = RawSocket::connect(world.http, "/bare/a").await;
    let (socket, _) = world.opened().await;
    client.send(&frame(0x89, b"who is there?")).await;
    assert!(matches!(world.told().await, Told::Ping(payload) if payload == "who is there?"));
    assert_eq!(client.next().await, (0x8a, b"who is there?".to_vec()));
    client.send(&frame(0x81, b"ping")).await;
    assert_eq!(client.next().await, (0x89, b"are you there?".to_vec()));
    client.send(&frame(0x8a, b"are you there?")).await;
    assert!(matches!(world.told().await, Told::Message(_)));
    assert!(matches!(world.told().await, Told::Pong(payload) if payload == "are you there?"));
    assert_eq!(socket.ping(vec![0; 126]).await, Err(SendError::LongPing { bytes: 126 }));
}

#[tokio::test]
async fn whoever_closes_the_other_learns_the_code_and_the_reason() {
    let mut world = World::new("closes", MIB).await;
    for (payload, code, reason) in
        [(&b"\x0f\xa0bye"[..], 4000, "bye"), (b"\x03\xe8", 1000, ""), (b"", 1005, "")]
    {
        let mut client = RawSocket::connect(world.http, "/bare/a").await;
        world.opened().await;
        client.send(&frame(0x88, payload)).await;
        let code_alone = payload.get(..2).unwrap_or_default();
        assert_eq!(client.next().await, (0x88, code_alone.to_vec()), "the code comes back");
        assert_eq!(world.closed().await, WebSocketEnd::Client { code, reason: reason.into() });
    }
    let mut client = Client::bare(world.http, "/bare/a").await;
    client.send("fail").await;
    assert_eq!(client.next().await, Received::Closed(1008, "you asked for it".into()));
    assert!(matches!(world.closed().await, WebSocketEnd::Ours { code: 1008, .. }));
    let mut client = Client::bare(world.http, "/bare/a").await;
    client.send("dead").await;
    assert_eq!(client.next().await, Received::Closed(1011, "the handler failed".into()));
    assert!(matches!(world.closed().await, WebSocketEnd::Ours { code: 1011, .. }));
    let client = Client::bare(world.http, "/bare/a?refused").await;
    assert_eq!(client.closed().await, 4403);
    assert!(matches!(world.closed().await, WebSocketEnd::Ours { code: 4403, .. }));
    let client = Client::bare(world.http, "/bare/a").await;
    world.opened().await;
    client.cut();
    assert_eq!(world.closed().await, WebSocketEnd::Lost);
}

/// Goal: a text of any length reaches the handler as it comes, and as text.
///
/// Method: 4 MiB in which every length of character is cut by frames, some of which are empty, with a
/// ping between them, and a piece told before the next frame is sent.
#[tokio::test]
async fn a_text_of_4_mib_comes_in_pieces_as_it_is_sent() {
    let mut world = World::new("pieces", MIB).await;
    let mut client = RawSocket::connect(world.http, "/bare/a").await;
    world.opened().await;
    let unit = "a\u{e9}\u{20ac}\u{1f600}";
    let text = unit.repeat(4 * MIB / unit.len() + 1);
    let (head, rest) = text.as_bytes().split_at(MIB + 1);
    assert!(str::from_utf8(head).is_err(), "it ends within a character");
    client.send(&frame(0x01, head)).await;
    let Told::Piece(first, false) = world.told().await else { panic!("no first piece") };
    assert!(first.as_text().is_some_and(|first| text.starts_with(first)));
    let mut count = 0;
    let sends = async {
        for piece in rest.chunks(100_003) {
            client.send(&frame(0x00, piece)).await;
            client.send(&frame(0x00, b"")).await;
            client.send(&frame(0x89, b"still there")).await;
            count += 1;
        }
        client.send(&frame(0x80, b"")).await;
        client
    };
    let receives = async {
        let mut all = first.as_text().unwrap().to_owned();
        let mut pings = 0;
        loop {
            match world.told().await {
                Told::Piece(piece, is_last) => {
                    all.push_str(piece.as_text().unwrap());
                    if is_last {
                        return (all, pings);
                    }
                }
                Told::Ping(_) => pings += 1,
                other => panic!("{other:?}"),
            }
        }
    };
    let (mut client, (all, pings)) = tokio::join!(sends, receives);
    assert!(all == text && pings == count);
    // And what is short is whole, in however many frames.
    client.send(&[frame(0x01, b"wh"), frame(0x80, b"ole")].concat()).await;
    assert!(matches!(world.told().await, Told::Message(message) if message == "whole".into()));
    client.send(&frame(0x82, &vec![7; 2 * MIB])).await;
    let (message, pieces) = world.pieces().await;
    assert!(message == Message::binary(vec![7; 2 * MIB]) && pieces > 1);
}

#[tokio::test]
async fn what_is_no_text_is_refused_though_it_comes_in_pieces() {
    let mut world = World::new("no-text", 0).await;
    for (frames, told) in [
        ([frame(0x01, b"a\xf0\x9f\x98"), frame(0x80, b"\x80")], Some("a\u{1f600}")),
        ([frame(0x01, b"a\xf0\x9f\x98"), frame(0x80, b"b")], None),
        ([frame(0x01, b"a\xf0\x9f"), frame(0x80, b"")], None),
        ([frame(0x01, b"a\xff"), frame(0x80, b"b")], None),
    ] {
        let mut client = RawSocket::connect(world.http, "/bare/a").await;
        world.opened().await;
        client.send(&frames.concat()).await;
        match told {
            Some(text) => {
                assert_eq!(world.pieces().await.0, text.into());
                drop(client);
                assert_eq!(world.closed().await, WebSocketEnd::Lost);
            }
            None => {
                assert_eq!(client.closed().await, 1007);
                let end = world.closed().await;
                assert!(matches!(end, WebSocketEnd::Violation { code: 1007, .. }), "{end:?}");
            }
        }
    }
}

#[tokio::test]
async fn who_takes_no_pieces_refuses_what_is_too_long() {
    let place = Place::new("whole");
    let answer = async |socket: WebSocket, message: Message| {
        socket.send(format!("{} bytes", message.len())).await?;
        Ok(())
    };
    let node = place.node().websocket("/bare", answer).start().await.unwrap();
    let http = serve(&node);
    let mut client = Client::bare(http, "/bare").await;
    client.send_binary(vec![0; MIB]).await;
    assert_eq!(client.text().await, "1048576 bytes");
    let mut client = RawSocket::connect(http, "/bare").await;
    // Of a mebibyte and a byte that are announced, it need not come.
    let mut announced = vec![0x82, 0x80 | 127];
    announced.extend((MIB as u64 + 1).to_be_bytes());
    announced.extend([0; 4 + 100]);
    client.send(&announced).await;
    assert_eq!(client.closed().await, 1009);
}

/// Goal: who does not read holds up who sends to it, and nobody else; what it costs is bounded.
#[tokio::test]
async fn who_sends_to_a_client_that_does_not_read_waits() {
    let mut world = World::new("slow", MIB).await;
    let stopped = RawSocket::connect(world.http, "/bare/stopped").await;
    let (slow, _) = world.opened().await;
    let mut reading = Client::bare(world.http, "/bare/reading").await;
    let (quick, _) = world.opened().await;
    let (sent, mut count) = mpsc::unbounded_channel();
    let sending = spawn(async move {
        while slow.send(vec![0; 64 << 10]).await.is_ok() {
            sent.send(()).unwrap();
        }
        slow.send("more").await
    });
    // What the system takes on both sides is a few megabytes at most; then nothing more is taken.
    let mut taken = 0;
    loop {
        let before = taken;
        for number in 0..100 {
            quick.send(number.to_string()).await.unwrap();
            assert_eq!(reading.text().await, number.to_string());
        }
        while count.try_recv().is_ok() {
            taken += 1;
        }
        assert!(taken < 1000, "64 MB and more are taken");
        if taken == before && taken > 0 {
            break;
        }
    }
    assert!(!sending.is_finished() && count.try_recv().is_err());
    drop(stopped);
    let said = within(PATIENCE, "who sends learns that it is over", sending).await.unwrap();
    assert_eq!(said, Err(SendError::Over));
    assert_eq!(world.closed().await, WebSocketEnd::Lost);
}

#[tokio::test]
async fn a_node_that_shuts_down_closes_bare_sockets_and_waits_for_their_handlers() {
    let mut world = World::new("shutdown", MIB).await;
    let mut client = Client::bare(world.http, "/bare/a").await;
    let (socket, _) = world.opened().await;
    // One that neither reads nor answers is waited for no longer than it has to be.
    let silent = RawSocket::connect(world.http, "/bare/b").await;
    world.opened().await;
    let node = world.node.clone();
    let down = spawn(async move { node.shutdown().await });
    let Received::Closed(code, reason) = client.next().await else { panic!("no close") };
    assert_eq!((code, reason.as_str()), (1001, "the node is shutting down"));
    while client.next().await != Received::Gone {}
    within(PATIENCE, "the node is down", down).await.unwrap();
    for _ in 0..2 {
        let Ok(Told::Closed(end)) = world.told.try_recv() else { panic!("not told by then") };
        assert!(matches!(end, WebSocketEnd::Ours { code: 1001, .. }), "{end:?}");
    }
    assert_eq!(socket.send("x").await, Err(SendError::Over));
    drop(silent);
}

#[tokio::test]
async fn bare_sockets_keep_the_rules_of_all_others() {
    let world = World::new("rules", MIB).await;
    let answer = get(world.http, "/bare/a").await;
    assert_eq!(answer.status, 426, "nothing else is served there");
    let page = format!(
        "GET /bare/a HTTP/1.1\r\nHost: {}\r\nOrigin: http://elsewhere.example\r\n\
         Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        world.http
    );
    assert_eq!(status_of(world.http, &page).await, "403");
    let rebound = page.replace(&format!("Host: {}", world.http), "Host: evil.example");
    assert_eq!(status_of(world.http, &rebound).await, "403");
    let own = page.replace("http://elsewhere.example", &format!("http://{}", world.http));
    assert_eq!(status_of(world.http, &own).await, "101");
    let broken = own.replace("Version: 13", "Version: 8");
    assert_eq!(status_of(world.http, &broken).await, "426");
    let long =
        own.replace("Connection:", &format!("X-Long: {}\r\nConnection:", "x".repeat(17_000)));
    assert_eq!(status_of(world.http, &long).await, "431");
}

async fn status_of(http: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(http).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut line = [0; 12];
    within(PATIENCE, "an answer", stream.read_exact(&mut line)).await.unwrap();
    str::from_utf8(&line).unwrap().strip_prefix("HTTP/1.1 ").unwrap().to_owned()
}

#[tokio::test]
async fn the_application_says_who_may_have_a_bare_socket() {
    let place = Place::new("signed-in");
    let authenticate = async |request: http::request::Parts| match request.uri.query() {
        Some(name) => Ok(Some(name.parse().unwrap())),
        None => Err(http::Response::builder().status(401).body(Bytes::new()).unwrap()),
    };
    let answer = async |socket: WebSocket, _: Message| {
        socket.send(socket.principal().map_or_else(String::new, |it| it.to_string())).await?;
        Ok(())
    };
    let builder = place.node().authenticate(authenticate).websocket("/bare", answer);
    let node = builder.start().await.unwrap();
    let http = serve(&node);
    assert_eq!(get(http, "/bare").await.status, 401);
    let mut client = Client::bare(http, "/bare?alice").await;
    client.send("who am I?").await;
    assert_eq!(client.text().await, "alice");
}

#[tokio::test]
async fn a_bare_socket_holds_its_place_among_the_connections() {
    let place = Place::new("places");
    let (tells, mut told) = mpsc::unbounded_channel();
    let builder = place.node().max_connections(1);
    let node = builder.websocket("/bare", Tells { tells, whole_bytes: 0 }).start().await.unwrap();
    let http = serve(&node);
    let client = Client::bare(http, "/bare").await;
    assert!(matches!(told.recv().await, Some(Told::Opened(..))));
    assert_eq!(get(http, "/bare").await.status, 503);
    client.close().await;
    assert!(matches!(told.recv().await, Some(Told::Closed(_))));
    let next = async { while get(http, "/bare").await.status == 503 {} };
    within(PATIENCE, "its place is free", next).await;
}

#[tokio::test]
async fn a_path_is_for_sessions_or_for_bare_sockets() {
    let place = Place::new("twice");
    let answer = async |_: WebSocket, _: Message| Ok(());
    let chat = async |_: exosphere::Session, _: Message| Ok(());
    let both = place.node().route("/a/{b}", chat).websocket("/a/{c}", answer).start().await;
    assert!(matches!(both, Err(StartError::InvalidRoute(_))));
}
