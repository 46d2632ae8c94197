//! Why a session got a message, or did not, as the nodes of a cluster tell: by the API of one of them,
//! which asks the others.

#![cfg(feature = "control")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{net::SocketAddr, time::Duration};

use exosphere::{
    Close, Control, Handler, Message, MessageId, Node, Outcome, Role, Session, SessionId,
};
use serde_json::Value;
use support::{Answer, Client, PATIENCE, Place, request, sees, serve, spawn, until, within};
use tokio::sync::mpsc;

const TOKEN: &str = "a token of this test's own";
const TOPIC: &str = "/room";

/// Tells the test of each session, and lets it join nothing.
struct Tells(mpsc::UnboundedSender<Session>);

impl Handler for Tells {
    async fn ready(&self, session: &Session) -> Result<(), Close> {
        self.0.send(session.clone()).unwrap();
        Ok(())
    }

    async fn message(&self, _: &Session, _: Message) -> Result<(), Close> {
        Ok(())
    }
}

/// Three nodes, of which the first has the clients, and the last is asked.
struct World {
    nodes: Vec<Node>,
    http: SocketAddr,
    control: SocketAddr,
    sessions: mpsc::UnboundedReceiver<Session>,
    place: Place,
}

impl World {
    async fn new(name: &str) -> Self {
        let (place, (tell, sessions)) = (Place::new(name), mpsc::unbounded_channel());
        let mut nodes = Vec::new();
        for _ in 0..3 {
            let builder = place.node().route("/room", Tells(tell.clone()));
            nodes.push(builder.start().await.unwrap());
        }
        for node in &nodes {
            sees(node, 3).await;
        }
        let (http, control) = (serve(&nodes[0]), serve_control(&nodes[2]));
        Self { nodes, http, control, sessions, place }
    }

    async fn connect(&mut self) -> (Client, Session) {
        let client = Client::new(self.http, "/room").await;
        let session = within(PATIENCE, "a session", self.sessions.recv()).await.unwrap();
        (client, session)
    }

    /// Publishes on the second node, and waits until all have it.
    async fn publish(&self, text: impl Into<Message>) -> MessageId {
        let receipt = self.nodes[1].topic(TOPIC).unwrap().publish(text).await.unwrap();
        assert_eq!(receipt.stored(2).await.nodes, 2);
        receipt.id()
    }

    async fn explain(&self, message: MessageId, session: SessionId) -> Value {
        let path = format!("/api/v1/explain?message={message}&session={session}");
        let answer = ask(self.control, &path).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        serde_json::from_str(&answer.body).unwrap()
    }

