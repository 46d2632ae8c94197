//! The library in an application: mounted in its server, told of its clients, and shut down with it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use exosphere::{
    Accounting, Close, CloseCode, CloseReason, Ending, Fate, Handler, Level, Message, Node,
    NodeService, PublishError, ServeError, Session, SessionId,
};
use support::{
    Client, PATIENCE, Place, Received, limit, now, post, publish, sees, serve, spawn, within,
};
use tokio::{
    net::TcpListener,
    sync::{Notify, mpsc},
    time::timeout,
};

/// How long nothing happens that must not happen.
const QUIET: Duration = Duration::from_millis(300);

async fn chat(place: &Place) -> Node {
    place.node().route("/chat/{room}", publish).start().await.unwrap()
}

/// What a handler was told.
#[derive(Debug)]
enum Told {
    Ready(Session),
    Message(Session, String),
    Disconnect(SessionId, CloseReason),
}

/// A handler that passes on what it is told. A message `wait` takes until the test has notified it,
/// and a message `panic` is not survived.
#[derive(Clone)]
struct Recorder {
    told: mpsc::UnboundedSender<Told>,
    go_on: Arc<Notify>,
}

impl Recorder {
    fn new() -> (Self, mpsc::UnboundedReceiver<Told>) {
        let (told, tells) = mpsc::unbounded_channel();
        (Self { told, go_on: Arc::default() }, tells)
    }
}

impl Handler for Recorder {
    async fn ready(&self, session: &Session) -> Result<(), Close> {
        self.told.send(Told::Ready(session.clone())).unwrap();
        Ok(session.join(session.path().as_str()).await?)
    }

    async fn message(&self, session: &Session, message: Message) -> Result<(), Close> {
        let text = message.as_text().unwrap().to_owned();
        match &*text {
            "wait" => self.go_on.notified().await,
            "panic" => panic!("as the test wants it"),
            "leave" => return Err(Close::new(CloseCode::Forbidden, "not you")),
            _ => {}
        }
        self.told.send(Told::Message(session.clone(), text)).unwrap();
        Ok(())
    }

    async fn disconnect(&self, session: &Session, reason: CloseReason) {
        self.told.send(Told::Disconnect(session.id(), reason)).unwrap();
    }
}

async fn next(tells: &mut mpsc::UnboundedReceiver<Told>) -> Told {
    within(PATIENCE, "the handler is told something", tells.recv()).await.unwrap()
}

async fn ready(tells: &mut mpsc::UnboundedReceiver<Told>) -> Session {
    match next(tells).await {
        Told::Ready(session) => session,
        other => panic!("{other:?}"),
    }
}

async fn message(tells: &mut mpsc::UnboundedReceiver<Told>) -> String {
    match next(tells).await {
        Told::Message(_, text) => text,
        other => panic!("{other:?}"),
    }
}

/// Serves the node with hyper alone.
async fn serve_with_hyper(service: NodeService) -> SocketAddr {
    use hyper_util::{
        rt::{TokioExecutor, TokioIo},
        server::conn::auto::Builder,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service.clone();
            spawn(async move {
                let builder = Builder::new(TokioExecutor::new());
                let io = TokioIo::new(stream);
                builder.serve_connection_with_upgrades(io, service).await
            });
        }
    });
    addr
}

/// Serves the node within an application of axum's.
async fn serve_with_axum(service: NodeService) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let router = axum::Router::new()
        .route("/own", axum::routing::get(async || "the application's"))
        .fallback_service(service);
    spawn(async move { axum::serve(listener, router).await });
    addr
}

#[tokio::test]
async fn a_node_serves_alone_and_within_axum_and_within_hyper() {
    let node = chat(&Place::new("mounted")).await;
    let servers = [
        serve(&node),
        serve_with_axum(node.service()).await,
        serve_with_hyper(node.service()).await,
    ];
    let mut clients = Vec::new();
    for http in servers {
        clients.push(Client::new(http, "/chat/room").await);
    }
    for (n, http) in servers.into_iter().enumerate() {
        let text = format!("to {n}");
        clients[n].send(&text).await;
        for client in &mut clients {
            assert_eq!(client.text().await, text);
        }
        let answer = post(http, "/chat/room", b"posted").await;
        assert_eq!((answer.status, answer.body.as_str()), (200, ""));
        for client in &mut clients {
            assert_eq!(client.text().await, "posted");
        }
    }
    let own = support::get(servers[1], "/own").await;
    assert_eq!((own.status, own.body.as_str()), (200, "the application's"));
}

