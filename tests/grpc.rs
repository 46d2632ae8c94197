//! Clients that speak gRPC, made from nothing but the published service.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    collections::HashMap,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use bytes::Bytes;
use exosphere::{Close, CloseCode, Handler, Message, Node, Principal, Session};
use futures_util::{StreamExt, stream};
use http::{Response, StatusCode, request::Parts};
use support::{Client, PATIENCE, Place, Received, post, sees, serve, spawn, until, within};
use tokio::sync::mpsc;
use tonic::{
    Code, Request, Status, Streaming,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_prost::ProstCodec;
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

const SUBSCRIBE: i32 = 0;
const UNSUBSCRIBE: i32 = 1;
const MESSAGE: i32 = 2;
const HEARTBEAT: i32 = 3;
const ACK: i32 = 4;
const ERROR: i32 = 5;

const POSITION: &str = "X-Exosphere-Position";

/// What is said either way, with the numbers of the published service.
#[derive(Clone, PartialEq, prost::Message)]
struct Said {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(string, tag = "2")]
    topic: String,
    #[prost(string, tag = "3")]
    payload: String,
    #[prost(bytes = "vec", tag = "4")]
    binary_payload: Vec<u8>,
    #[prost(map = "string, string", tag = "5")]
    headers: HashMap<String, String>,
    #[prost(string, tag = "6")]
    tracking_id: String,
}

impl Said {
    fn new(kind: i32, topic: &str) -> Self {
        Self { kind, topic: topic.to_owned(), ..Self::default() }
    }

    fn message(topic: &str, payload: &str) -> Self {
        Self { payload: payload.to_owned(), ..Self::new(MESSAGE, topic) }
    }

    /// In the name of a session.
    fn of(self, id: &str) -> Self {
        Self { tracking_id: id.to_owned(), ..self }
    }

    /// From somebody who has been there.
    fn at(mut self, position: &str) -> Self {
        self.headers.insert(POSITION.to_owned(), position.to_owned());
        self
    }

    /// The code of an error.
    fn code(&self) -> Code {
        assert_eq!(self.kind, ERROR, "{self:?}");
        Code::from_bytes(self.headers["grpc-status"].as_bytes())
    }
}

async fn connect(addr: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{addr}")).unwrap().connect().await.unwrap()
}

fn path(method: &str) -> PathAndQuery {
    format!("/org.atmosphere.grpc.AtmosphereService/{method}").parse().unwrap()
}

/// A request of who says that it is `user`.
fn by<T>(user: &str, said: T) -> Request<T> {
    let mut request = Request::new(said);
    request.metadata_mut().insert("x-user", user.parse().unwrap());
    request
}

async fn send(addr: SocketAddr, said: Said) -> Result<Said, Status> {
    send_by(addr, "", said).await
}

async fn send_by(addr: SocketAddr, user: &str, said: Said) -> Result<Said, Status> {
    let mut grpc = Grpc::new(connect(addr).await);
    grpc.ready().await.unwrap();
    let codec = ProstCodec::<Said, Said>::default();
    Ok(grpc.unary(by(user, said), path("Send"), codec).await?.into_inner())
}

async fn subscribe(addr: SocketAddr, said: Said) -> Result<Streaming<Said>, Status> {
    subscribe_by(addr, "", said).await
}

async fn subscribe_by(addr: SocketAddr, user: &str, said: Said) -> Result<Streaming<Said>, Status> {
    let mut grpc = Grpc::new(connect(addr).await);
    grpc.ready().await.unwrap();
    let codec = ProstCodec::<Said, Said>::default();
    Ok(grpc.server_streaming(by(user, said), path("Subscribe"), codec).await?.into_inner())
}

/// A call of `Stream`.
struct Call {
    out: mpsc::Sender<Said>,
    incoming: Streaming<Said>,
}

impl Call {
    async fn new(addr: SocketAddr) -> Self {
        Self::by(addr, "").await
    }

    /// A call of who says that it is `user`.
    async fn by(addr: SocketAddr, user: &str) -> Self {
        let (out, outgoing) = mpsc::channel(16);
        let outgoing = stream::unfold(outgoing, |mut outgoing| async move {
            outgoing.recv().await.map(|said| (said, outgoing))
        });
        let mut grpc = Grpc::new(connect(addr).await);
        grpc.ready().await.unwrap();
        let codec = ProstCodec::<Said, Said>::default();
        let called = grpc.streaming(by(user, outgoing), path("Stream"), codec).await;
        Self { out, incoming: called.unwrap().into_inner() }
    }

