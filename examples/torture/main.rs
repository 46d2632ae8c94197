//! Tortures a cluster of real processes, and judges what its clients saw.
//!
//! ```text
//! cargo build --release --examples --features client
//! target/release/examples/torture [--rounds N] [--messages N] [--nodes N] [--fault kill|drain|stop|all|partition|split]
//!                                 [--store] [--rate N] [--seed N] [--log FILE]
//! ```
//!
//! It starts nodes of the chat example, which stands beside it, and clients: some push numbers, some
//! get them, both with the client in Rust, and some listen with a bare WebSocket. In each round it
//! does something to the nodes. Everything that is sent, acknowledged or received is noted with its
//! time, and from these notes alone it is judged afterwards:
//!
//! - S1: what was acknowledged came to every subscriber, or the subscriber was told of a gap;
//! - S2: nothing came twice to a subscriber that removes duplicates;
//! - S3: what one publisher sent came in the order in which it was sent;
//! - S9: what came on one connection has no hole that was not told of.
//!
//! Beside that, every node must account for every message.
//!
//! Its exit status says whether all of them held. Only processes that it started are touched, and
//! nothing leaves the loopback interface: for `partition` and `split`, the nodes are in network namespaces that
//! it makes, and that end with it. Where it may not make them it says so, with the status 77.

mod clients;
mod cluster;
mod judge;
mod network;
mod notes;

use std::{collections::HashMap, error::Error, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Parser, ValueEnum};
use clients::{Bare, Publisher, Subscriber};
use cluster::Cluster;
use judge::{Conditions, Verdict};
use network::{Cut, Network};
use notes::Notes;
use tokio::time::{sleep, timeout};

/// Tortures a cluster of real processes, and judges what its clients saw.
#[derive(Clone, Debug, Parser)]
struct Arguments {
    /// How often something is done to the nodes.
    #[arg(long, default_value_t = 20)]
    rounds: u64,
    /// How many messages are acknowledged at least, however many rounds that takes.
    #[arg(long, default_value_t = 0)]
    messages: u64,
    /// How many nodes there are.
    #[arg(long, default_value_t = 3)]
    nodes: usize,
    /// What is done.
    #[arg(long, value_enum, default_value_t = Fault::Kill)]
    fault: Fault,
    /// Lets the nodes store everything on disk. So it is where all are killed at once.
    #[arg(long)]
    store: bool,
    /// How many messages are pushed in a second.
    #[arg(long, default_value_t = 500)]
    rate: u32,
    /// How many clients push.
    #[arg(long, default_value_t = 4)]
    publishers: usize,
    /// How many clients get what is pushed.
    #[arg(long, default_value_t = 4)]
    subscribers: usize,
    /// How many bare WebSockets get what is pushed.
    #[arg(long, default_value_t = 2)]
    bare: usize,
    /// For how many seconds a `split` lasts.
    #[arg(long, default_value_t = 30)]
    apart: u64,
    /// What the dice begin with. By default another number each time, which is printed.
    #[arg(long)]
    seed: Option<u64>,
    /// Where to write what was noted, one line each.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

/// What is done to the nodes in a round.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Fault {
    /// One is killed, as by `kill -9`, and started again.
    Kill,
    /// One is told to end, drains, and is started again: one after the other, as when they are upgraded.
    Drain,
    /// One is stopped for some seconds, and goes on.
    Stop,
    /// All are killed at once, and started again.
    All,
    /// Some of them do not reach each other for some seconds, one way or both.
    Partition,
    /// The larger half of them and the others do not reach each other for a while (`--apart`).
    Split,
}

impl Fault {
    /// Whether the nodes are in a network of their own, which can be cut.
    const fn is_of_network(self) -> bool {
        matches!(self, Self::Partition | Self::Split)
    }
}

/// How long what is on its way may take to arrive once nothing is done any more.
const PATIENCE: Duration = Duration::from_secs(90);

/// How long a stopped node is stopped.
const STOPPED_FOR: Duration = Duration::from_secs(4);

/// How long messages flow before something is done, at least and at most.
const CALM_MILLIS: std::ops::Range<u64> = 500..1500;

/// How long some nodes do not reach each other: nodes that are silent are given up after about two
/// seconds, so that some cuts are too short for that.
const CUT_MILLIS: std::ops::Range<u64> = 500..9_000;

