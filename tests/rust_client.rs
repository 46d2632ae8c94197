//! The client in Rust, against nodes of this process and against a server that says what it likes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::time::Duration;

use exosphere::{
    Close, Message, Node, Session,
    client::{Client, ConnectError, Event, PushError},
};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use support::{PATIENCE, Place, sees, serve, spawn, within};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        self,
        handshake::server::{ErrorResponse, Request, Response},
    },
};

const PATH: &str = "/chat/room";

async fn publish(session: Session, message: Message) -> Result<(), Close> {
    session.publish(PATH, message).await?;
    Ok(())
}

async fn start(place: &Place) -> (Node, String) {
    let node = place.node().route("/chat/{room}", publish).start().await.unwrap();
    let addr = serve(&node);
    (node, format!("ws://{addr}{PATH}"))
}

async fn next(client: &mut Client) -> Event {
    within(PATIENCE, "an event", client.next()).await.expect("the client has not ended")
}

/// The text of the next message. Events about the connection go by.
async fn text(client: &mut Client) -> String {
    loop {
        match next(client).await {
            Event::Message(received) => return received.message.as_text().unwrap().to_owned(),
            Event::Interrupted { .. } | Event::Resumed { .. } | Event::Moved { .. } => {}
            other => panic!("instead of a message, {other:?}"),
        }
    }
}

#[tokio::test]
async fn what_is_pushed_is_stored_handled_and_heard_by_all() {
    let place = Place::new("rust-client");
    let (node, url) = start(&place).await;
    let mut one = Client::builder([&url]).connect().await.unwrap();
    let mut two = Client::builder([&url]).connect().await.unwrap();
    assert_eq!(one.node(), node.id());
    assert_ne!(one.session(), two.session());
    let mut pushed = Vec::new();
    for number in 0..200 {
        pushed.push(one.begin_push(number.to_string()).await.unwrap());
    }
    for push in pushed {
        assert_eq!(within(PATIENCE, "an acknowledgement", push).await.unwrap().nodes, 1);
    }
    for number in 0..200 {
        assert_eq!(text(&mut one).await, number.to_string());
        assert_eq!(text(&mut two).await, number.to_string());
    }
    let long = one.push("x".repeat(2 << 20)).await;
    assert!(matches!(long, Err(PushError::TooLarge { .. })), "{long:?}");
    let pusher = one.pusher();
    one.close().await;
    assert_eq!(pusher.push("late").await, Err(PushError::Ended));
}

#[tokio::test]
async fn a_session_moves_to_another_node_and_loses_nothing() {
    let place = Place::new("rust-client-moves");
    let ((first, one), (second, two)) = (start(&place).await, start(&place).await);
    sees(&first, 2).await;
    sees(&second, 2).await;
    let mut client = Client::builder([&one, &two]).connect().await.unwrap();
    let session = client.session();
    let pusher = client.pusher();
    let pushing = spawn(async move {
        for number in 0..500 {
            pusher.push(number.to_string()).await.unwrap();
        }
    });
    for number in 0..500 {
        if number == 100 {
            let first = first.clone();
            spawn(async move { first.shutdown().await });
        }
        assert_eq!(text(&mut client).await, number.to_string());
    }
    within(PATIENCE, "all is acknowledged", pushing).await.unwrap();
    assert_eq!(client.node(), second.id());
    assert_eq!(client.session(), session);
}

#[tokio::test]
async fn what_cannot_be_reached_is_said() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    drop(listener);
    let failed = Client::builder([url]).connect().await.unwrap_err();
    assert!(matches!(failed, ConnectError::Unreachable { .. }), "{failed}");
    for url in ["", "http://127.0.0.1/", "ws:///", "wss://127.0.0.1/", "\u{1f600}"] {
        let failed = Client::builder([url]).connect().await.unwrap_err();
        assert_eq!(failed, ConnectError::InvalidUrl { url: url.to_owned() });
    }
    let failed = Client::builder([""; 0]).connect().await.unwrap_err();
    assert_eq!(failed, ConnectError::NoUrl);
}

/// One end of a WebSocket, at which the test is the node.
struct Scripted(WebSocketStream<TcpStream>);

