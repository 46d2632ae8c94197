//! How many messages a link between two nodes carries in a second, beside what bare QUIC does.
//!
//! The other node is a second process. Half of the rounds publish to nobody, so that what is measured
//! is the link: a message is stored here, sent, stored there, and that is confirmed. The other half
//! write frames of the same length to a stream of `quinn`'s, one by one, which the other process reads.
//! The two take turns in one run, so that a busy machine slows both.
//!
//! ```text
//! cargo bench --bench links -- [--bytes N] [--seconds S] [--rounds N]
//! ```

use std::{
    collections::VecDeque,
    io::{self, BufRead, BufReader, Read},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Parser;
use exosphere::{Message, Node};
use quinn::{ClientConfig, Connection, Endpoint, ServerConfig, TransportConfig};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer},
};

/// How many messages of 256 bytes a link is to carry in a second.
const GOAL: f64 = 200_000.0;

/// How many messages may be published that the other node has not confirmed.
const WINDOW: usize = 16_384;

/// After how many it is looked whether it has.
const LOOK_EVERY: usize = 512;

/// How long the nodes may take to find each other.
const PATIENCE: Duration = Duration::from_secs(10);

/// The topic of the messages, which nobody reads.
const TOPIC: &str = "/chat/all";

/// Measures how many messages a link carries.
#[derive(Debug, Parser)]
struct Arguments {
    /// How long a message is.
    #[arg(long, value_name = "N", default_value_t = 256)]
    bytes: usize,
    /// How long each round lasts.
    #[arg(long, value_name = "S", default_value_t = 3)]
    seconds: u64,
    /// How many rounds there are of each kind.
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: usize,
    /// Be the other node of the cluster whose secret is here: for the process that this one starts.
    #[arg(long, hide = true, requires = "seed")]
    home: Option<PathBuf>,
    #[arg(long, hide = true)]
    seed: Option<String>,
    /// What cargo says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    match (&arguments.home, &arguments.seed) {
        (Some(home), Some(seed)) => be_other(home, seed),
        _ => measure(&arguments),
    }
}

/// A node of the cluster whose secret is in `home`.
async fn start(home: &Path, seed: Option<&str>) -> Result<Node, Failure> {
    // A secret that no other cluster has is name enough.
    let builder = Node::builder("links").secret_file(home.join("secret"));
    let builder = seed.into_iter().fold(builder, |builder, seed| builder.seed(seed));
    Ok(builder.start().await?)
}

/// Is a node, and reads what comes by bare QUIC, until the standard input ends.
#[tokio::main]
#[expect(clippy::disallowed_methods, reason = "they end with the process")]
async fn be_other(home: &Path, seed: &str) -> Result<(), Failure> {
    let _node = start(home, Some(seed)).await?;
    let certificate = CertificateDer::from(std::fs::read(home.join("certificate"))?);
    let key = PrivateKeyDer::try_from(std::fs::read(home.join("key"))?)?;
    let mut config = ServerConfig::with_single_cert(vec![certificate], key)?;
    config.transport_config(transport());
    let endpoint = Endpoint::server(config, (Ipv4Addr::LOCALHOST, 0).into())?;
    println!("{}", endpoint.local_addr()?);
    tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            let Ok(connection) = incoming.await else { continue };
            tokio::spawn(read_all(connection));
        }
    });
    tokio::task::spawn_blocking(|| io::stdin().read_to_end(&mut Vec::new())).await??;
    Ok(())
}

async fn read_all(connection: Connection) {
    while let Ok(mut stream) = connection.accept_uni().await {
        while let Ok(Some(_)) = stream.read_chunk(usize::MAX, true).await {}
    }
}

/// Buffers as nodes have them.
fn transport() -> Arc<TransportConfig> {
    let mut config = TransportConfig::default();
    config.stream_receive_window((4_u32 << 20).into()).send_window(16 << 20);
    Arc::new(config)
}

/// The other node, in its process.
struct Other {
    bare: SocketAddr,
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Other {
    fn start(home: &Path, seed: &str) -> Result<Self, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--seed", seed, "--home"])
            .arg(home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdin = child.stdin.take();
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
        Ok(Self { bare: line.trim().parse()?, child, stdin })
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.wait(); // It ends on its own.
    }
}

#[tokio::main]
async fn measure(arguments: &Arguments) -> Result<(), Failure> {
    let home = tempfile::tempdir()?;
    let made = rcgen::generate_simple_self_signed(vec!["bare".to_owned()])?;
    std::fs::write(home.path().join("certificate"), made.cert.der())?;
    std::fs::write(home.path().join("key"), made.signing_key.serialize_der())?;
    let node = start(home.path(), None).await?;
    let other = Other::start(home.path(), &node.addr().to_string())?;
    let met = async {
        while node.members().current().members().len() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, met).await?;
    let bare = connect(other.bare, made.cert.der().clone()).await?;

    let Arguments { bytes, seconds, rounds, .. } = *arguments;
    println!("{rounds} rounds of {seconds} s, messages of {bytes} bytes");
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        theirs.push(write(&bare, bytes, Duration::from_secs(seconds)).await?);
        ours.push(publish(&node, bytes, Duration::from_secs(seconds)).await?);
    }
    let [ours, theirs] = [ours, theirs].map(|mut rates| {
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    });
    let missed = if bytes == 256 && ours < GOAL { " (missed)" } else { "" };
    println!("bare QUIC: {theirs:>9.0} frames/s");
    println!("a link:    {ours:>9.0} messages/s, {:.0} %{missed}", ours / theirs * 100.0);
    Ok(())
}

async fn connect(
    addr: SocketAddr,
    certificate: CertificateDer<'static>,
) -> Result<Connection, Failure> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate)?;
    let mut config = ClientConfig::with_root_certificates(Arc::new(roots))?;
    config.transport_config(transport());
    let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?;
    Ok(endpoint.connect_with(config, addr, "bare")?.await?)
}

/// How many frames a second are written to a stream, and arrive.
async fn write(bare: &Connection, bytes: usize, duration: Duration) -> Result<f64, Failure> {
    let (frame, began) = (vec![b'x'; bytes], now());
    let mut stream = bare.open_uni().await?;
    let mut frames = 0_u32;
    while now() - began < duration {
        for _ in 0..LOOK_EVERY {
            stream.write_all(&frame).await?;
        }
        frames += LOOK_EVERY as u32;
    }
    stream.finish()?;
    stream.stopped().await?;
    Ok(f64::from(frames) / (now() - began).as_secs_f64())
}

/// How many messages a second are published, and stored on the other node.
async fn publish(node: &Node, bytes: usize, duration: Duration) -> Result<f64, Failure> {
    let (topic, began) = (node.topic(TOPIC)?, now());
    let message = Message::from("x".repeat(bytes));
    let (mut under_way, mut messages) = (VecDeque::new(), 0_u32);
    while now() - began < duration {
        for _ in 1..LOOK_EVERY {
            topic.publish(message.clone()).await?;
        }
        under_way.push_back(topic.publish(message.clone()).await?);
        messages += LOOK_EVERY as u32;
        if under_way.len() * LOOK_EVERY >= WINDOW
            && let Some(oldest) = under_way.pop_front()
        {
            oldest.stored(1).await;
        }
    }
    for last in under_way {
        let stored = last.stored(1).await;
        if stored.nodes != 1 {
            return Err("the link was lost".into());
        }
    }
    Ok(f64::from(messages) / (now() - began).as_secs_f64())
}

#[expect(clippy::disallowed_methods, reason = "a benchmark is about time")]
fn now() -> Instant {
    Instant::now()
}
