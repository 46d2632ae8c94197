//! How long a message takes from its publisher on one node to a WebSocket on another, on one
//! machine; and, to compare, to a WebSocket on the publisher's own node.
//!
//! The other node is a second process. Publisher and clients are in this one, and read one clock.
//!
//! ```text
//! cargo bench --bench latency -- [--rate N] [--seconds S] [--bytes N]
//! ```

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use clap::Parser;
use exosphere::{Close, Message, Node, Session};
use tokio_tungstenite::tungstenite::{self, client::IntoClientRequest};

/// Within which time half of the messages, and 99 of 100, are to come from another node.
const GOALS: [(usize, Duration); 2] =
    [(500, Duration::from_millis(1)), (990, Duration::from_millis(5))];

/// For how long messages are sent that do not count.
const WARM_UP: Duration = Duration::from_millis(500);

/// How long the nodes may take to find each other.
const PATIENCE: Duration = Duration::from_secs(10);

/// The topic of the messages, which is the path of the clients.
const TOPIC: &str = "/chat/all";

/// Measures how long messages take from node to node.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many messages there are in a second.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    rate: u32,
    /// How long messages are sent.
    #[arg(long, value_name = "S", default_value_t = 5)]
    seconds: u32,
    /// How long a message is, at least eight.
    #[arg(long, value_name = "N", default_value_t = 128)]
    bytes: usize,
    /// Be the other node of this cluster: for the process that this one starts.
    #[arg(long, hide = true, requires_all = ["secret", "seed"])]
    cluster: Option<String>,
    #[arg(long, hide = true)]
    secret: Option<PathBuf>,
    #[arg(long, hide = true)]
    seed: Option<String>,
    /// What cargo says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    match (&arguments.cluster, &arguments.secret, &arguments.seed) {
        (Some(cluster), Some(secret), Some(seed)) => be_other(cluster, secret, seed),
        _ => measure(&arguments),
    }
}

async fn publish(session: Session, message: Message) -> Result<(), Close> {
    session.publish(session.path().as_str(), message).await?;
    Ok(())
}

/// Starts a node, and says on which port it serves clients.
#[expect(clippy::disallowed_methods, reason = "it ends with the process")]
async fn start(cluster: &str, secret: &Path, seed: Option<&str>) -> Result<(Node, u16), Failure> {
    let mut builder = Node::builder(cluster).secret_file(secret).route("/chat/{room}", publish);
    if let Some(seed) = seed {
        builder = builder.seed(seed);
    }
    let node = builder.start().await?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    let server = node.clone();
    tokio::spawn(async move { server.serve_listener(listener).await });
    Ok((node, port))
}

/// Is a node until the standard input ends.
#[tokio::main]
async fn be_other(cluster: &str, secret: &Path, seed: &str) -> Result<(), Failure> {
    let (_node, port) = start(cluster, secret, Some(seed)).await?;
    println!("{port}");
    tokio::task::spawn_blocking(|| io::stdin().read_to_end(&mut Vec::new())).await??;
    Ok(())
}

/// The other node, in its process.
struct Other {
    port: u16,
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Other {
    fn start(cluster: &str, secret: &Path, seed: &str) -> Result<Self, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--cluster", cluster, "--seed", seed, "--secret"])
            .arg(secret)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdin = child.stdin.take();
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        Ok(Self { port: line.trim().parse()?, child, stdin })
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.wait(); // It ends on its own.
    }
}

#[tokio::main]
#[expect(clippy::disallowed_methods, reason = "they end with the process")]
async fn measure(arguments: &Arguments) -> Result<(), Failure> {
    let home = tempfile::tempdir()?;
    let (cluster, secret) = (format!("latency-{}", std::process::id()), home.path().join("secret"));
    let (node, port) = start(&cluster, &secret, None).await?;
    let other = Other::start(&cluster, &secret, &node.addr().to_string())?;
    let met = async {
        while node.members().current().members().len() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, met).await?;

    let count = (arguments.rate * arguments.seconds) as usize;
    let warm_up = (WARM_UP.as_secs_f64() * f64::from(arguments.rate)) as usize;
    let began = now();
    let client = |port| thread::spawn(move || listen(port, began, warm_up + count));
    let (near, far) = (client(port), client(other.port));
    tokio::time::sleep(Duration::from_millis(500)).await; // Until they have joined.

    let topic = node.topic(TOPIC)?;
    let (bytes, rate) = (arguments.bytes, arguments.rate);
    let handle = tokio::runtime::Handle::current();
    let publisher = thread::spawn(move || -> Result<(), Failure> {
        let first = now();
        for number in 0..(warm_up + count) as u32 {
            thread::sleep(
                (first + Duration::from_secs(1) / rate * number).saturating_duration_since(now()),
            );
            let text = format!("{:0bytes$}", (now() - began).as_nanos());
            handle.block_on(topic.publish(text))?;
        }
        Ok(())
    });
    publisher.join().expect("the publisher does not panic")?;
    println!("{count} messages of {bytes} bytes, {rate} each second: p50, p99, p99.9, most");
    let [near, far] = [near, far].map(|client| client.join().expect("a client does not panic"));
    report("to the same node", near?.split_off(warm_up), false);
    report("to another node", far?.split_off(warm_up), true);
    Ok(())
}

/// How long each of `count` messages took to come to a client of a node.
fn listen(port: u16, began: Instant, count: usize) -> Result<Vec<Duration>, Failure> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_nodelay(true)?;
    let request = format!("ws://127.0.0.1:{port}{TOPIC}").into_client_request()?;
    let (mut socket, _) = tungstenite::client(request, stream)?;
    let mut took = Vec::with_capacity(count);
    while took.len() < count {
        if let tungstenite::Message::Text(text) = socket.read()? {
            let sent = Duration::from_nanos(text.parse()?);
            took.push((now() - began).saturating_sub(sent));
        }
    }
    Ok(took)
}

fn report(way: &str, mut took: Vec<Duration>, has_goals: bool) {
    took.sort();
    let at = |thousandths: usize| took[(took.len() - 1) * thousandths / 1_000];
    print!("{way:>17}:");
    for thousandths in [500, 990, 999, 1_000] {
        let took = at(thousandths);
        let missed =
            has_goals && GOALS.iter().any(|&(which, goal)| which == thousandths && took > goal);
        print!(" {:>8.3} ms{}", took.as_secs_f64() * 1e3, if missed { "!" } else { " " });
    }
    println!();
    let _ = io::stdout().flush();
}

#[expect(clippy::disallowed_methods, reason = "a benchmark is about time")]
fn now() -> Instant {
    Instant::now()
}
