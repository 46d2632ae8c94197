//! What a client that speaks postman says over a WebSocket, and what it is told.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{net::SocketAddr, time::Duration};

use exosphere::{Message, Node};
use serde_json::{Value, json};
use support::{Client, PATIENCE, Place, Received, publish, serve, within};
use tokio::time::timeout;

/// How long nothing happens that must not happen.
const QUIET: Duration = Duration::from_millis(300);

const ROOM: &str = "/chat/room";

async fn chat(place: &Place) -> Node {
    place.node().route("/chat/{room}", publish).start().await.unwrap()
}

/// A client that speaks postman, and nothing of Atmosphere.
struct Postman {
    client: Client,
    hello: Value,
}

impl Postman {
    async fn new(http: SocketAddr) -> Self {
        Self::with(http, "").await
    }

    /// The client of `before`, on a connection of its own.
    async fn again(http: SocketAddr, before: &Self, query: &str) -> Self {
        let session = before.session();
        Self::with(http, &format!("&X-Atmosphere-tracking-id={session}{query}")).await
    }

    async fn with(http: SocketAddr, query: &str) -> Self {
        let path = format!("{ROOM}?X-Exosphere-Postman=1{query}");
        let mut client = Client::bare(http, &path).await;
        let hello = read(&client.text().await);
        assert_eq!(hello["hello"], 1, "{hello}");
        Self { client, hello }
    }

    fn session(&self) -> String {
        self.hello["session"].as_str().unwrap().to_owned()
    }

    async fn next(&mut self) -> Value {
        read(&self.client.text().await)
    }

    /// What comes next, but for marks, which are confirmed.
    async fn next_confirmed(&mut self) -> Value {
        loop {
            let frame = self.next().await;
            let Some(mark) = frame.get("mark") else { return frame };
            self.confirm(mark).await;
        }
    }

    async fn confirm(&mut self, mark: &Value) {
        self.client.send(json!({ "confirm": mark }).to_string()).await;
    }
}

fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text:?}"))
}

#[tokio::test]
async fn a_client_is_greeted_with_its_session_and_its_node() {
    let node = chat(&Place::new("hello")).await;
    let http = serve(&node);
    let first = Postman::new(http).await;
    assert_eq!(first.hello["node"], node.id().to_string());
    assert_eq!(first.hello["resumed"], false);
    let again = Postman::again(http, &first, "").await;
    assert_eq!(again.hello["session"], first.hello["session"]);
    assert_eq!(again.hello["resumed"], true);
    // One that another version of the library knows is not taken for a plain one.
    let refused = support::get(http, &format!("{ROOM}?X-Exosphere-Postman=2")).await;
    assert_eq!(refused.status, 501);
    assert!(refused.body.contains("version 1"), "{}", refused.body);
}

#[tokio::test]
async fn a_plugin_of_a_stock_client_is_greeted_twice_and_framed() {
    let node = chat(&Place::new("plugin")).await;
    let query = "X-Exosphere-Postman=1&X-Atmosphere-tracking-id=0&X-atmo-protocol=true\
                 &X-Atmosphere-Framework=3.1.3&X-Atmosphere-TrackMessageSize=true";
    let mut client = Client::bare(serve(&node), &format!("{ROOM}?{query}")).await;
    let unframed = |framed: String| {
        let (length, text) = framed.split_once('|').unwrap();
        assert_eq!(length.parse(), Ok(text.encode_utf16().count()), "{framed}");
        text.to_owned()
    };
    let handshake = unframed(client.text().await);
    let hello = read(&unframed(client.text().await));
    assert_eq!(handshake, format!("{}|60000|X|", hello["session"].as_str().unwrap()));
    let topic = node.topic(ROOM).unwrap();
    support::until("it has joined", || topic.members().len() == 1).await;
    topic.publish("a|\u{1f600}X").await.unwrap();
    assert_eq!(read(&unframed(client.text().await))["message"], "a|\u{1f600}X");
    assert_eq!(read(&unframed(client.text().await))["mark"], 1);
}