#[tokio::test]
async fn an_address_that_clients_cannot_be_served_on_is_reported_and_the_node_goes_on() {
    let node = chat(&Place::new("taken")).await;
    let http = serve(&node);
    let again = node.serve(http).await;
    assert!(matches!(again, Err(ServeError::Bind(_))), "{again:?}");
    Client::new(http, "/chat/room").await;
}

#[tokio::test]
async fn members_say_who_comes_and_goes() {
    let place = Place::new("members");
    let first = chat(&place).await;
    let mut members = first.members();
    assert_eq!(members.current().members().len(), 1);
    let second = chat(&place).await;
    let roster = within(PATIENCE, "another comes", members.changed()).await.unwrap();
    let mut ids: Vec<_> = roster.members().iter().map(|member| (member.id, member.this)).collect();
    let mut expected = [(first.id(), true), (second.id(), false)];
    ids.sort();
    expected.sort();
    assert_eq!(ids, expected);
    assert_eq!(roster, members.current());

    let left = now();
    second.shutdown().await;
    let roster = within(PATIENCE, "the other goes", members.changed()).await.unwrap();
    assert!(left.elapsed() < limit(Duration::from_secs(1)), "{:?}", left.elapsed());
    assert_eq!(roster.members().len(), 1);
    let late = first.members();
    assert_eq!(late.current(), roster);
    first.shutdown().await;
    assert_eq!(within(PATIENCE, "the node ends", members.changed()).await, None);
}

#[tokio::test]
async fn a_watch_of_members_waits_for_what_is_new() {
    let place = Place::new("watch");
    let (first, _second) = (chat(&place).await, chat(&place).await);
    sees(&first, 2).await;
    let mut members = first.members();
    assert_eq!(members.current().members().len(), 2);
    assert!(timeout(QUIET, members.changed()).await.is_err(), "nothing has changed since");
}

#[tokio::test]
async fn a_shutdown_sends_clients_to_another_node_where_they_miss_nothing() {
    let place = Place::new("shutdown");
    let (leaving, staying) = (chat(&place).await, chat(&place).await);
    sees(&leaving, 2).await;
    let http = [serve(&leaving), serve(&staying)];
    let mut client = Client::new(http[0], "/chat/room").await;
    client.send("before").await;
    assert_eq!(client.text().await, "before");
    let id = client.id.clone();
    let start = now();
    let (code, ()) = tokio::join!(client.closed(), leaving.shutdown());
    assert_eq!(code, 1001);
    assert!(start.elapsed() < limit(Duration::from_secs(1)), "{:?}", start.elapsed());
    sees(&staying, 1).await;
    post(http[1], "/chat/room", b"meanwhile").await;
    let mut client = Client::resume(http[1], "/chat/room", &id).await;
    assert_eq!(client.id, id);
    let mut heard = client.text().await;
    if heard == "before" {
        heard = client.text().await; // It had not been acknowledged.
    }
    assert_eq!(heard, "meanwhile");
    assert!(leaving.topic("/chat/room").unwrap().publish("late").await.is_err());
    leaving.shutdown().await;
}

/// Goal: what is accepted is handed over, however late that is.
///
/// Method: publish on a node as fast as possible until it says that it is shutting down.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_accepts_while_it_shuts_down_is_not_lost() {
    let place = Place::new("late");
    let (leaving, staying) = (chat(&place).await, chat(&place).await);
    sees(&leaving, 2).await;
    let mut client = Client::new(serve(&staying), "/chat/room").await;
    let topic = leaving.topic("/chat/room").unwrap();
    support::until("the session is known", || topic.members().len() == 1).await;
    let publishing = spawn(async move {
        for n in 0_u32.. {
            if let Err(refused) = topic.publish(n.to_string()).await {
                return (n, refused);
            }
            tokio::task::yield_now().await;
        }
        unreachable!("there are fewer");
    });
    assert_eq!(client.text().await, "0");
    leaving.shutdown().await;
    let (count, refused) = publishing.await.unwrap();
    assert_eq!(refused, PublishError::ShuttingDown);
    println!("{count} were accepted");
    let mut last = 0;
    while last + 1 < count {
        last = client.text().await.parse().unwrap();
    }
}

