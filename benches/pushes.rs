//! How many pushes a second are acknowledged, and how long each takes, by how many clients push and
//! how well a push is stored before it is acknowledged; as a ratio to pushes that the node keeps to
//! itself.
//!
//! There is a cluster of three processes for each durability, all at once, and they are measured by
//! turns: a machine that is slower for a while is slower for all. A client pushes its next as soon as
//! the last is acknowledged; the handler does nothing.
//!
//! ```text
//! cargo bench --all-features --bench pushes -- [--seconds S] [--rounds N] [--bytes N] [--dir DIR]
//! ```

use std::{
    io::{self, BufRead, BufReader, Read},
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};

use clap::{Parser, ValueEnum};
use exosphere::{Close, Durability, Level, Message, Node, Session, client::Client};

/// How many clients push at once.
const CLIENTS: [usize; 3] = [1, 16, 128];

/// How many nodes a cluster has.
const NODES: usize = 3;

/// How long the nodes may take to find each other.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where clients push.
const PATH: &str = "/push";

/// Measures pushes.
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
    /// Be a node of this cluster: for the processes that this one starts.
    #[arg(long, hide = true, requires_all = ["home", "stored"])]
    cluster: Option<String>,
    #[arg(long, hide = true)]
    home: Option<PathBuf>,
    #[arg(long, hide = true, value_enum)]
    stored: Option<Stored>,
    #[arg(long, hide = true, default_value_t = 0)]
    number: usize,
    /// What cargo says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// How well a push is stored before it is acknowledged.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Stored {
    Local,
    Replicated,
    Disk,
}

impl Stored {
    /// The first is what the others are compared with.
    const ALL: [Self; 3] = [Self::Local, Self::Replicated, Self::Disk];

    const fn durability(self) -> Durability {
        match self {
            Self::Local => Durability::Local,
            Self::Replicated => Durability::Replicated(1),
            Self::Disk => Durability::Disk,
        }
    }

    const fn level(self) -> Level {
        match self {
            Self::Local => Level::Local,
            Self::Replicated => Level::Replicated,
            Self::Disk => Level::Disk,
        }
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    match (&arguments.cluster, &arguments.home, arguments.stored) {
        (Some(cluster), Some(home), Some(stored)) => {
            be_node(cluster, home, stored, arguments.number).await
        }
        _ => measure(&arguments).await,
    }
}

async fn handle(_: Session, _: Message) -> Result<(), Close> {
    Ok(())
}

/// Is a node until the standard input ends.
#[expect(clippy::disallowed_methods, reason = "it ends with the process")]
async fn be_node(cluster: &str, home: &Path, stored: Stored, number: usize) -> Result<(), Failure> {
    let builder = Node::builder(cluster).secret_file(home.join("secret")).route(PATH, handle);
    let mut builder = builder.durability(stored.durability());
    if stored == Stored::Disk {
        builder = builder.store(home.join(format!("{cluster}-{number}")));
    }
    let node = builder.start().await?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    let server = node.clone();
    tokio::spawn(async move { server.serve_listener(listener).await });
    println!("{port}");
    let met = async {
        while node.members().current().members().len() < NODES {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, met).await?;
    println!("met");
    tokio::task::spawn_blocking(|| io::stdin().read_to_end(&mut Vec::new())).await??;
    Ok(())
}

/// A node, in its process.
struct Other {
    output: BufReader<std::process::ChildStdout>,
    port: u16,
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Other {
    fn start(cluster: &str, home: &Path, stored: Stored, number: usize) -> Result<Self, Failure> {
        let stored = stored.to_possible_value().ok_or("it has a name")?;
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--cluster", cluster, "--stored", stored.get_name()])
            .args(["--number", &number.to_string(), "--home"])
            .arg(home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdin = child.stdin.take();
        let output = BufReader::new(child.stdout.take().ok_or("no output")?);
        let mut other = Self { output, port: 0, child, stdin };
        other.port = other.line()?.parse()?;
        Ok(other)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.wait(); // It ends on its own.
    }
}

/// Three nodes that know each other.
struct Cluster {
    stored: Stored,
    nodes: Vec<Other>,
}

impl Cluster {
    fn start(home: &Path, stored: Stored) -> Result<Self, Failure> {
        let name = format!("pushes-{stored:?}-{}", std::process::id());
        let nodes = (0..NODES).map(|number| Other::start(&name, home, stored, number));
        let mut nodes = nodes.collect::<Result<Vec<_>, _>>()?;
        for node in &mut nodes {
            if node.line()? != "met" {
                return Err("the nodes do not find each other".into());
            }
        }
        Ok(Self { stored, nodes })
    }

    /// How long each push took until it was acknowledged, of so many clients.
    #[expect(clippy::disallowed_methods, reason = "they end before the nodes do")]
    async fn push(
        &self,
        clients: usize,
        bytes: usize,
        duration: Duration,
    ) -> Result<Vec<Duration>, Failure> {
        let mut connected = Vec::new();
        for client in 0..clients {
            let port = self.nodes[client % NODES].port;
            let url = format!("ws://127.0.0.1:{port}{PATH}");
            connected.push(Client::builder([url]).push_only().connect().await?);
        }
        let (began, level) = (now(), self.stored.level());
        let pushing = connected.into_iter().map(|client| {
            tokio::spawn(async move {
                let mut took = Vec::new();
                while began.elapsed() < duration {
                    let before = now();
                    let stored = client.push(Message::binary(vec![0x5a; bytes])).await?;
                    took.push(before.elapsed());
                    if stored.level < level {
                        return Err(format!("{} instead of {level}", stored.level).into());
                    }
                }
                Ok::<_, Failure>(took)
            })
        });
        let mut took = Vec::new();
        for pushing in pushing.collect::<Vec<_>>() {
            took.extend(pushing.await??);
        }
        Ok(took)
    }
}

async fn measure(arguments: &Arguments) -> Result<(), Failure> {
    let home = match &arguments.dir {
        Some(dir) => tempfile::tempdir_in(dir)?,
        None => tempfile::tempdir()?,
    };
    let clusters = Stored::ALL.map(|stored| Cluster::start(home.path(), stored));
    let clusters = clusters.into_iter().collect::<Result<Vec<_>, _>>()?;
    let duration = Duration::from_secs_f64(arguments.seconds);
    println!(
        "pushes of {} bytes to {NODES} nodes; {} rounds of {duration:?}, all taken together",
        arguments.bytes, arguments.rounds
    );
    for clients in CLIENTS {
        let mut took = vec![Vec::new(); clusters.len()];
        for _ in 0..arguments.rounds {
            for (cluster, took) in clusters.iter().zip(&mut took) {
                took.extend(cluster.push(clients, arguments.bytes, duration).await?);
            }
        }
        report(clients, duration.as_secs_f64() * arguments.rounds as f64, &mut took);
    }
    Ok(())
}

fn report(clients: usize, seconds: f64, took: &mut [Vec<Duration>]) {
    let local = took[0].len() as f64;
    for (stored, took) in Stored::ALL.iter().zip(took) {
        took.sort();
        let at = |hundredths: usize| took[(took.len() - 1) * hundredths / 100].as_secs_f64() * 1e3;
        let (name, each_second) = (format!("{stored:?}"), took.len() as f64 / seconds);
        let ratio = took.len() as f64 / local;
        println!(
            "{clients:>3} clients, {name:<10} {each_second:>7.0}/s, p50 {:.2} ms, p99 {:.2} ms, \
             ratio {ratio:.2}",
            at(50),
            at(99)
        );
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark is about time")]
fn now() -> Instant {
    Instant::now()
}
