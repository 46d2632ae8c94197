//! What an application can be to its clients: values instead of messages, services, hooks.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::net::SocketAddr;

use axum::{Extension, Json, Router, routing};
use bytes::Bytes;
use exosphere::{Close, Handler, Message, Node, Principal, Reply, Session, json, rest};
use http::{Method, Request, Response, StatusCode};
use serde::{Deserialize, Serialize};
use support::{Client, PATIENCE, Place, get, post, request, serve, within};
use tokio::sync::mpsc;

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Said {
    Line { text: String },
    Whisper { text: String },
    Shout { text: String },
    Nothing,
}

#[derive(Serialize)]
struct Told {
    text: String,
}

async fn answer(_: Session, said: Said) -> Result<Reply<Told>, Close> {
    Ok(match said {
        Said::Line { text } => Reply::Topic(Told { text }),
        Said::Whisper { text } => Reply::Session(Told { text }),
        Said::Shout { text } => Reply::Everyone(Told { text }),
        Said::Nothing => Reply::Nothing,
    })
}

#[tokio::test]
async fn values_come_and_go_as_json_and_what_is_none_is_answered() {
    let place = Place::new("json");
    let node = place.node().route("/chat/{room}", json(answer)).start().await.unwrap();
    let http = serve(&node);
    let mut ana = Client::bare(http, "/chat/a").await;
    let mut bob = Client::bare(http, "/chat/a").await;
    let mut eve = Client::bare(http, "/chat/b").await;
    ana.send(r#"{"type":"nothing"}"#).await;
    ana.send(r#"{"type":"whisper","text":"to myself"}"#).await;
    assert_eq!(ana.text().await, r#"{"text":"to myself"}"#);
    ana.send(r#"{"type":"line","text":"to the room"}"#).await;
    for client in [&mut ana, &mut bob] {
        assert_eq!(client.text().await, r#"{"text":"to the room"}"#);
    }
    for wrong in [r#"{"type":"dance"}"#, "no JSON", r#"{"type":"line"}"#] {
        ana.send(wrong).await;
        let told = ana.text().await;
        assert!(told.starts_with(r#"{"error":""#), "{told}");
    }
    ana.send(r#"{"type":"shout","text":"to all"}"#).await;
    for client in [&mut ana, &mut bob, &mut eve] {
        assert_eq!(client.text().await, r#"{"text":"to all"}"#);
    }
}

async fn say(Extension(session): Extension<Session>, body: String) -> String {
    session.publish(session.path().as_str(), format!("{body}!")).await.unwrap();
    format!("said {body}")
}

async fn judge(principal: Option<Extension<Principal>>, body: Json<Vec<u32>>) -> String {
    let who = principal.map(|Extension(principal)| principal.as_str().to_owned());
    format!("{} of {who:?}", body.iter().sum::<u32>())
}

async fn tell(body: String) -> (Extension<Reply<()>>, String) {
    (Extension(Reply::Topic(())), body)
}

async fn shop(place: &Place) -> (Node, SocketAddr) {
    let service = Router::new()
        .route("/shop/{name}", routing::post(say).get(|| async { "the shop" }))
        .route("/shop/{name}/orders", routing::post(tell).delete(|| async { "cancelled" }));
    let builder = place.node().route("/shop/{name}", rest(service.clone()));
    let node = builder.route("/shop/{name}/orders", rest(service)).start().await.unwrap();
    let http = serve(&node);
    (node, http)
}

#[tokio::test]
async fn a_service_answers_requests_and_messages_alike() {
    let place = Place::new("rest");
    let (_node, http) = shop(&place).await;
    let mut client = Client::bare(http, "/shop/books").await;
    client.send("hello").await;
    let mut told = [client.text().await, client.text().await];
    told.sort();
    assert_eq!(told, ["hello!", "said hello"]);
    client.send("@@/orders@@one novel").await;
    assert_eq!(client.text().await, "one novel", "the response says that the topic is to have it");
    let answer = get(http, "/shop/books").await;
    assert_eq!((answer.status, &*answer.body), (200, "the shop"));
    let answer = post(http, "/shop/books", b"by POST").await;
    assert_eq!(answer.body, "said by POST");
    assert_eq!(client.text().await, "by POST!");
    let answer = request(http, "DELETE", "/shop/books/orders", &[], b"").await;
    assert_eq!((answer.status, &*answer.body), (200, "cancelled"));
    assert_eq!(request(http, "DELETE", "/shop/books", &[], b"").await.status, 405);
    client.send("@@/nowhere@@x").await;
    client.send("@@no path").await;
    let mut told = [client.text().await, client.text().await];
    told.sort();
    assert_eq!(told, ["@@no path!", "said @@no path"], "what nobody answers is told by nothing");
}

/// Goal: a service can tell who sends a message and what it is, as with a request, and no message gets
/// past a guard of paths.
#[tokio::test]
async fn a_message_is_a_request_of_its_sender_to_a_path_that_is_one() {
    let place = Place::new("rest-below");
    let sums = Router::new().route("/sums/{name}", routing::post(judge));
    let builder = place.node().route("/sums/{name}", rest(sums).texts_as("application/json"));
    let builder = builder.authenticate(async |_| Ok(Some(Principal::new("ana").unwrap())));
    let node = builder.start().await.unwrap();
    let http = serve(&node);
    let mut client = Client::bare(http, "/sums/a").await;
    client.send("[1, 2, 3]").await;
    assert_eq!(client.text().await, r#"6 of Some("ana")"#);
    for path in ["/../secret", "/%2e%2e/secret", "/a%2fb", "/a%"] {
        let mut client = Client::bare(http, "/sums/a").await;
        client.send(format!("@@{path}@@[1]")).await;
        assert_eq!(client.closed().await, 1008, "{path}");
    }
}

/// Writes down what it is told.
struct Hooks(mpsc::UnboundedSender<String>);

impl Handler for Hooks {
    async fn message(&self, _: &Session, message: Message) -> Result<(), Close> {
        self.0.send(format!("message {}", message.as_text().unwrap())).unwrap();
        Ok(())
    }

    async fn request(&self, session: &Session, request: Request<Bytes>) -> Option<Response<Bytes>> {
        let (method, item) = (request.method().clone(), session.param("item")?);
        let text = format!("{method} {item} {}", str::from_utf8(request.body()).unwrap());
        (method != Method::POST && method != Method::PATCH).then(|| {
            let response = Response::builder().status(StatusCode::ACCEPTED);
            response.body(Bytes::from(text)).unwrap()
        })
    }

    async fn resumed(&self, _: &Session) {
        self.0.send("resumed".to_owned()).unwrap();
    }
}

#[tokio::test]
async fn a_handler_has_its_say_on_every_method_and_hears_who_is_back() {
    let place = Place::new("hooks");
    let (told, mut tells) = mpsc::unbounded_channel();
    let node = place.node().route("/items/{item}", Hooks(told)).start().await.unwrap();
    let http = serve(&node);
    for method in ["PUT", "DELETE", "GET"] {
        let body: &[u8] = if method == "GET" { b"" } else { b"body" };
        let answer = request(http, method, "/items/7", &[], body).await;
        let body = str::from_utf8(body).unwrap();
        assert_eq!((answer.status, answer.body), (202, format!("{method} 7 {body}")));
    }
    assert_eq!(request(http, "PATCH", "/items/7", &[], b"x").await.status, 405);
    assert_eq!(post(http, "/items/7", b"posted").await.status, 200);
    let mut next = async || within(PATIENCE, "the handler is told", tells.recv()).await.unwrap();
    assert_eq!(next().await, "message posted");
    let client = Client::new(http, "/items/7").await;
    let id = client.id.clone();
    client.cut();
    let mut client = Client::resume(http, "/items/7", &id).await;
    assert_eq!(next().await, "resumed");
    client.send("here").await;
    assert_eq!(next().await, "message here");
}

#[tokio::test]
async fn a_pattern_publishes_to_all_topics_that_it_stands_for() {
    let place = Place::new("patterns");
    let node = place.node().route("/chat/{room}", json(answer)).start().await.unwrap();
    let http = serve(&node);
    let mut clients = [Client::bare(http, "/chat/a").await, Client::bare(http, "/chat/b").await];
    let topics = node.topics("/chat/{room}").unwrap();
    let names: Vec<_> = topics.names().iter().map(|name| name.as_str().to_owned()).collect();
    assert_eq!(names, ["/chat/a", "/chat/b"]);
    assert_eq!(topics.publish("to each").await.unwrap().len(), 2);
    for client in &mut clients {
        assert_eq!(client.text().await, "to each");
    }
    assert!(node.topics("/other/*").unwrap().names().is_empty());
    assert!(node.topics("/{").is_err());
}