#[tokio::test]
async fn a_receipt_tells_when_another_node_has_the_message_and_when_every_session_has_it() {
    let place = Place::new("receipt");
    let first = chat(&place).await;
    let topic = first.topic("/chat/room").unwrap();
    let early = topic.publish("early").await.unwrap();
    let stored = within(PATIENCE, "there is nobody else", early.stored(1)).await;
    assert_eq!((stored.nodes, stored.short, stored.level), (0, true, Level::Local));
    let settled = within(PATIENCE, "nobody is to get it", early.settled()).await;
    assert_eq!(settled, Some(Ending::Acknowledged));

    let second = chat(&place).await;
    sees(&first, 2).await;
    let mut client = Client::new(serve(&second), "/chat/room").await;
    support::until("the session is known", || topic.members().len() == 1).await;
    let receipt = topic.publish("hello").await.unwrap();
    let stored = within(PATIENCE, "the other node has it", receipt.stored(1)).await;
    assert_eq!((stored.nodes, stored.short, stored.level), (1, false, Level::Replicated));
    // A client confirms what it has while it reads.
    assert!(timeout(QUIET, receipt.settled()).await.is_err(), "it has not read yet");
    for node in [&first, &second] {
        let Fate::Pending(pending) = node.receipt(receipt.id()).report().fate else {
            panic!("{node:?} keeps it");
        };
        assert_eq!((pending.sessions, pending.acknowledged), (1, 0));
        assert_eq!(pending.waiting, topic.members());
    }
    assert_eq!(client.text().await, "hello");
    tokio::select! {
        settled = within(PATIENCE, "the client has it", receipt.settled()) => {
            assert_eq!(settled, Some(Ending::Acknowledged));
        }
        other = client.next() => panic!("{other:?}"),
    }
    // And a session that is over needs nothing any more.
    let receipt = topic.publish("late").await.unwrap();
    client.close().await;
    within(PATIENCE, "nobody is left", receipt.settled()).await;
}

/// Goal: what became of every message is told, on each node, and the figures of nodes can be added.
///
/// Method: two nodes publish to a topic that nobody is in, and wait until it is closed.
#[tokio::test]
async fn every_message_is_accounted_for() {
    let place = Place::new("accounting");
    let nodes = [chat(&place).await, chat(&place).await];
    sees(&nodes[0], 2).await;
    let topics = [0, 1].map(|node| nodes[node].topic("/chat/empty").unwrap());
    let mut last = None;
    for _ in 0..3 {
        for topic in &topics {
            last = Some(topic.publish("m").await.unwrap());
        }
    }
    let last = last.unwrap();
    within(PATIENCE, "both have it", last.stored(1)).await;
    let of_topic = topics[1].accounting();
    assert_eq!((of_topic.stored.pending, of_topic.published.pending), (6, 3));

    let is_over = || nodes.iter().all(|node| node.accounting().stored.acknowledged == 6);
    support::until("all of it is dropped, of which nobody has need", is_over).await;
    assert_eq!(topics[1].accounting().stored.accepted, 0, "it is closed");
    let cluster: Accounting = nodes.iter().map(Node::accounting).sum();
    assert_eq!((cluster.published.accepted, cluster.published.acknowledged), (6, 6));
    assert_eq!((cluster.stored.accepted, cluster.unaccounted()), (12, 0));
    let Fate::Ended { topic, ending } = nodes[0].receipt(last.id()).report().fate else {
        panic!("the node remembers how it ended");
    };
    assert_eq!((&topic, ending), (topics[0].name(), Ending::Acknowledged));
}

#[tokio::test]
async fn a_message_reaches_those_it_is_for_on_whichever_node() {
    let place = Place::new("recipients");
    let nodes = [chat(&place).await, chat(&place).await];
    sees(&nodes[0], 2).await;
    let http = [serve(&nodes[0]), serve(&nodes[1])];
    let mut clients =
        [Client::new(http[0], "/chat/room").await, Client::new(http[1], "/chat/room").await];
    let ids = clients.each_ref().map(|client| client.id.parse::<SessionId>().unwrap());
    for node in &nodes {
        let topic = node.topic("/chat/room").unwrap();
        support::until("both are known", || topic.members().len() == 2).await;
        topic.publish_to([ids[0]], "to 0").await.unwrap();
        topic.publish_to([ids[1]], "to 1").await.unwrap();
        topic.publish_except([ids[0]], "not to 0").await.unwrap();
        topic.publish_except([ids[1]], "not to 1").await.unwrap();
        topic.publish("to all").await.unwrap();
        let [one, two] = &mut clients;
        for expected in ["to 0", "not to 1", "to all"] {
            assert_eq!(one.text().await, expected);
        }
        for expected in ["to 1", "not to 0", "to all"] {
            assert_eq!(two.text().await, expected);
        }
    }
}

