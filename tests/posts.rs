//! What a client that speaks postman is told by event streams and polls, and posts to any node.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use exosphere::{
    Close, CloseReason, Connection, Evidence, Handler, Message, Node, Session, Transport,
};
use serde_json::{Value, json};
use support::{Answer, PATIENCE, Place, Stream, get, post, sees, serve, until, within};
use tokio::{
    sync::{Semaphore, mpsc},
    time::timeout,
};

/// How long nothing happens that must not happen.
const QUIET: Duration = Duration::from_millis(300);

const ROOM: &str = "/chat/room";

/// What a handler was told.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Told {
    Message(String, Connection),
    Disconnected(CloseReason),
}

/// Publishes what it is told, answers `me` with `you` to its client alone, and is told `held` only as
/// often as it may be.
#[derive(Clone)]
struct Room(Arc<mpsc::UnboundedSender<Told>>, Arc<Semaphore>);

impl Handler for Room {
    async fn message(&self, session: &Session, message: Message) -> Result<(), Close> {
        let text = message.as_text().unwrap().to_owned();
        if text == "held" {
            self.1.acquire().await.unwrap().forget();
        }
        if text == "me" {
            session.send("you").await?;
        } else {
            session.publish(ROOM, message).await?;
        }
        let connection = session.connection().expect("its client is here");
        self.0.send(Told::Message(text, connection)).unwrap();
        Ok(())
    }

    async fn disconnect(&self, _: &Session, reason: CloseReason) {
        self.0.send(Told::Disconnected(reason)).unwrap();
    }
}

/// Two nodes.
struct Two {
    nodes: [Node; 2],
    http: [SocketAddr; 2],
    told: mpsc::UnboundedReceiver<Told>,
    may: Arc<Semaphore>,
    _place: Place,
}

impl Two {
    async fn start(name: &str) -> Self {
        let place = Place::new(name);
        let (teller, told) = mpsc::unbounded_channel();
        let may = Arc::new(Semaphore::new(0));
        let room = Room(Arc::new(teller), Arc::clone(&may));
        let start = || place.node().route("/chat/{room}", room.clone()).start();
        let nodes = [start().await.unwrap(), start().await.unwrap()];
        sees(&nodes[0], 2).await;
        sees(&nodes[1], 2).await;
        let http = [serve(&nodes[0]), serve(&nodes[1])];
        Self { nodes, http, told, may, _place: place }
    }

    async fn told(&mut self) -> Told {
        within(PATIENCE, "the handler is told", self.told.recv()).await.unwrap()
    }
}

/// A client of an event stream.
struct Reader {
    stream: Stream,
    hello: Value,
}

impl Reader {
    async fn open(http: SocketAddr, query: &str) -> Self {
        let target = format!("{ROOM}?X-Exosphere-Postman=1{query}");
        let stream = Stream::open(http, &target, &["Accept: text/event-stream"]).await;
        assert_eq!(stream.status, 200);
        let mut reader = Self { stream, hello: Value::Null };
        reader.hello = reader.next().await;
        assert_eq!(reader.hello["hello"], 1, "{}", reader.hello);
        reader
    }

    async fn next(&mut self) -> Value {
        read(&self.stream.event().await.expect("the stream goes on").data)
    }

    /// What names it in its posts.
    fn name(&self) -> String {
        name(&self.hello)
    }
}

fn name(hello: &Value) -> String {
    let (session, series) = (hello["session"].as_str(), hello["series"].as_str());
    format!("&X-Atmosphere-tracking-id={}&X-Exosphere-Series={}", session.unwrap(), series.unwrap())
}

fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text:?}"))
}

fn key(number: u64) -> String {
    format!("00000000000000ab.{number}")
}

/// Posts pushes with these numbers and texts.
async fn push(http: SocketAddr, name: &str, pushes: &[(u64, &str)]) -> Answer {
    let lines = pushes.iter();
    let lines = lines.map(|(number, text)| json!({ "id": key(*number), "message": text }));
    let lines: Vec<_> = lines.map(|line| line.to_string()).collect();
    say(http, name, &lines.join("\n")).await
}

async fn confirm(http: SocketAddr, name: &str, mark: &Value) {
    let answer = say(http, name, &json!({ "confirm": mark["mark"] }).to_string()).await;
    assert_eq!((answer.status, &*answer.body), (200, ""));
}

async fn say(http: SocketAddr, name: &str, lines: &str) -> Answer {
    let target = format!("{ROOM}?X-Exosphere-Postman=1{name}.0");
    post(http, &target, lines.as_bytes()).await
}

fn acknowledged(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body.lines().map(read).collect()
}