#[tokio::test]
async fn a_message_has_a_name_and_is_acknowledged_when_the_application_has_it() {
    let node = chat(&Place::new("message")).await;
    let (http, topic) = (serve(&node), node.topic(ROOM).unwrap());
    let mut client = Postman::new(http).await;
    support::until("it has joined", || topic.members().len() == 1).await;
    let text = topic.publish("hello").await.unwrap();
    let frame = client.next().await;
    let expected = json!({ "id": text.id().to_string(), "topic": ROOM, "message": "hello" });
    assert_eq!(frame, expected);
    let mark = client.next().await;
    assert!(timeout(QUIET, text.settled()).await.is_err(), "the application does not have it");

    let bytes = topic.publish(Message::binary(vec![0, 255])).await.unwrap();
    assert_eq!(client.next().await["binary"], "AP8=");
    let silence = timeout(QUIET, client.next()).await;
    assert!(silence.is_err(), "one mark at a time: {silence:?}");
    client.confirm(&mark["mark"]).await;
    within(PATIENCE, "it is confirmed", text.settled()).await;
    let mark = client.next().await;
    assert_eq!(mark["mark"], 2);
    assert!(timeout(QUIET, bytes.settled()).await.is_err(), "only what was before the mark is");
    client.confirm(&json!(3)).await; // Nobody asked for this.
    client.confirm(&mark["mark"]).await;
    within(PATIENCE, "the rest is confirmed", bytes.settled()).await;
}

#[tokio::test]
async fn what_is_not_confirmed_comes_again_unless_its_position_is_handed_back() {
    let place = Place::new("again");
    let nodes = [chat(&place).await, chat(&place).await];
    support::sees(&nodes[0], 2).await;
    let http = [serve(&nodes[0]), serve(&nodes[1])];
    let topic = nodes[0].topic(ROOM).unwrap();
    let mut client = Postman::new(http[0]).await;
    support::until("it has joined", || topic.members().len() == 1).await;
    let first = topic.publish("first").await.unwrap();
    within(PATIENCE, "the other node has it", first.stored(1)).await;
    assert_eq!(client.next().await["message"], "first");
    let position = client.next().await["position"].as_str().unwrap().to_owned();

    let mut moved = Postman::again(http[1], &client, "").await;
    assert_eq!(moved.next().await["message"], "first", "it was not confirmed");
    topic.publish("second").await.unwrap();
    let query = format!("&X-Exosphere-Position={position}");
    let mut back = Postman::again(http[0], &moved, &query).await;
    assert_eq!(back.next_confirmed().await["message"], "second");
    assert_eq!(back.hello["resumed"], true);
}

#[tokio::test]
async fn what_is_lost_is_told() {
    let node = chat(&Place::new("gap")).await;
    let (http, topic) = (serve(&node), node.topic(ROOM).unwrap());
    let client = Postman::new(http).await;
    support::until("it has joined", || topic.members().len() == 1).await;
    let session = client.session();
    client.client.cut();
    for n in 0..10_003 {
        topic.publish(n.to_string()).await.unwrap();
    }
    let query = format!("&X-Atmosphere-tracking-id={session}");
    let mut client = Postman::with(http, &query).await;
    let gap = client.next_confirmed().await;
    assert_eq!(gap["gap"], ROOM, "{gap}");
    assert!(gap["from"].is_string() && gap["to"].is_string() && gap["from"] != gap["to"], "{gap}");
    for n in 3..10_003 {
        assert_eq!(client.next_confirmed().await["message"], n.to_string());
    }
}