    async fn say(&mut self, said: Said) {
        self.out.send(said).await.expect("the call goes on");
    }

    async fn try_next(&mut self) -> Option<Result<Said, Status>> {
        within(PATIENCE, "something comes by gRPC", self.incoming.next()).await
    }

    async fn next(&mut self) -> Said {
        self.try_next().await.expect("the call goes on").expect("and is well")
    }

    /// Subscribes, and returns the tracking id.
    async fn subscribe(&mut self, said: Said) -> String {
        let topic = said.topic.clone();
        self.say(said).await;
        let ack = self.next().await;
        assert_eq!((ack.kind, &*ack.topic), (ACK, &*topic), "{ack:?}");
        ack.tracking_id
    }

    /// The payload of the next message, which is of this topic.
    async fn text(&mut self, topic: &str) -> String {
        let said = self.next().await;
        assert_eq!((said.kind, &*said.topic), (MESSAGE, topic), "{said:?}");
        said.payload
    }
}

/// Publishes what is said, lets nobody into `/chat/closed`, and ends who says `bye`.
struct Chat;

impl Handler for Chat {
    async fn ready(&self, session: &Session) -> Result<(), Close> {
        match session.path().as_str() {
            "/chat/closed" => Err(Close::new(CloseCode::Forbidden, "closed")),
            path => Ok(session.join(path).await?),
        }
    }

    async fn message(&self, session: &Session, message: Message) -> Result<(), Close> {
        match message.as_text() {
            Some("bye") => return Err(Close::new(CloseCode::Policy, "bye")),
            Some("how") => {
                let how = format!("{:?}", session.connection().map(|it| it.transport));
                session.send(how).await.map(drop)?;
            }
            Some("only me") => session.send(message).await.map(drop)?,
            _ => session.publish(session.path().as_str(), message).await.map(drop)?,
        }
        Ok(())
    }
}

async fn chat(place: &Place) -> (Node, SocketAddr) {
    let node = place.node().route("/chat/{room}", Chat).start().await.unwrap();
    let addr = serve_grpc(&node);
    (node, addr)
}

/// Serves gRPC on a port of its own.
fn serve_grpc(node: &Node) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let served = node.clone();
    spawn(async move { served.serve_grpc_listener(listener).await.unwrap() });
    addr
}

/// Believes who a client says that it is, but lets Mallory not in.
async fn authenticate(request: Parts) -> Result<Option<Principal>, Response<Bytes>> {
    match request.headers.get("x-user").map(|user| user.to_str().unwrap()) {
        Some("mallory") => {
            let mut refused = Response::new(Bytes::new());
            *refused.status_mut() = StatusCode::UNAUTHORIZED;
            Err(refused)
        }
        user => Ok(user.and_then(|user| Principal::new(user).ok())),
    }
}

/// Goal: a session is its principal's by every call, and nobody else's who knows its tracking id.
#[tokio::test]
async fn a_stranger_who_knows_a_tracking_id_gets_nothing_of_its_session() {
    let place = Place::new("grpc-holders");
    let builder = || place.node().route("/chat/{room}", Chat).authenticate(authenticate);
    let nodes = [builder().start().await.unwrap(), builder().start().await.unwrap()];
    sees(&nodes[0], 2).await;
    let grpc = nodes.each_ref().map(serve_grpc);
    let mut alice = Call::by(grpc[0], "alice").await;
    let id = alice.subscribe(Said::new(SUBSCRIBE, "/chat/a")).await;
    let asked = || Said::new(SUBSCRIBE, "/chat/a").of(&id);
    for addr in grpc {
        for stranger in ["bob", ""] {
            let mut call = Call::by(addr, stranger).await;
            assert_ne!(call.subscribe(asked()).await, id, "{stranger:?}");
            let mut feed = subscribe_by(addr, stranger, asked()).await.unwrap();
            let ack = within(PATIENCE, "an answer", feed.next()).await.unwrap().unwrap();
            assert_ne!(ack.tracking_id, id, "{stranger:?}");
            for kind in [UNSUBSCRIBE, MESSAGE, HEARTBEAT] {
                let said = Said::new(kind, "/chat/a").of(&id);
                let refused = send_by(addr, stranger, said).await.unwrap_err();
                assert_eq!(refused.code(), Code::NotFound, "{stranger:?} {kind}");
            }
        }
        let refused = send_by(addr, "mallory", Said::message("/chat/a", "m").of(&id)).await;
        assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
        let mut feed = subscribe_by(addr, "mallory", asked()).await.unwrap();
        let refused = within(PATIENCE, "an answer", feed.next()).await.unwrap();
        assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
        send_by(addr, "alice", Said::message("/chat/a", "own").of(&id)).await.unwrap();
        assert_eq!(alice.text("/chat/a").await, "own", "nothing else was published");
    }
    let mut moved = Call::by(grpc[1], "alice").await;
    assert_eq!(moved.subscribe(asked()).await, id);
}