fn stored(number: u64) -> Value {
    json!({ "ack": key(number), "level": "replicated", "nodes": 2 })
}

#[tokio::test]
async fn what_is_posted_to_any_node_is_stored_and_told_once_and_in_order() {
    let mut two = Two::start("posted").await;
    let [a, b] = two.http;
    let mut reader = Reader::open(a, "").await;
    let name = reader.name();
    let answer = push(b, &name, &[(1, "one"), (2, "two")]).await;
    assert_eq!(acknowledged(&answer), [stored(1), stored(2)]);
    let answer = push(a, &name, &[(2, "two"), (3, "three")]).await;
    assert_eq!(acknowledged(&answer), [stored(2), stored(3)]);
    let expected = (Transport::EventStream, Evidence::Client);
    for text in ["one", "two", "three"] {
        let Told::Message(told, connection) = two.told().await else { panic!("no message") };
        assert_eq!((&*told, (connection.transport, connection.evidence)), (text, expected));
    }
    let mut texts = Vec::new();
    while texts.len() < 3 {
        let frame = reader.next().await;
        texts.extend(frame["message"].as_str().map(str::to_owned));
    }
    assert_eq!(texts, ["one", "two", "three"]);
    assert_eq!(reader.hello["node"], two.nodes[0].id().to_string());
    assert!(timeout(QUIET, two.told.recv()).await.is_err(), "each is told once");
}

#[tokio::test]
async fn what_a_stream_brings_is_had_once_it_is_confirmed_to_any_node() {
    let mut two = Two::start("confirmed").await;
    let [a, b] = two.http;
    let topic = two.nodes[1].topic(ROOM).unwrap();
    let mut reader = Reader::open(a, "").await;
    let name = reader.name();
    until("it has joined", || topic.members().len() == 1).await;
    let text = topic.publish("hello").await.unwrap();
    assert_eq!(reader.next().await["message"], "hello");
    let mark = reader.next().await;
    assert!(mark["position"].is_string(), "{mark}");
    assert!(timeout(QUIET, text.settled()).await.is_err(), "the application does not have it");
    confirm(b, &name, &mark).await;
    within(PATIENCE, "it is confirmed", text.settled()).await;

    // What it is told alone is confirmed in the same way; of another connection it is not.
    assert_eq!(acknowledged(&push(b, &name, &[(1, "me")]).await).len(), 1);
    assert_eq!(reader.next().await["message"], "you");
    let mark = reader.next().await;
    two.told().await;
    let mut again = Reader::open(b, &name.replace("Series", "Ignored")).await;
    assert_eq!(again.hello["resumed"], true);
    assert_eq!(again.next().await["message"], "you");
    let again_mark = again.next().await;
    assert_eq!(again_mark["mark"], 1);
    confirm(a, &name, &json!({ "mark": 1 })).await;
    let mut again = Reader::open(a, &name.replace("Series", "Ignored")).await;
    assert_eq!(again.next().await["message"], "you");
    confirm(b, &again.name(), &again.next().await).await;
    drop(mark);
    topic.publish("last").await.unwrap();
    let mut last = Reader::open(a, &name.replace("Series", "Ignored")).await;
    assert_eq!(last.next().await["message"], "last");
}

/// The frames of the answer to a poll.
async fn poll(http: SocketAddr, query: &str) -> Vec<Value> {
    let answer = try_poll(http, query).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let events = answer.body.split("\r\n\r\n").filter_map(|event| event.strip_prefix("data:"));
    events.map(read).collect()
}

async fn try_poll(http: SocketAddr, query: &str) -> Answer {
    let polled = "X-Exosphere-Postman=1&X-Atmosphere-Transport=long-polling";
    get(http, &format!("{ROOM}?{polled}{query}")).await
}

#[tokio::test]
async fn polls_say_which_answers_have_arrived_and_may_reach_any_node() {
    let two = Two::start("polls").await;
    let [a, b] = two.http;
    let topic = two.nodes[1].topic(ROOM).unwrap();
    let hello = poll(a, "").await.remove(0);
    assert_eq!(hello["resumed"], false);
    until("it has joined", || topic.members().len() == 1).await;
    topic.publish("one").await.unwrap();
    let first = poll(a, &format!("{}.1", name(&hello))).await;
    assert_eq!((&first[0]["message"], &first[1]["mark"]), (&json!("one"), &json!(1)));
    // The answer was lost: the client asks once more, and then begins another series.
    assert_eq!(try_poll(a, &format!("{}.1", name(&hello))).await.status, 409);
    let session = format!("&X-Atmosphere-tracking-id={}", hello["session"].as_str().unwrap());
    let back = poll(a, &session).await.remove(0);
    assert_eq!(back["resumed"], true);
    let first = poll(a, &format!("{}.1", name(&back))).await;
    assert_eq!(first[0]["message"], "one");
    confirm(b, &name(&back), &first[1]).await;
    // Another node has not answered before: it does so in a series of its own.
    topic.publish("two").await.unwrap();
    let moved = poll(b, &format!("{}.2", name(&back))).await;
    assert_eq!(moved[0]["node"], two.nodes[1].id().to_string());
    assert_eq!((&moved[1]["message"], &moved[2]["mark"]), (&json!("two"), &json!(1)));
    confirm(a, &name(&moved[0]), &moved[2]).await;
    topic.publish("three").await.unwrap();
    assert_eq!(poll(b, &format!("{}.1", name(&moved[0]))).await[0]["message"], "three");
}