#[tokio::test]
async fn what_is_no_frame_ends_the_connection_with_a_sentence() {
    let node = chat(&Place::new("nonsense")).await;
    let http = serve(&node);
    for nonsense in ["", "hello", "{}", "{\"confirm\":\"1\"}", "[1]", "X"] {
        let mut client = Postman::new(http).await;
        client.client.send(nonsense).await;
        let Received::Closed(code, reason) = client.client.next().await else { panic!("no close") };
        assert_eq!((code, reason.as_str()), (1002, "this is nothing that postman knows"));
    }
    let mut client = Postman::new(http).await;
    client.client.send_binary(vec![1]).await;
    let Received::Closed(1002, reason) = client.client.next().await else { panic!("no close") };
    assert!(reason.contains("base64"), "{reason}");
}

impl Postman {
    async fn push(&mut self, number: u64, text: &str) {
        let key = format!("00000000000000ab.{number}");
        self.client.send(json!({ "id": key, "message": text }).to_string()).await;
    }

    /// The acknowledgement and the message that come next, in whichever order.
    async fn acknowledgement_and_message(&mut self) -> (Value, Value) {
        let (first, second) = (self.next_confirmed().await, self.next_confirmed().await);
        if first.get("ack").is_some() { (first, second) } else { (second, first) }
    }
}

#[tokio::test]
async fn a_push_is_acknowledged_and_handled_once_wherever_it_is_sent_again() {
    let place = Place::new("push");
    let nodes = [chat(&place).await, chat(&place).await];
    support::sees(&nodes[0], 2).await;
    support::sees(&nodes[1], 2).await;
    let http = [serve(&nodes[0]), serve(&nodes[1])];
    let topic = nodes[0].topic(ROOM).unwrap();
    let mut client = Postman::new(http[0]).await;
    support::until("it has joined", || topic.members().len() == 1).await;
    client.push(1, "one").await;
    let (ack, message) = client.acknowledgement_and_message().await;
    let expected = json!({ "ack": "00000000000000ab.1", "level": "replicated", "nodes": 2 });
    assert_eq!((ack, &message["message"]), (expected, &json!("one")));
    assert!(message["cause"].is_string(), "{message}");

    client.push(1, "one").await;
    client.push(2, "two").await;
    assert_eq!(client.next_confirmed().await["ack"], "00000000000000ab.1");
    let (ack, message) = client.acknowledgement_and_message().await;
    assert_eq!((&ack["ack"], &message["message"]), (&json!("00000000000000ab.2"), &json!("two")));

    let mut moved = Postman::again(http[1], &client, "").await;
    moved.push(2, "two").await;
    moved.push(3, "three").await;
    // What it has not confirmed may come again; what it pushed again is not handled again.
    let (mut acks, mut messages) = (Vec::new(), Vec::new());
    while acks.len() < 2 || messages.last() != Some(&json!("three")) {
        let frame = moved.next_confirmed().await;
        match frame.get("ack") {
            Some(ack) => acks.push(ack.clone()),
            None => messages.push(frame["message"].clone()),
        }
    }
    assert_eq!(acks, ["00000000000000ab.2", "00000000000000ab.3"]);
    messages.retain(|message| message != "one");
    messages.dedup_by(|a, b| a == b && a == "two");
    assert!(messages == ["two", "three"] || messages == ["three"], "{messages:?}");
}

#[tokio::test]
async fn a_push_that_is_too_large_is_refused_and_others_go_on() {
    let node = chat(&Place::new("refused")).await;
    let mut client = Postman::new(serve(&node)).await;
    let topic = node.topic(ROOM).unwrap();
    support::until("it has joined", || topic.members().len() == 1).await;
    client.client.send(json!({ "id": "", "message": "x" }).to_string()).await;
    let Received::Closed(1002, _) = client.client.next().await else { panic!("no close") };
    let mut client = Postman::again(serve(&node), &client, "").await;
    client.push(1, "small").await;
    let (ack, message) = client.acknowledgement_and_message().await;
    assert_eq!((&ack["level"], &message["message"]), (&json!("local"), &json!("small")));
}
