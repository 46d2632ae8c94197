//! All nodes of a cluster are killed at once, again and again, and started again on their
//! directories: what was acknowledged as being on a disk is delivered.
//!
//! `ROUNDS=...` says how often (3 by default).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use exosphere::{Node, StartError, StoreState};
use futures_util::future::join_all;
use serde_json::{Value, json};
use support::{
    Chat, Client, PATIENCE, Place, Received, Sequence, alone, now, publish, rounds, within,
};

const PATH: &str = "/chat/room";

/// How many pushes may be unacknowledged.
const WINDOW: u64 = 32;

/// How many pushes are acknowledged in a round before the nodes are killed.
const PUSHES: u64 = 200;

/// Three nodes, each with a directory of its own.
struct Cluster {
    place: Place,
    nodes: Vec<Chat>,
}

impl Cluster {
    async fn start(name: &str) -> Self {
        let mut cluster = Self { place: Place::new(name), nodes: Vec::new() };
        cluster.restart().await;
        cluster
    }

    fn dir(&self, node: usize) -> PathBuf {
        self.place.dir().join(format!("store-{node}"))
    }

    async fn restart(&mut self) {
        let dirs = [0, 1, 2].map(|node| self.dir(node).to_str().unwrap().to_owned());
        let args = dirs.each_ref().map(|dir| ["--store", dir]);
        let nodes = args.iter().map(|args| Chat::join_with(&self.place, args));
        self.nodes = join_all(nodes).await;
        for node in &self.nodes {
            node.sees(3, support::Mark::default()).await;
        }
    }

    /// Kills all nodes, within a millisecond or so.
    async fn kill(&mut self) {
        let kills = self.nodes.iter_mut().map(Chat::kill);
        join_all(kills).await;
    }

    fn http(&self, node: usize) -> SocketAddr {
        self.nodes[node].http()
    }
}

/// A client that pushes 0, 1, 2, ... and again what was not acknowledged.
#[derive(Default)]
struct Pusher {
    session: Option<String>,
    acknowledged: u64,
    next: u64,
}

impl Pusher {
    /// Pushes until `count` more are acknowledged, or the connection is gone.
    async fn push(&mut self, http: SocketAddr, count: u64) {
        let session = self.session.as_deref().unwrap_or("0");
        let query = format!("X-Exosphere-Postman=1&X-Atmosphere-tracking-id={session}");
        let mut client = Client::bare(http, &format!("{PATH}?{query}")).await;
        let hello = read(&client.text().await);
        assert_eq!(hello["resumed"], self.session.is_some(), "the session outlives the nodes");
        self.session = Some(hello["session"].as_str().unwrap().to_owned());
        self.next = self.acknowledged;
        let goal = self.acknowledged + count;
        while self.acknowledged < goal {
            while self.next < (self.acknowledged + WINDOW).min(goal + WINDOW / 2) {
                let push = json!({ "id": key(self.next), "message": self.next.to_string() });
                client.send(push.to_string()).await;
                self.next += 1;
            }
            let frame = match client.next().await {
                Received::Text(text) => read(&text),
                _ => return,
            };
            if let Some(mark) = frame.get("mark") {
                client.send(json!({ "confirm": mark }).to_string()).await;
            } else if let Some(acknowledged) = frame.get("ack") {
                assert_eq!(frame["level"], "disk", "{frame}");
                let number = acknowledged.as_str().unwrap().rsplit('.').next().unwrap();
                self.acknowledged = self.acknowledged.max(number.parse().unwrap());
            }
        }
    }
}

/// The name of push `number`. Names count from one.
fn key(number: u64) -> String {
    format!("00000000000000ab.{}", number + 1)
}

fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text:?}"))
}

async fn receive(client: &mut Client, sequence: &mut Sequence, count: u64) {
    let all = async {
        while sequence.len() < count {
            sequence.take(client.text().await.parse().unwrap());
        }
    };
    let what = format!("{count} messages arrive");
    within(Duration::from_secs(30), &what, all).await;
}