/// Goal: a client whose application takes its time is told more, and confirms one thing at a time.
#[tokio::test]
async fn a_poll_is_answered_while_something_is_to_be_confirmed() {
    let two = Two::start("unconfirmed").await;
    let [a, b] = two.http;
    let topic = two.nodes[0].topic(ROOM).unwrap();
    let hello = poll(a, "").await.remove(0);
    let name = name(&hello);
    until("it has joined", || topic.members().len() == 1).await;
    topic.publish("one").await.unwrap();
    let first = poll(a, &format!("{name}.1")).await;
    let two_is_out = topic.publish("two").await.unwrap();
    let second = poll(a, &format!("{name}.2")).await;
    assert_eq!((&second[0]["message"], second.len()), (&json!("two"), 1), "one mark at a time");
    let query = format!("{name}.3");
    let (third, ()) = tokio::join!(poll(a, &query), confirm(b, &name, &first[1]));
    assert_eq!((&third[0]["mark"], third.len()), (&json!(2), 1));
    assert!(timeout(QUIET, two_is_out.settled()).await.is_err());
    confirm(b, &name, &third[0]).await;
    within(PATIENCE, "it is confirmed", two_is_out.settled()).await;
}

#[tokio::test]
async fn what_cannot_be_taken_is_refused_or_to_be_posted_again() {
    let two = Two::start("refused").await;
    let [a, b] = two.http;
    let reader = Reader::open(a, "").await;
    let name = reader.name();
    for (lines, status) in [("hello", 400), ("{}", 400), ("\u{e9}", 400), ("", 200), ("\n\n", 200)]
    {
        assert_eq!(say(b, &name, lines).await.status, status, "{lines:?}");
    }
    let long = "x".repeat(1 << 20);
    assert_eq!(push(b, &name, &[(1, &long)]).await.status, 413);
    let nobody = "&X-Atmosphere-tracking-id=2c1f0000-1234-4abc-8def-0123456789ab\
                  &X-Exosphere-Series=0000000000000001";
    assert_eq!(push(b, nobody, &[(1, "x")]).await.status, 410);
    assert_eq!(say(b, nobody, "hello").await.status, 410, "nobody reads what nobody may say");
    let unnamed = format!("{ROOM}?X-Exosphere-Postman=1");
    assert_eq!(post(a, &unnamed, b"").await.status, 410);
    let unnamed = format!("{unnamed}&X-Exosphere-Series=1.0");
    assert_eq!(post(a, &unnamed, b"").await.status, 400);

    drop(reader);
    let mut status = 200;
    for number in 1.. {
        let answer = push(b, &name, &[(number, "x")]).await;
        if answer.status != 200 {
            assert_eq!(answer.header("retry-after"), Some("1"));
            status = answer.status;
            break;
        }
    }
    assert_eq!(status, 503, "nobody reads");
}

#[tokio::test]
async fn who_posts_that_it_is_done_is_done_once_all_is_handled() {
    let mut two = Two::start("done").await;
    let [a, b] = two.http;
    let mut reader = Reader::open(a, "").await;
    let name = reader.name();
    let pushes: Vec<_> = (1..=20).map(|number| (number, "held")).collect();
    assert_eq!(acknowledged(&push(b, &name, &pushes).await).len(), 20);
    let done = format!("{ROOM}?X-Exosphere-Postman=1&X-Atmosphere-Transport=close{name}.0");
    assert_eq!(post(b, &done, b"").await.status, 200);
    two.may.add_permits(20);
    for _ in 0..20 {
        assert!(matches!(two.told().await, Told::Message(..)));
    }
    assert_eq!(two.told().await, Told::Disconnected(CloseReason::Client));
    loop {
        let frame = reader.next().await;
        if frame.get("close").is_some() {
            assert_eq!(frame, json!({ "close": 1000, "reason": "the session is over" }));
            break;
        }
    }
    assert_eq!(reader.stream.event().await, None);
}
