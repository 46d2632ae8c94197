//! How many messages a second are published and on the disk before whoever publishes goes on, by
//! how many publish at once; as a ratio to a bare file that is appended to and synced for each.
//!
//! The two alternate, so that a disk which is slower for a while is slower for both.
//!
//! ```text
//! cargo bench --bench store -- [--seconds S] [--rounds N] [--bytes N] [--dir DIR]
//! ```

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::Parser;
use exosphere::{Message, Node};

/// How many publish at once.
const PUBLISHERS: [usize; 3] = [1, 8, 64];

/// Where the messages go. Nobody reads them, so that all goes at the topic's limit.
const TOPIC: &str = "/bench";

/// Measures durable messages.
#[derive(Debug, Parser)]
struct Arguments {
    /// How long each measurement takes.
    #[arg(long, value_name = "S", default_value_t = 1.0)]
    seconds: f64,
    /// How often each is repeated.
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: usize,
    /// How long a message is.
    #[arg(long, value_name = "N", default_value_t = 200)]
    bytes: usize,
    /// Where to store, which should be on the disk that matters.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// What cargo says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    let home = match &arguments.dir {
        Some(dir) => tempfile::tempdir_in(dir)?,
        None => tempfile::tempdir()?,
    };
    let node = Node::builder(format!("store-{}", std::process::id()))
        .secret_file(home.path().join("secret"))
        .store(home.path().join("store"))
        .start()
        .await?;
    let duration = Duration::from_secs_f64(arguments.seconds);
    println!(
        "messages of {} bytes, durable one by one; {} rounds of {duration:?}, all taken together",
        arguments.bytes, arguments.rounds
    );
    for publishers in PUBLISHERS {
        let (mut bare, mut stored) = (Vec::new(), Vec::new());
        for round in 0..arguments.rounds {
            let path = home.path().join(format!("bare-{publishers}-{round}"));
            bare.extend(append(&path, arguments.bytes, duration)?);
            stored.extend(publish(&node, publishers, arguments.bytes, duration).await?);
        }
        let measured = duration.as_secs_f64() * arguments.rounds as f64;
        report(publishers, measured, bare, stored);
    }
    node.shutdown().await;
    Ok(())
}

/// How long it took each time to append to a file, and to sync it.
fn append(path: &Path, bytes: usize, duration: Duration) -> io::Result<Vec<Duration>> {
    let (message, began) = (vec![0x5a; bytes], now());
    let mut file = File::create(path)?;
    let mut took = Vec::new();
    while began.elapsed() < duration {
        let before = now();
        file.write_all(&message)?;
        file.sync_data()?;
        took.push(before.elapsed());
    }
    Ok(took)
}

/// How long it took each time to publish a message, and to hear that it is on the disk.
#[expect(clippy::disallowed_methods, reason = "they end before the node does")]
async fn publish(
    node: &Node,
    publishers: usize,
    bytes: usize,
    duration: Duration,
) -> Result<Vec<Duration>, Failure> {
    let (topic, began) = (node.topic(TOPIC)?, now());
    let publishers: Vec<_> = (0..publishers)
        .map(|_| {
            let topic = topic.clone();
            tokio::spawn(async move {
                let mut took = Vec::new();
                while began.elapsed() < duration {
                    let before = now();
                    let receipt = topic.publish(Message::binary(vec![0x5a; bytes])).await?;
                    receipt.durable().await?;
                    took.push(before.elapsed());
                }
                Ok::<_, Failure>(took)
            })
        })
        .collect();
    let mut took = Vec::new();
    for publisher in publishers {
        took.extend(publisher.await??);
    }
    Ok(took)
}

fn report(publishers: usize, seconds: f64, mut bare: Vec<Duration>, mut stored: Vec<Duration>) {
    let ratio = stored.len() as f64 / bare.len() as f64;
    print!("{publishers:>3} publishers:");
    for (what, took) in [("stored", &mut stored), ("bare", &mut bare)] {
        took.sort();
        let at = |hundredths: usize| took[(took.len() - 1) * hundredths / 100].as_secs_f64() * 1e3;
        let each_second = took.len() as f64 / seconds;
        print!(" {what} {each_second:>7.0}/s, p50 {:.2} ms, p99 {:.2} ms;", at(50), at(99));
    }
    println!(" ratio {ratio:.2}");
}

#[expect(clippy::disallowed_methods, reason = "a benchmark is about time")]
fn now() -> Instant {
    Instant::now()
}