#[tokio::test]
async fn what_is_sent_to_a_session_reaches_it_on_another_node() {
    let place = Place::new("send");
    let (recorder, mut tells) = Recorder::new();
    let start = || place.node().route("/chat/{room}", recorder.clone()).start();
    let nodes = [start().await.unwrap(), start().await.unwrap()];
    sees(&nodes[0], 2).await;
    let http = [serve(&nodes[0]), serve(&nodes[1])];
    let client = Client::new(http[0], "/chat/room").await;
    let session = ready(&mut tells).await;
    session.send("here").await.unwrap();
    let id = client.id.clone();
    client.cut();
    let mut client = Client::resume(http[1], "/chat/room", &id).await;
    assert_eq!(client.text().await, "here");
    session.send("there").await.unwrap();
    assert_eq!(client.text().await, "there");
    session.close(Close::new(CloseCode::Normal, "enough"));
    assert_eq!(client.closed().await, 1000);
    let Told::Disconnect(ended, _) = next(&mut tells).await else { panic!("not the end") };
    assert_eq!(ended, session.id());
    assert!(session.send("nowhere").await.is_err());
    assert!(timeout(QUIET, tells.recv()).await.is_err(), "all has been told");
}

#[tokio::test]
async fn paths_have_parameters_and_are_topics_of_their_own() {
    let (recorder, mut tells) = Recorder::new();
    let node = Place::new("paths").node().route("/{app}/of/{*rest}", recorder);
    let node = node.route("/other", publish).start().await.unwrap();
    let http = serve(&node);
    let mut clients = Vec::new();
    for (path, app, rest) in [
        ("/chat/of/a/b", "chat", "a/b"),
        ("/caf%C3%A9/of/%F0%9F%9A%80", "caf\u{e9}", "\u{1f680}"),
        ("/a%20b/of/c", "a b", "c"),
    ] {
        clients.push(Client::new(http, path).await);
        let session = ready(&mut tells).await;
        assert_eq!((session.param("app"), session.param("rest")), (Some(app), Some(rest)));
        assert_eq!(session.param("room"), None);
        assert_eq!(session.path().as_str(), format!("/{app}/of/{rest}"));
    }
    node.topic("/caf\u{e9}/of/\u{1f680}").unwrap().publish("to one").await.unwrap();
    assert_eq!(clients[1].text().await, "to one");
    assert_eq!(post(http, "/a%20b/of/c", b"posted").await.status, 200);
    assert_eq!(message(&mut tells).await, "posted");
}

#[tokio::test]
async fn a_slow_handler_gets_one_message_at_a_time_and_holds_up_nobody_else() {
    let (recorder, mut tells) = Recorder::new();
    let node = Place::new("slow").node().route("/chat", recorder.clone()).start().await.unwrap();
    let http = serve(&node);
    let mut slow = Client::new(http, "/chat").await;
    ready(&mut tells).await;
    let mut other = Client::new(http, "/chat").await;
    ready(&mut tells).await;
    slow.send("wait").await;
    let texts: Vec<_> = (0..100).map(|n| n.to_string()).collect();
    for text in &texts {
        slow.send(text).await;
    }
    other.send("quick").await;
    assert_eq!(message(&mut tells).await, "quick");
    assert!(timeout(QUIET, tells.recv()).await.is_err(), "the first message is still handled");
    recorder.go_on.notify_one();
    assert_eq!(message(&mut tells).await, "wait");
    for text in texts {
        assert_eq!(message(&mut tells).await, text);
    }
}