    /// Waits until the verdict is this, and says why.
    async fn verdict(&self, verdict: &str, message: MessageId, session: SessionId) -> Value {
        let mut last = Value::Null;
        let explained = async {
            loop {
                last = self.explain(message, session).await;
                if last["verdict"] == verdict {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let is_so = tokio::time::timeout(PATIENCE, explained).await;
        assert!(is_so.is_ok(), "not {verdict}, but {last:#}");
        last
    }

    /// Waits until the node that publishes knows that a session is in the topic, or is not.
    async fn knows(&self, session: SessionId, is_in: bool) {
        let topic = self.nodes[1].topic(TOPIC).unwrap();
        until("news of a join", || topic.members().contains(&session) == is_in).await;
    }
}

fn serve_control(node: &Node) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (addr, node) = (listener.local_addr().unwrap(), node.clone());
    let control = Control::new().token("test", Role::Read, TOKEN);
    spawn(async move { node.serve_control_listener(listener, control).await.unwrap() });
    addr
}

async fn ask(control: SocketAddr, path: &str) -> Answer {
    request(control, "GET", path, &[&format!("Authorization: Bearer {TOKEN}")], b"").await
}

fn whats(explanation: &Value) -> Vec<&str> {
    let steps = explanation["steps"].as_array().unwrap();
    steps.iter().map(|step| step["what"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn what_a_client_got_is_told_with_each_step_of_the_way() {
    let mut world = World::new("explain-got").await;
    let (mut client, session) = world.connect().await;
    let before = world.publish("before").await;
    world.verdict("never_joined", before, session.id()).await;
    session.join(TOPIC).await.unwrap();
    world.knows(session.id(), true).await;
    world.verdict("joined_later", before, session.id()).await;

    let id = world.publish("to all").await;
    assert_eq!(client.text().await, "to all");
    spawn(async move { client.text().await }); // It answers pings meanwhile.
    let explanation = world.verdict("acknowledged", id, session.id()).await;
    let whats = whats(&explanation);
    for what in ["accepted", "stored", "attached", "joined", "given", "confirmed"] {
        assert!(whats.contains(&what), "no {what}: {explanation:#}");
    }
    let of = |what: &str| {
        let steps = explanation["steps"].as_array().unwrap();
        steps.iter().find(|step| step["what"] == what).unwrap().clone()
    };
    assert_eq!(of("accepted")["node"], world.nodes[1].id().to_string());
    assert_eq!(of("confirmed")["node"], world.nodes[0].id().to_string());
    assert_eq!(explanation["topic"], TOPIC);
    assert_eq!(explanation["unanswered"], Value::Array(Vec::new()));
    assert_eq!(explanation["nodes"].as_array().unwrap().len(), 3);
    let since = explanation["steps"][0]["at_ms"].as_u64().unwrap();
    assert!(since > 1_600_000_000_000, "{since}");

    let others = world.nodes[1].topic(TOPIC).unwrap();
    let others = others.publish_except([session.id()], "to others").await.unwrap();
    world.verdict("not_addressed", others.id(), session.id()).await;
    session.leave(TOPIC).await.unwrap();
    world.knows(session.id(), false).await;
    let after = world.publish("after").await;
    world.verdict("left_before", after, session.id()).await;
    world.verdict("acknowledged", id, session.id()).await;
}

#[tokio::test]
async fn what_is_on_its_way_is_told_from_what_was_handed_over_and_what_was_dropped() {
    let mut world = World::new("explain-way").await;
    let (client, session) = world.connect().await;
    session.join(TOPIC).await.unwrap();
    world.knows(session.id(), true).await;
    let handed = world.publish("nobody reads this").await; // Nor answers the ping behind it.
    world.verdict("delivered", handed, session.id()).await;
    drop(client);
    let explanation = world.verdict("in_flight", handed, session.id()).await;
    assert!(explanation["sentence"].as_str().unwrap().contains("away"), "{explanation:#}");
    let long = "x".repeat(1 << 20);
    for _ in 0..16 {
        world.publish(long.as_str()).await;
    }
    let explanation = world.verdict("dropped", handed, session.id()).await;
    assert_eq!(explanation["cause"], "topic_bytes", "{explanation:#}");
    session.close(Close::new(exosphere::CloseCode::Normal, "that is all"));
    let late = world.publish("late").await;
    world.verdict("closed", late, session.id()).await;
}

/// Goal: what died with its node is told as that, and what there never was is told as that.
///
/// Method: a node in a runtime of its own publishes and is gone before the runtime has anything sent.
#[tokio::test]
async fn what_died_with_its_node_is_a_gap() {
    let mut world = World::new("explain-died").await;
    let (_client, session) = world.connect().await;
    session.join(TOPIC).await.unwrap();
    let place = (world.place.cluster().to_owned(), world.place.secret());
    let (seen, sees_all) = tokio::sync::oneshot::channel();
    let (go, may_go) = std::sync::mpsc::channel::<()>();
    let died = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let node = runtime.block_on(async {
            let node = Node::builder(place.0).secret_file(place.1).start().await.unwrap();
            sees(&node, 4).await;
            node
        });
        seen.send(()).unwrap();
        may_go.recv().unwrap();
        let topic = node.topic(TOPIC).unwrap();
        let id = runtime.block_on(async { topic.publish("lost").await.unwrap().id() });
        runtime.shutdown_background();
        id
    });
    sees_all.await.unwrap();
    sees(&world.nodes[2], 4).await;
    go.send(()).unwrap();
    let lost = died.await.unwrap();
    let explanation = world.explain(lost, session.id()).await;
    assert_eq!(explanation["verdict"], "unknown", "its node has not answered: {explanation:#}");
    assert_eq!(explanation["unanswered"][0], lost.origin.to_string());
    for node in &world.nodes {
        sees(node, 3).await;
    }
    let explanation = world.verdict("gap", lost, session.id()).await;
    let sentence = explanation["sentence"].as_str().unwrap();
    assert!(sentence.contains(&lost.origin.to_string()), "{sentence}");

    let never = MessageId::new(world.nodes[1].id(), exosphere::id::Seq::new(1_000_000));
    let explanation = world.verdict("unknown", never, session.id()).await;
    assert!(explanation["sentence"].as_str().unwrap().contains("none of this name"));
}

#[tokio::test]
async fn each_node_tells_what_became_of_a_message() {
    let mut world = World::new("explain-message").await;
    let (_client, session) = world.connect().await;
    session.join(TOPIC).await.unwrap();
    world.knows(session.id(), true).await;
    let id = world.publish("for one").await;
    let answer = ask(world.control, &format!("/api/v1/messages/{id}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let details: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(details["topic"], TOPIC);
    assert_eq!(details["kept_on"].as_array().unwrap().len(), 3, "{details:#}");
    assert_eq!(details["sessions"], 1);
    assert_eq!(details["origin"], world.nodes[1].id().to_string());
    let explanation = world.nodes[0].explain(id, session.id());
    assert!(matches!(explanation.outcome, Outcome::Acknowledged | Outcome::Delivered));
    let unknown = MessageId::new(world.nodes[1].id(), exosphere::id::Seq::new(1_000_000));
    assert_eq!(ask(world.control, &format!("/api/v1/messages/{unknown}")).await.status, 404);
    assert_eq!(ask(world.control, "/api/v1/messages/nonsense").await.status, 400);
    let nonsense = format!("/api/v1/explain?message=nonsense&session={}", session.id());
    assert_eq!(ask(world.control, &nonsense).await.status, 400);
    let bare = request(world.control, "GET", &format!("/api/v1/messages/{id}"), &[], b"").await;
    assert_eq!(bare.status, 401);
}