async fn two(name: &str) -> (Place, [Node; 2], [SocketAddr; 2]) {
    let place = Place::new(name);
    let (one, other) = (chat(&place).await, chat(&place).await);
    sees(&one.0, 2).await;
    sees(&other.0, 2).await;
    (place, [one.0, other.0], [one.1, other.1])
}

/// Goal: one topic for all, whichever way and wherever they are connected.
#[tokio::test]
async fn a_topic_is_the_same_for_all_transports_on_all_nodes() {
    let (_place, nodes, grpc) = two("grpc").await;
    let http = serve(&nodes[1]);
    let mut socket = Client::bare(http, "/chat/a").await;
    let mut call = Call::new(grpc[0]).await;
    let id = call.subscribe(Said::new(SUBSCRIBE, "/chat/a")).await;
    let topic = nodes[0].topic("/chat/a").unwrap();
    until("both are known", || topic.members().len() == 2).await;
    let mut feed = subscribe(grpc[1], Said::new(SUBSCRIBE, "/chat/a")).await.unwrap();
    let fed = feed.next().await.unwrap().unwrap();
    assert_eq!((fed.kind, &*fed.topic), (ACK, "/chat/a"));
    until("all are known", || topic.members().len() == 3).await;

    socket.send("by WebSocket").await;
    assert_eq!(socket.text().await, "by WebSocket");
    assert_eq!(call.text("/chat/a").await, "by WebSocket");
    assert_eq!(feed.next().await.unwrap().unwrap().payload, "by WebSocket");

    call.say(Said::message("/chat/a", "by gRPC")).await;
    assert_eq!(call.text("/chat/a").await, "by gRPC");
    assert_eq!(socket.text().await, "by gRPC");
    let bytes = vec![0, 0xff, b'|'];
    call.say(Said { binary_payload: bytes.clone(), ..Said::message("/chat/a", "") }).await;
    assert_eq!(call.next().await.binary_payload, bytes);
    assert_eq!(socket.next().await, Received::Binary(bytes));

    // In the name of either session, on either node.
    for (addr, id) in [(grpc[1], &id), (grpc[0], &fed.tracking_id)] {
        let ack = send(addr, Said::message("/chat/a", "sent").of(id)).await.unwrap();
        assert_eq!((ack.kind, &*ack.tracking_id), (ACK, &**id));
        assert_eq!(call.text("/chat/a").await, "sent");
        assert_eq!(socket.text().await, "sent");
    }
    let beat = Said { payload: "tick".to_owned(), ..Said::new(HEARTBEAT, "/chat/a") };
    call.say(beat.clone()).await;
    assert_eq!(call.next().await, beat);
}