#[tokio::test]
async fn a_handler_that_panics_loses_its_own_session_only() {
    let (recorder, mut tells) = Recorder::new();
    let node = Place::new("panic").node().route("/chat", recorder).start().await.unwrap();
    let http = serve(&node);
    let mut bad = Client::new(http, "/chat").await;
    let session = ready(&mut tells).await;
    let mut good = Client::new(http, "/chat").await;
    ready(&mut tells).await;
    bad.send("panic").await;
    assert_eq!(bad.closed().await, 1011);
    let Told::Disconnect(ended, reason) = next(&mut tells).await else { panic!("not the end") };
    assert_eq!((ended, reason), (session.id(), CloseReason::Application));
    good.send("hello").await;
    assert_eq!(message(&mut tells).await, "hello");
    good.send("leave").await;
    assert_eq!(good.closed().await, 4403);
    assert!(matches!(next(&mut tells).await, Told::Disconnect(..)));
}

/// Goal: a session has one beginning and one end in the whole cluster, whichever nodes its client
/// is on.
#[tokio::test]
async fn a_session_begins_once_and_ends_once_though_its_client_moves() {
    let place = Place::new("moves");
    let (recorder, mut tells) = Recorder::new();
    let start = || place.node().route("/chat", recorder.clone()).start();
    let nodes = [start().await.unwrap(), start().await.unwrap()];
    sees(&nodes[0], 2).await;
    let http = [serve(&nodes[0]), serve(&nodes[1])];
    let mut client = Client::new(http[0], "/chat").await;
    let session = ready(&mut tells).await;
    for n in 0..10 {
        client.send("here").await;
        let Told::Message(from, _) = next(&mut tells).await else { panic!("no message") };
        assert_eq!(from.id(), session.id());
        let id = client.id.clone();
        if n % 2 == 0 {
            client.cut();
            client = Client::resume(http[(n + 1) % 2], "/chat", &id).await;
        } else {
            // The newer connection wins, and the older one is told.
            let newer = Client::resume(http[(n + 1) % 2], "/chat", &id).await;
            assert_eq!(client.closed().await, 4409);
            client = newer;
        }
        assert_eq!(client.id, id);
    }
    let closed = now();
    client.close().await;
    let Told::Disconnect(ended, reason) = next(&mut tells).await else { panic!("not the end") };
    assert!(closed.elapsed() < limit(Duration::from_secs(1)), "{:?}", closed.elapsed());
    assert_eq!((ended, reason), (session.id(), CloseReason::Client));
    assert!(timeout(QUIET, tells.recv()).await.is_err(), "all has been told");

    // Who comes back with the id of a session that is over has a new one.
    let back = Client::resume(http[0], "/chat", &session.id().to_string()).await;
    assert_ne!(back.id, session.id().to_string());
    assert_eq!(ready(&mut tells).await.id().to_string(), back.id);
}

/// Joins its topic late.
struct Slow;

impl Handler for Slow {
    async fn ready(&self, session: &Session) -> Result<(), Close> {
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        Ok(session.join(session.path().as_str()).await?)
    }

    async fn message(&self, session: &Session, message: Message) -> Result<(), Close> {
        publish(session.clone(), message).await
    }
}

/// Goal: who is connected has joined, however long that takes the handler. A test of the stock
/// clients failed once in a while for want of it.
#[tokio::test]
async fn who_is_connected_misses_nothing_from_then_on() {
    let place = Place::new("connected");
    let node = place.node().route("/chat/{room}", Slow).start().await.unwrap();
    let http = serve(&node);
    for n in 0..20 {
        let mut client = Client::bare(http, "/chat/lobby").await;
        let text = n.to_string();
        node.topic("/chat/lobby").unwrap().publish(text.as_str()).await.unwrap();
        assert_eq!(client.text().await, text);
    }
}

#[tokio::test]
async fn texts_and_bytes_arrive_as_what_they_are() {
    let place = Place::new("bytes");
    let nodes = [chat(&place).await, chat(&place).await];
    sees(&nodes[0], 2).await;
    let mut sender = Client::bare(serve(&nodes[0]), "/chat/room").await;
    let mut receiver = Client::bare(serve(&nodes[1]), "/chat/room").await;
    let topic = nodes[0].topic("/chat/room").unwrap();
    support::until("both are known", || topic.members().len() == 2).await;
    let large = vec![0xff; 1 << 20];
    for bytes in [vec![], vec![0, 0xff], large] {
        sender.send_binary(bytes.clone()).await;
        assert_eq!(receiver.next().await, Received::Binary(bytes));
    }
    let large = "\u{1f600}|".repeat((1 << 20) / 5);
    for text in ["", " ", "X", "a|X", "line\n\u{0}", &large] {
        sender.send(text).await;
        assert_eq!(receiver.next().await, Received::Text(text.to_owned()));
    }
}
