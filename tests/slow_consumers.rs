//! What becomes of clients that do not read, as the node is set: see `SlowConsumers`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::net::SocketAddr;

use exosphere::{Close, Gap, Handler, Message, Node, Session, SessionId, SlowConsumers};
use support::{Client, PATIENCE, Place, Received, serve, until, within};
use tokio::sync::mpsc;

/// How long a message is, and how many of them are more than is kept of a topic (16 MiB).
const LONG_BYTES: usize = 256 << 10;
const MESSAGES: usize = 160;

/// What a handler is told.
enum Told {
    Ready(Session),
    Gap(SessionId),
}

struct Tells(mpsc::UnboundedSender<Told>);

impl Handler for Tells {
    async fn ready(&self, session: &Session) -> Result<(), Close> {
        session.join(session.path().as_str()).await?;
        self.0.send(Told::Ready(session.clone())).unwrap();
        Ok(())
    }

    async fn message(&self, _: &Session, _: Message) -> Result<(), Close> {
        Ok(())
    }

    async fn gap(&self, session: &Session, _: &Gap) {
        self.0.send(Told::Gap(session.id())).unwrap();
    }
}

struct World {
    node: Node,
    http: SocketAddr,
    told: mpsc::UnboundedReceiver<Told>,
    _place: Place,
}

impl World {
    async fn new(name: &str, policy: SlowConsumers) -> Self {
        let (place, (tells, told)) = (Place::new(name), mpsc::unbounded_channel());
        let builder = place.node().slow_consumers(policy).route("/room", Tells(tells));
        let node = builder.start().await.unwrap();
        let http = serve(&node);
        Self { node, http, told, _place: place }
    }

    async fn connect(&mut self) -> (Client, Session) {
        let mut client = Client::new(self.http, "/room").await;
        let told = within(PATIENCE, "the handler is told", self.told.recv()).await;
        let Some(Told::Ready(session)) = told else { panic!("no session") };
        self.publish("first").await;
        assert_eq!(client.text().await, "first");
        (client, session)
    }

    async fn publish(&self, text: impl Into<Message>) {
        self.node.topic("/room").unwrap().publish(text).await.unwrap();
    }

    /// Publishes more than is kept, each once `reading` has the one before.
    async fn flood(&self, reading: &mut Client) {
        let rest = "x".repeat(LONG_BYTES);
        for number in 0..MESSAGES {
            let text = format!("{number} {rest}");
            self.publish(text.as_str()).await;
            assert!(reading.text().await == text, "message {number}");
        }
    }
}

/// Goal: who does not read is closed by a code of its own, and goes on once it is back; who reads
/// misses nothing meanwhile, and waits for nobody.
#[tokio::test]
async fn who_stops_reading_is_closed_if_that_is_the_policy() {
    let mut world = World::new("closed", SlowConsumers::Close).await;
    let (mut stopped, session) = world.connect().await;
    let mut reading = Client::bare(world.http, "/room").await;
    world.flood(&mut reading).await;
    until("it is closed", || session.connection().is_none()).await;
    // What the system had taken comes before.
    let mut received = 0;
    let closed = loop {
        match stopped.next().await {
            Received::Text(_) => received += 1,
            other => break other,
        }
    };
    assert!(matches!(closed, Received::Closed(4408, _)), "{closed:?}");
    assert!(received < MESSAGES, "something is lost");
    let mut back = Client::resume(world.http, "/room", &stopped.id).await;
    let next = back.text().await;
    let (number, _) = next.split_once(' ').unwrap();
    assert!(number.parse::<usize>().unwrap() > 0, "{number}");
    let gap = async {
        loop {
            if let Some(Told::Gap(id)) = world.told.recv().await {
                break id;
            }
        }
    };
    assert_eq!(within(PATIENCE, "a gap is told", gap).await, session.id());
    let counted = world.node.statistics().unwrap();
    assert_eq!((counted.slow, counted.gaps), (1, 1), "once, though it was told of the gap later");
}

#[tokio::test]
async fn who_stops_reading_stays_if_that_is_the_policy() {
    let mut world = World::new("stays", SlowConsumers::Gap).await;
    let (mut stopped, session) = world.connect().await;
    let mut reading = Client::bare(world.http, "/room").await;
    world.flood(&mut reading).await;
    assert!(session.connection().is_some());
    world.publish("last").await;
    let mut received = 0;
    while stopped.text().await != "last" {
        received += 1;
    }
    assert!(received < MESSAGES, "something is lost");
    assert!(world.node.statistics().unwrap().slow >= 1);
}