/// Goal: who comes back, to another node, gets what it missed, once if it says what it has.
#[tokio::test]
async fn a_client_whose_stream_was_cut_gets_what_it_missed() {
    let (_place, nodes, grpc) = two("cut").await;
    let mut call = Call::new(grpc[0]).await;
    let id = call.subscribe(Said::new(SUBSCRIBE, "/chat/a")).await;
    call.say(Said::message("/chat/a", "seen")).await;
    let seen = call.next().await;
    assert_eq!(seen.payload, "seen");
    let mut position = seen.headers[POSITION].clone();
    drop(call);
    for round in 0..4 {
        for n in 0..100 {
            nodes[0].topic("/chat/a").unwrap().publish(format!("{round}: {n}")).await.unwrap();
        }
        let mut call = Call::new(grpc[1 - round % 2]).await;
        let said = Said::new(SUBSCRIBE, "/chat/a").of(&id).at(&position);
        assert_eq!(call.subscribe(said).await, id);
        for n in 0..100 {
            let said = call.next().await;
            assert_eq!(said.payload, format!("{round}: {n}"));
            position = said.headers.get(POSITION).cloned().unwrap_or(position);
        }
    }
    // Without a position, what may not have arrived comes again.
    let mut call = Call::new(grpc[0]).await;
    assert_eq!(call.subscribe(Said::new(SUBSCRIBE, "/chat/a").of(&id)).await, id);
    call.say(Said::message("/chat/a", "last")).await;
    while call.text("/chat/a").await != "last" {}
}

/// Goal: who says what it has need not be waited for.
#[tokio::test]
async fn what_a_client_says_it_has_is_settled() {
    let place = Place::new("acknowledged");
    let (node, grpc) = chat(&place).await;
    let mut call = Call::new(grpc).await;
    call.subscribe(Said::new(SUBSCRIBE, "/chat/a")).await;
    for text in ["one", "two", "three"] {
        let receipt = node.topic("/chat/a").unwrap().publish(text).await.unwrap();
        let said = call.next().await;
        assert_eq!(said.payload, text);
        call.say(Said::new(ACK, "/chat/a").at(&said.headers[POSITION])).await;
        within(PATIENCE, "the message is settled", receipt.settled()).await;
    }
    // What it has not is not settled by what it has.
    let receipt = node.topic("/chat/a").unwrap().publish("four").await.unwrap();
    let four = call.next().await;
    call.say(Said::new(ACK, "/chat/a")).await;
    call.say(Said::new(ACK, "/chat/a").at("nonsense")).await;
    assert_eq!(call.next().await.code(), Code::InvalidArgument);
    assert!(tokio::time::timeout(Duration::from_millis(200), receipt.settled()).await.is_err());
    call.say(Said::new(ACK, "/chat/a").at(&four.headers[POSITION])).await;
    within(PATIENCE, "the message is settled", receipt.settled()).await;
}

/// Goal: each topic of a stream is its own session, and ends alone.
#[tokio::test]
async fn two_topics_of_one_stream_are_told_apart() {
    let place = Place::new("topics");
    let (node, grpc) = chat(&place).await;
    let http = serve(&node);
    let mut call = Call::new(grpc).await;
    let a = call.subscribe(Said::new(SUBSCRIBE, "/chat/a")).await;
    let b = call.subscribe(Said::new(SUBSCRIBE, "/chat/b")).await;
    assert_ne!(a, b);
    assert_eq!(call.subscribe(Said::new(SUBSCRIBE, "/chat/a")).await, a, "it is subscribed to");
    for topic in ["/chat/a", "/chat/b", "/chat/a"] {
        assert_eq!(post(http, topic, b"posted").await.status, 200);
        assert_eq!(call.text(topic).await, "posted");
        call.say(Said::message(topic, "said")).await;
        assert_eq!(call.text(topic).await, "said");
        call.say(Said::message(topic, "only me")).await;
        assert_eq!(call.text(topic).await, "only me");
    }
    call.say(Said::message("/chat/b", "how")).await;
    assert_eq!(call.text("/chat/b").await, "Some(Grpc)");
    call.say(Said::new(UNSUBSCRIBE, "/chat/a")).await;
    let ack = call.next().await;
    assert_eq!((ack.kind, &*ack.topic, &ack.tracking_id), (ACK, "/chat/a", &a));
    until("the session is over", || node.topic("/chat/a").unwrap().members().is_empty()).await;
    post(http, "/chat/a", b"unheard").await;
    post(http, "/chat/b", b"heard").await;
    assert_eq!(call.text("/chat/b").await, "heard");
    // Said to a topic that it does not read, as if it was posted.
    let mut other = Call::new(grpc).await;
    other.subscribe(Said::new(SUBSCRIBE, "/chat/a")).await;
    call.say(Said::message("/chat/a", "from b")).await;
    assert_eq!(other.text("/chat/a").await, "from b");

    // Who is done is gone at once, and for good.
    let Call { out, mut incoming } = call;
    drop(out);
    assert!(within(PATIENCE, "the call ends", incoming.next()).await.is_none());
    until("the session is over", || node.topic("/chat/b").unwrap().members().is_empty()).await;
    let late = send(grpc, Said::message("/chat/b", "late").of(&b)).await;
    assert_eq!(late.unwrap_err().code(), Code::NotFound);
}