/// Goal: no push that was acknowledged as being on a disk is lost when all nodes die at once.
///
/// Method: push through one node and receive through another, kill all three while pushes are on
/// their way, start them again on their directories, and let both clients come back to other nodes
/// than before.
#[tokio::test]
async fn nothing_acknowledged_is_lost_when_all_nodes_are_killed_at_once_again_and_again() {
    let _alone = alone().await;
    let mut cluster = Cluster::start("store").await;
    let mut pusher = Pusher::default();
    let mut client = Client::new(cluster.http(1), PATH).await;
    let (mut sequence, mut worst) = (Sequence::default(), Duration::ZERO);
    for round in 0..rounds(3) {
        let pushing = pusher.push(cluster.http(round % 3), PUSHES);
        listen(&mut client, pushing, |text| sequence.take(text.parse().unwrap())).await;
        cluster.kill().await;
        // What was written before the kill may still be read.
        while let Received::Text(text) = client.next().await {
            sequence.take(text.parse().unwrap());
        }
        cluster.restart().await;
        let restarted = now();
        let id = client.id.clone();
        client = Client::resume(cluster.http((round + 2) % 3), PATH, &id).await;
        assert_eq!(client.id, id, "the session is the same");
        receive(&mut client, &mut sequence, pusher.acknowledged).await;
        worst = worst.max(restarted.elapsed());
    }
    pusher.push(cluster.http(0), 1).await;
    receive(&mut client, &mut sequence, pusher.acknowledged).await;
    println!(
        "{} times all nodes killed: {} pushes acknowledged as on a disk, 0 lost, {} came again; \
         caught up within {worst:?}",
        rounds(3),
        pusher.acknowledged,
        sequence.duplicates(),
    );
}

async fn node(place: &Place, dir: &Path) -> Result<Node, StartError> {
    place.node().route("/chat/{room}", publish).store(dir).start().await
}

#[tokio::test]
async fn a_directory_is_one_node_s_at_a_time() {
    let place = Place::new("one");
    let dir = place.dir().join("store");
    let first = node(&place, &dir).await.unwrap();
    assert_eq!(first.store_state(), Some(StoreState::Working));
    let second = node(&place, &dir).await.map(|_| ()).unwrap_err();
    let source = std::error::Error::source(&second).unwrap().to_string();
    assert_eq!(source, "another process uses it", "{second}");
    first.shutdown().await;
    assert_eq!(first.store_state(), Some(StoreState::Closed));
    node(&place, &dir).await.unwrap();
}

#[tokio::test]
async fn a_message_is_durable_once_it_is_on_the_disk_and_a_node_without_one_says_so() {
    let place = Place::new("durable");
    let stored = node(&place, &place.dir().join("store")).await.unwrap();
    let receipt = stored.topic(PATH).unwrap().publish("kept").await.unwrap();
    // In a task, as a handler would.
    let durable = support::spawn(async move { receipt.durable().await });
    within(PATIENCE, "it is durable", durable).await.unwrap().unwrap();
    let plain = place.node().start().await.unwrap();
    let receipt = plain.topic(PATH).unwrap().publish("not kept").await.unwrap();
    assert!(receipt.durable().await.is_err());
    assert_eq!((plain.store_state(), plain.recovered()), (None, None));
}

/// Goal: what was cut off a journal is said, and all before it is used.
#[tokio::test]
async fn a_torn_journal_is_cut_and_that_is_said() {
    let place = Place::new("torn");
    let dir = place.dir().join("store");
    let first = node(&place, &dir).await.unwrap();
    let mut client = Client::new(support::serve(&first), PATH).await;
    client.send("one").await;
    assert_eq!(client.text().await, "one");
    let receipt = first.topic(PATH).unwrap().publish("two").await.unwrap();
    receipt.durable().await.unwrap();
    let settled = async { assert!(receipt.settled().await.is_some()) };
    listen(&mut client, settled, |_| {}).await;
    first.shutdown().await;

    let journal = journals(&dir).pop_last().unwrap();
    let mut bytes = fs::read(&journal).unwrap();
    bytes.extend([0; 100]);
    fs::write(&journal, &bytes).unwrap();
    let second = node(&place, &dir).await.unwrap();
    let cuts = second.recovered().unwrap().cuts;
    assert_eq!((cuts.len(), cuts[0].bytes), (1, 100), "{cuts:?}");
    let session = client.id.clone();
    let mut back = Client::resume(support::serve(&second), PATH, &session).await;
    assert_eq!(back.id, session, "the session is the same");
    second.topic(PATH).unwrap().publish("three").await.unwrap();
    assert_eq!(back.text().await, "three", "what it has acknowledged does not come again");
}

/// Lets a client take what comes, and answer pings, while something happens.
async fn listen<T>(
    client: &mut Client,
    happens: impl Future<Output = T>,
    mut take: impl FnMut(String),
) -> T {
    let mut happens = std::pin::pin!(happens);
    loop {
        tokio::select! {
            biased;
            value = &mut happens => return value,
            text = client.text() => take(text),
        }
    }
}

fn journals(dir: &Path) -> BTreeSet<PathBuf> {
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|kind| kind == "journal")).collect()
}