impl Scripted {
    /// Takes the next connection. Returns what its request says of a session and a position, too.
    #[expect(clippy::result_large_err, reason = "the library asks for it")]
    async fn accept(listener: &TcpListener) -> (Self, [Option<String>; 3]) {
        let (stream, _) = within(PATIENCE, "a connection", listener.accept()).await.unwrap();
        let mut told = [None, None, None];
        let callback = |request: &Request, response: Response| -> Result<_, ErrorResponse> {
            let names = ["X-Exosphere-Postman", "X-Atmosphere-tracking-id", "X-Exosphere-Position"];
            told = names.map(|name| {
                request.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
            });
            Ok(response)
        };
        let socket = accept_hdr_async(stream, callback).await.unwrap();
        (Self(socket), told)
    }

    async fn say(&mut self, said: Value) {
        self.0.send(tungstenite::Message::text(said.to_string())).await.unwrap();
    }

    async fn hear(&mut self) -> Value {
        loop {
            let heard = within(PATIENCE, "the client says something", self.0.next()).await;
            match heard.unwrap().unwrap() {
                tungstenite::Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                tungstenite::Message::Ping(_) | tungstenite::Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Goal: what a client had on one connection it says on the next, and what was not acknowledged on
/// one is sent on the next.
#[tokio::test]
async fn a_client_says_on_a_new_connection_what_it_has_and_what_it_lacks() {
    const SESSION: &str = "00000000-0000-0000-0000-000000000007";
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}{PATH}", listener.local_addr().unwrap());
    let heartbeat = Duration::from_millis(200);
    let connecting = spawn(Client::builder([url]).heartbeat(heartbeat).connect());
    let (mut node, told) = Scripted::accept(&listener).await;
    assert_eq!(told, [Some("1".to_owned()), None, None]);
    let hello = |resumed: bool| json!({"hello": 1, "session": SESSION, "node": "0000000000000009", "resumed": resumed});
    let message =
        |seq: u64| json!({"id": format!("0000000000000009-{seq}"), "topic": PATH, "message": "m"});
    node.say(hello(false)).await;
    let mut client = within(PATIENCE, "the client connects", connecting).await.unwrap().unwrap();
    let mut pushed = Vec::new();
    for text in ["a", "b"] {
        pushed.push(client.begin_push(text).await.unwrap());
    }
    let keys = [node.hear().await["id"].clone(), node.hear().await["id"].clone()];
    node.say(json!({"ack": keys[0], "level": "replicated", "nodes": 2})).await;
    node.say(message(1)).await;
    node.say(json!({"mark": 17, "position": "AQ"})).await;
    node.say(message(2)).await;
    assert!(matches!(next(&mut client).await, Event::Message(_)));
    assert!(matches!(next(&mut client).await, Event::Message(_)));
    assert_eq!(node.hear().await, json!({"confirm": 17}));
    assert_eq!(within(PATIENCE, "it is stored", pushed.remove(0)).await.unwrap().nodes, 2);

    // It stays open, but nothing more comes of it: pings are not even read.
    let _silent = node;
    let (mut node, told) = Scripted::accept(&listener).await;
    assert_eq!(told, ["1", SESSION, "AQ"].map(|value| Some(value.to_owned())));
    node.say(hello(true)).await;
    node.say(message(2)).await;
    node.say(message(3)).await;
    assert!(matches!(next(&mut client).await, Event::Interrupted { .. }));
    assert!(matches!(next(&mut client).await, Event::Resumed { .. }));
    let Event::Message(received) = next(&mut client).await else { panic!("a message") };
    assert_eq!(received.id.to_string(), "0000000000000009-3");
    let again = node.hear().await;
    assert_eq!((&again["id"], &again["message"]), (&keys[1], &json!("b")));
    node.say(json!({"refused": keys[1], "error": "not now"})).await;
    let refused = Err(PushError::Refused { reason: "not now".to_owned() });
    assert_eq!(within(PATIENCE, "it is refused", pushed.remove(0)).await, refused);

    let frame = tungstenite::protocol::CloseFrame { code: 4409.into(), reason: "newer".into() };
    node.0.send(tungstenite::Message::Close(Some(frame))).await.unwrap();
    let ended = Event::Ended { code: 4409, reason: "newer".to_owned() };
    assert_eq!(next(&mut client).await, ended);
    assert_eq!(within(PATIENCE, "the end", client.next()).await, None);
}