/// Goal: what cannot be is refused, and the rest of the stream goes on.
#[tokio::test]
async fn what_cannot_be_is_refused_by_itself() {
    let place = Place::new("refused");
    let (_node, grpc) = chat(&place).await;
    let mut call = Call::new(grpc).await;
    let id = call.subscribe(Said::new(SUBSCRIBE, "/chat/a")).await;
    let both = Said { binary_payload: vec![1], ..Said::message("/chat/a", "both") };
    let big = "x".repeat((1 << 20) + 1);
    for (said, code) in [
        (Said::new(SUBSCRIBE, "/nothing"), Code::NotFound),
        (Said::message("/nothing", "hi"), Code::NotFound),
        (Said::new(UNSUBSCRIBE, "/chat/b"), Code::NotFound),
        (Said::new(SUBSCRIBE, "/chat/closed"), Code::PermissionDenied),
        (Said::new(SUBSCRIBE, ""), Code::InvalidArgument),
        (Said::new(SUBSCRIBE, "~private"), Code::InvalidArgument),
        (Said::new(SUBSCRIBE, "/chat/b").at("nonsense"), Code::InvalidArgument),
        (Said::new(17, "/chat/a"), Code::InvalidArgument),
        (both, Code::InvalidArgument),
        (Said::message("/chat/a", &big), Code::ResourceExhausted),
    ] {
        let topic = said.topic.clone();
        call.say(said).await;
        let refused = call.next().await;
        assert_eq!((&refused.topic, refused.code()), (&topic, code), "{refused:?}");
    }
    call.say(Said::message("/chat/a", "still here")).await;
    assert_eq!(call.text("/chat/a").await, "still here");
    call.say(Said::message("/chat/a", "bye")).await;
    assert_eq!(call.next().await.code(), Code::InvalidArgument, "the handler ended the session");

    let unknown = "2c1f0000-1234-4abc-8def-0123456789ab";
    for of in [unknown, "", "nonsense", &id] {
        let refused = send(grpc, Said::message("/chat/a", "hi").of(of)).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound, "{of:?}");
    }
    for (topic, code) in [("/nothing", Code::NotFound), ("/chat/closed", Code::PermissionDenied)] {
        let refused = subscribe(grpc, Said::new(SUBSCRIBE, topic)).await.unwrap_err();
        assert_eq!(refused.code(), code, "{topic}");
    }
    let post = post(grpc, path("Send").as_str(), b"\0\0\0\0\0").await;
    assert_eq!(post.status, 505, "a page could send that");
}

/// Goal: a stream has as many topics as it may, and a message is as long as it may be.
#[tokio::test]
async fn a_stream_has_its_limits() {
    let place = Place::new("limits");
    let (_node, grpc) = chat(&place).await;
    let mut call = Call::new(grpc).await;
    for n in 0..64 {
        call.subscribe(Said::new(SUBSCRIBE, &format!("/chat/{n}"))).await;
    }
    call.say(Said::new(SUBSCRIBE, "/chat/64")).await;
    assert_eq!(call.next().await.code(), Code::ResourceExhausted);
    let big = "x".repeat(1 << 20);
    call.say(Said::message("/chat/63", &big)).await;
    assert_eq!(call.text("/chat/63").await, big);
    call.say(Said::message("/chat/63", &"x".repeat(2 << 20))).await;
    let end = call.try_next().await.unwrap().unwrap_err();
    assert_eq!(end.code(), Code::OutOfRange, "too long even to be read");
}