/// The status of what could not be tried.
const SKIPPED: u8 = 77;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.fault.is_of_network()
        && let Err(error) = network::enter().await
    {
        eprintln!("torture: skipped: {error}");
        return ExitCode::from(SKIPPED);
    }
    match run(arguments).await {
        Ok(verdict) if verdict.is_clean() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("torture: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<Verdict, Box<dyn Error>> {
    let seed = arguments.seed.unwrap_or_else(|| u64::from(std::process::id()) << 20 ^ nanos());
    println!("seed {seed}: {arguments:?}");
    let mut dice = Dice(seed);
    let store = arguments.store || arguments.fault == Fault::All;
    let network = match arguments.fault {
        Fault::Partition | Fault::Split => Some(Network::new(arguments.nodes).await?),
        _ => None,
    };
    let mut cluster = Cluster::start(arguments.nodes, store, network).await?;
    let notes = Notes::default();
    let mut subscribers = Vec::new();
    for _ in 0..arguments.subscribers {
        let urls = cluster.urls(dice.below(arguments.nodes as u64) as usize);
        subscribers.push(Subscriber::start(urls, &notes).await?);
    }
    let bares: Vec<_> = (0..arguments.bare)
        .map(|at| Bare::start(cluster.urls(at % arguments.nodes), &notes))
        .collect();
    let every = Duration::from_secs(1) * arguments.publishers as u32 / arguments.rate.max(1);
    let mut publishers = Vec::new();
    for publisher in 0..arguments.publishers {
        let urls = cluster.urls(dice.below(arguments.nodes as u64) as usize);
        publishers.push(Publisher::start(publisher, urls, every, &notes).await?);
    }
    let (mut round, mut unaccounted, mut recoveries) = (0, 0, Vec::new());
    while round < arguments.rounds || notes.acknowledged() < arguments.messages {
        round += 1;
        sleep(Duration::from_millis(dice.within(CALM_MILLIS))).await;
        let victim = match arguments.fault {
            Fault::Drain => (round as usize) % cluster.len(),
            _ => dice.below(cluster.len() as u64) as usize,
        };
        torture(&arguments, victim, &mut cluster, &mut dice, &subscribers, &notes).await?;
        let (ended, acknowledged) = (notes.elapsed(), notes.all_acknowledged());
        let recovery = async {
            has_all(&subscribers, &acknowledged, &notes).await.then(|| notes.elapsed() - ended)
        };
        let (whole, recovery) = tokio::join!(cluster.whole(), recovery);
        whole?;
        recoveries.extend(recovery);
        unaccounted += cluster.unaccounted().await?;
        if round.is_multiple_of(10) {
            let (seconds, acknowledged) = (notes.elapsed().as_secs(), notes.acknowledged());
            println!("round {round} after {seconds} s: {acknowledged} acknowledged");
        }
    }
    settle(publishers, &subscribers, &notes).await;
    drop(bares);
    let is_apart = arguments.fault.is_of_network();
    let conditions = Conditions { is_apart, has_disks: store };
    let mut verdict = judge::judge(&notes.take(), &subscribers, conditions);
    verdict.unaccounted = unaccounted + cluster.unaccounted().await?;
    recoveries.sort_unstable();
    verdict.recoveries = recoveries;
    println!("{round} rounds in {:?}, seed {seed}\n{verdict}", notes.elapsed());
    if let Some(path) = arguments.log {
        verdict.write(&path)?;
    }
    if !verdict.is_clean() {
        cluster.print_logs();
    }
    Ok(verdict)
}

/// Does something to the nodes, and undoes it.
async fn torture(
    arguments: &Arguments,
    victim: usize,
    cluster: &mut Cluster,
    dice: &mut Dice,
    subscribers: &[Subscriber],
    notes: &Notes,
) -> Result<(), Box<dyn Error>> {
    let note = |id: Option<&str>| {
        for subscriber in subscribers {
            if id.is_none_or(|id| subscriber.node() == id) {
                notes.hit(subscriber.name());
            }
        }
    };
    match arguments.fault {
        Fault::Kill => {
            note(Some(cluster.id(victim)));
            cluster.kill(victim).await?;
            sleep(Duration::from_millis(dice.below(500))).await;
            cluster.restart(victim).await?;
        }
        Fault::Drain => {
            note(Some(cluster.id(victim)));
            cluster.drain(victim).await?;
            cluster.restart(victim).await?;
        }
        Fault::Stop => {
            note(Some(cluster.id(victim)));
            cluster.stop(victim, STOPPED_FOR).await?;
        }
        Fault::All => {
            note(None);
            cluster.kill_all().await?;
            for node in 0..cluster.len() {
                cluster.restart(node).await?;
            }
        }
        Fault::Partition => {
            let cut = Cut::roll(dice, cluster.len());
            let duration = Duration::from_millis(dice.within(CUT_MILLIS));
            println!("{cut} for {duration:?}");
            note(Some(cluster.id(cut.victim())));
            cluster.cut(cut, duration).await?;
        }
        Fault::Split => {
            note(None);
            let duration = Duration::from_secs(arguments.apart);
            cluster.cut(Cut::Split(cluster.len().div_ceil(2)), duration).await?;
        }
    }
    Ok(())
}

/// Lets all that is on its way arrive.
async fn settle(publishers: Vec<Publisher>, subscribers: &[Subscriber], notes: &Notes) {
    let mut clients = Vec::new();
    let all_acknowledged = async {
        for publisher in publishers {
            // Kept until the end: a session that ends may take with it what is not handled yet.
            clients.push(publisher.finish().await);
        }
    };
    if timeout(PATIENCE, all_acknowledged).await.is_err() {
        println!("not everything was acknowledged within {PATIENCE:?}");
    }
    has_all(subscribers, &notes.all_acknowledged(), notes).await;
}

/// Waits until all have so many messages of each publisher. Says whether they came.
async fn has_all(subscribers: &[Subscriber], counts: &HashMap<usize, u64>, notes: &Notes) -> bool {
    let all_received = async {
        for subscriber in subscribers {
            while !notes.has_all(subscriber.name(), counts) {
                sleep(Duration::from_millis(20)).await;
            }
        }
    };
    let in_time = timeout(PATIENCE, all_received).await.is_ok();
    if !in_time {
        println!("not everything was received within {PATIENCE:?}");
    }
    in_time
}

/// `SplitMix64`.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit.max(1)
    }

    fn within(&mut self, range: std::ops::Range<u64>) -> u64 {
        range.start + self.below(range.end - range.start)
    }
}

/// Some number that is another one each time.
#[expect(clippy::disallowed_methods, reason = "the torture is no node")]
fn nanos() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::from(since.subsec_nanos()))
}
