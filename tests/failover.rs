//! The node that a client is on is killed, again and again, and the client goes on with another.
//!
//! `ROUNDS=...` says how often (20 by default).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value;
use support::{
    Chat, Client, Mark, PATIENCE, Place, Publisher, Received, Sequence, alone, now, rounds, spawn,
    until, within,
};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

const PATH: &str = "/chat/room";

/// How often something is published.
const EVERY: Duration = Duration::from_millis(4);

/// One node to publish on, and two for the client, which is on one of them.
struct Cluster {
    place: Place,
    publishing: Chat,
    /// The client is on the first.
    serving: [Chat; 2],
}

impl Cluster {
    async fn start(name: &str) -> Self {
        let place = Place::new(name);
        let publishing = Chat::join(&place).await;
        let serving = [Chat::join(&place).await, Chat::join(&place).await];
        for chat in &serving {
            chat.sees(3, Mark::default()).await;
        }
        Self { place, publishing, serving }
    }

    /// Kills the node that the client is on: the other is the one that it is on from now on.
    async fn kill(&mut self) {
        self.serving[0].kill().await;
        self.serving.swap(0, 1);
    }

    /// Starts the node again that was killed.
    async fn restart(&mut self) {
        self.serving[1] = Chat::join(&self.place).await;
        // Its list has the dead one, too, until that is given up.
        self.serving[1].logs("Members [", Mark::default()).await;
        until("the new node is known", || self.serving[1].knows(&self.serving[0])).await;
    }
}

/// Goal: whoever kills the node that a client is on, the client gets every message in order from
/// another one.
///
/// Method: kill it, let the client come back with its tracking id to the other node, start the
/// killed one again; and publish on a third all the time.
#[tokio::test]
async fn no_message_is_lost_when_the_node_a_client_is_on_is_killed_again_and_again() {
    let _alone = alone().await;
    let mut cluster = Cluster::start("failover").await;
    let mut client = Client::new(cluster.serving[0].http(), PATH).await;
    let publisher = Publisher::start(cluster.publishing.http(), PATH, EVERY).await;
    let (mut sequence, mut worst) = (Sequence::default(), Duration::ZERO);
    for _ in 0..rounds(20) {
        // Until the messages flow, so that there is something on its way when the node dies.
        let flowing = sequence.len() + 50;
        receive(&mut client, &mut sequence, flowing).await;
        cluster.kill().await;
        let killed = now();
        while let Received::Text(text) = client.next().await {
            sequence.take(text.parse().unwrap());
        }
        let (http, id) = (cluster.serving[0].http(), client.id.clone());
        client = Client::resume(http, PATH, &id).await;
        assert_eq!(client.id, id, "the session is the same");
        let missed = publisher.published();
        receive(&mut client, &mut sequence, missed).await;
        worst = worst.max(killed.elapsed());
        cluster.restart().await;
    }
    let published = publisher.stop().await;
    receive(&mut client, &mut sequence, published).await;
    assert_eq!(sequence.len(), published);
    println!(
        "{} nodes killed: {published} published, none lost, {} came again; caught up within {worst:?}",
        rounds(20),
        sequence.duplicates(),
    );
}

/// Goal: it is the same for a client that stays away until the others have noticed that its node is
/// gone, and have taken over its session.
#[tokio::test]
async fn a_client_that_comes_back_late_finds_its_session_and_all_it_missed() {
    let _alone = alone().await;
    let mut cluster = Cluster::start("late").await;
    let mut client = Client::new(cluster.serving[0].http(), PATH).await;
    let publisher = Publisher::start(cluster.publishing.http(), PATH, EVERY).await;
    let mut sequence = Sequence::default();
    receive(&mut client, &mut sequence, 50).await;
    let marks = [cluster.publishing.mark(), cluster.serving[1].mark()];
    cluster.kill().await;
    cluster.publishing.sees(2, marks[0]).await;
    cluster.serving[0].sees(2, marks[1]).await;
    let id = client.id.clone();
    client = Client::resume(cluster.publishing.http(), PATH, &id).await;
    assert_eq!(client.id, id, "the session is the same");
    let published = publisher.stop().await;
    receive(&mut client, &mut sequence, published).await;
    println!("{published} published, {sequence:?}");
}

async fn receive(client: &mut Client, sequence: &mut Sequence, count: u64) {
    let all = async {
        while sequence.len() < count {
            sequence.take(client.text().await.parse().unwrap());
        }
    };
    within(Duration::from_secs(30), &format!("{count} messages arrive"), all).await;
}

/// Goal: the same with atmosphere.js 5.0.45, behind a proxy that leads to a node that lives.
#[tokio::test]
async fn atmosphere_js_loses_nothing_when_its_node_is_killed_again_and_again() {
    let _alone = alone().await;
    if !support::has_stock_clients() {
        return;
    }
    let mut cluster = Cluster::start("failover-js").await;
    let mut stock = Stock::start(&cluster.serving[0].url(PATH)).await;
    let publisher = Publisher::start(cluster.publishing.http(), PATH, EVERY).await;
    for _ in 0..rounds(5) {
        let flowing = stock.len() + 50;
        until("messages flow", || stock.len() >= flowing).await;
        stock.say(&format!("target {}", cluster.serving[1].http().port())).await;
        cluster.kill().await;
        let missed = publisher.published();
        until("the client catches up", || stock.len() >= missed).await;
        cluster.restart().await;
    }
    let published = publisher.stop().await;
    until("all messages arrive", || stock.len() >= published).await;
    let (sequence, done) = stock.quit().await;
    assert_eq!(sequence.len(), published);
    assert_eq!(done["same_tracking_id"], true, "{done}");
    println!(
        "{} nodes killed: {published} published, none lost, {} came again; {done}",
        rounds(5),
        sequence.duplicates(),
    );
}

/// The stock client in a process of its own.
struct Stock {
    process: tokio::process::Child,
    stdin: tokio::process::ChildStdin,
    reading: tokio::task::JoinHandle<Value>,
    sequence: Arc<Mutex<Sequence>>,
}

impl Stock {
    async fn start(url: &str) -> Self {
        let mut process = support::node_js(&["failover.mjs", url])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let stdin = process.stdin.take().unwrap();
        let opened = async {
            loop {
                let line = lines.next_line().await.unwrap().expect("the client opens");
                if line.contains("\"event\":\"open\"") {
                    return;
                }
            }
        };
        within(PATIENCE, "the stock client opens", opened).await;
        let sequence = Arc::<Mutex<Sequence>>::default();
        let taken = Arc::clone(&sequence);
        let reading = spawn(async move {
            loop {
                let line =
                    lines.next_line().await.unwrap().expect("the client says that it is done");
                let said: Value = serde_json::from_str(&line).unwrap();
                if said.get("ok").is_some() {
                    return said;
                }
                if said["event"] == "message" {
                    let number = said["text"].as_str().unwrap().parse().unwrap();
                    taken.lock().unwrap().take(number);
                }
            }
        });
        Self { process, stdin, reading, sequence }
    }

    fn len(&self) -> u64 {
        self.sequence.lock().unwrap().len()
    }

    async fn say(&mut self, command: &str) {
        self.stdin.write_all(format!("{command}\n").as_bytes()).await.unwrap();
    }

    async fn quit(mut self) -> (Sequence, Value) {
        self.say("quit").await;
        let done = within(PATIENCE, "the stock client is done", self.reading).await.unwrap();
        assert!(within(PATIENCE, "it ends", self.process.wait()).await.unwrap().success());
        (std::mem::take(&mut self.sequence.lock().unwrap()), done)
    }
}