/// Goal: the newest stream of a session has it.
#[tokio::test]
async fn a_newer_stream_takes_the_session_over() {
    let (_place, nodes, grpc) = two("newest").await;
    let mut older = Call::new(grpc[0]).await;
    let id = older.subscribe(Said::new(SUBSCRIBE, "/chat/a")).await;
    let mut newer = Call::new(grpc[1]).await;
    assert_eq!(newer.subscribe(Said::new(SUBSCRIBE, "/chat/a").of(&id)).await, id);
    assert_eq!(older.next().await.code(), Code::Aborted);
    nodes[0].topic("/chat/a").unwrap().publish("hi").await.unwrap();
    assert_eq!(newer.text("/chat/a").await, "hi");
    older.say(Said::new(HEARTBEAT, "")).await;
    assert_eq!(older.next().await.kind, HEARTBEAT);
}

/// Goal: who does not read delays nobody.
#[tokio::test]
async fn a_stopped_reader_delays_nobody() {
    let place = Place::new("stopped");
    let (node, grpc) = chat(&place).await;
    let mut stopped = Call::new(grpc).await;
    stopped.subscribe(Said::new(SUBSCRIBE, "/chat/a")).await;
    let mut reader = Call::new(grpc).await;
    reader.subscribe(Said::new(SUBSCRIBE, "/chat/a")).await;
    let big = "x".repeat(100_000);
    for n in 0..100 {
        node.topic("/chat/a").unwrap().publish(format!("{n} {big}")).await.unwrap();
        assert_eq!(reader.text("/chat/a").await, format!("{n} {big}"));
    }
    for n in 0..100 {
        assert_eq!(stopped.text("/chat/a").await, format!("{n} {big}"));
    }
}

/// Goal: the end of a node ends its calls, whatever they do, and says where to go.
#[tokio::test]
async fn the_end_of_a_node_ends_all_calls() {
    let place = Place::new("end");
    let (node, grpc) = chat(&place).await;
    let mut feed = subscribe(grpc, Said::new(SUBSCRIBE, "/chat/a")).await.unwrap();
    assert_eq!(feed.next().await.unwrap().unwrap().kind, ACK);
    let mut idle = Call::new(grpc).await;
    let mut health = HealthClient::new(connect(grpc).await);
    let request = HealthCheckRequest { service: String::new() };
    let mut watch = health.watch(request).await.unwrap().into_inner();
    assert_eq!(watch.next().await.unwrap().unwrap().status, SERVING);
    within(Duration::from_secs(4), "the node ends", node.shutdown()).await;
    let ended = |end: Option<Result<Said, Status>>| end.unwrap().unwrap_err().code();
    assert_eq!(ended(feed.next().await), Code::Unavailable);
    assert_eq!(ended(idle.try_next().await), Code::Unavailable);
    assert_eq!(watch.next().await.unwrap().unwrap_err().code(), Code::Unavailable);
}

const SERVING: i32 = 1;

/// Goal: tools find out what there is, and balancers that it is well.
#[tokio::test]
async fn the_service_can_be_asked_about() {
    let place = Place::new("asked");
    let (_node, grpc) = chat(&place).await;
    let mut health = HealthClient::new(connect(grpc).await);
    for service in ["", "org.atmosphere.grpc.AtmosphereService"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        assert_eq!(health.check(request).await.unwrap().into_inner().status, SERVING);
    }
    let ask = async |asked: MessageRequest| {
        let mut client = ServerReflectionClient::new(connect(grpc).await);
        let request = ServerReflectionRequest { host: String::new(), message_request: Some(asked) };
        let request = stream::iter([request]);
        let mut answers = client.server_reflection_info(request).await.unwrap().into_inner();
        answers.next().await.unwrap().unwrap().message_response.unwrap()
    };
    let listed = ask(MessageRequest::ListServices(String::new())).await;
    let MessageResponse::ListServicesResponse(listed) = listed else { panic!("{listed:?}") };
    let mut names: Vec<_> = listed.service.into_iter().map(|service| service.name).collect();
    names.sort();
    assert_eq!(
        names,
        [
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "org.atmosphere.grpc.AtmosphereService"
        ]
    );
    let symbol = "org.atmosphere.grpc.AtmosphereMessage".to_owned();
    let described = ask(MessageRequest::FileContainingSymbol(symbol)).await;
    let MessageResponse::FileDescriptorResponse(file) = described else { panic!("{described:?}") };
    let file = String::from_utf8_lossy(&file.file_descriptor_proto[0]).into_owned();
    assert!(file.contains("binary_payload") && file.contains("UNSUBSCRIBE"), "{file:?}");
}
