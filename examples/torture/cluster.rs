//! Nodes: processes of the chat example.

use std::{
    collections::VecDeque,
    error::Error,
    io,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
    time::{sleep, timeout},
};

use crate::network::{Cut, Network};

/// Which topic all is about.
const PATH: &str = "/chat/torture";

/// How long nodes may take to start, and to find each other.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long the nodes are left alone once they know each other, to hand over what they lack.
const CATCH_UP: Duration = Duration::from_millis(500);

/// How often they are asked whether they know each other.
const ASK: Duration = Duration::from_millis(50);

/// How many of the last lines of a node's log are kept.
const LINES: usize = 200;

/// Processes of the chat example, which end with this.
pub(crate) struct Cluster {
    dir: TempDir,
    name: String,
    store: bool,
    /// The network of its own that it is in; without, the nodes share the loopback interface.
    network: Option<Network>,
    nodes: Vec<Node>,
}

struct Node {
    http: SocketAddr,
    process: Child,
    pid: Pid,
    /// The id of this run of it.
    id: String,
    log: Arc<Mutex<VecDeque<String>>>,
}

impl Cluster {
    pub(crate) async fn start(
        nodes: usize,
        store: bool,
        network: Option<Network>,
    ) -> Result<Self, Box<dyn Error>> {
        let name = format!("torture-{}", std::process::id());
        let dir = tempfile::tempdir()?;
        let mut cluster = Self { dir, name, store, network, nodes: Vec::new() };
        let addrs = match cluster.network {
            Some(_) => (0..nodes).map(Network::http).collect(),
            None => free_addrs(nodes)?,
        };
        for (at, http) in addrs.into_iter().enumerate() {
            let node = cluster.spawn(at, http).await?;
            cluster.nodes.push(node);
        }
        cluster.whole().await?;
        Ok(cluster)
    }

    pub(crate) const fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The URLs of all nodes, beginning with this one.
    pub(crate) fn urls(&self, first: usize) -> Vec<String> {
        let nodes = self.nodes.iter().cycle().skip(first).take(self.nodes.len());
        nodes.map(|node| format!("ws://{}{PATH}", node.http)).collect()
    }

    /// The id of a node.
    pub(crate) fn id(&self, node: usize) -> &str {
        &self.nodes[node].id
    }

    pub(crate) async fn kill(&mut self, node: usize) -> io::Result<()> {
        self.nodes[node].process.kill().await
    }

    pub(crate) async fn kill_all(&mut self) -> io::Result<()> {
        for node in &mut self.nodes {
            node.process.start_kill()?;
        }
        for node in &mut self.nodes {
            node.process.wait().await?;
        }
        Ok(())
    }

    /// Tells a node to end, and waits until it has.
    pub(crate) async fn drain(&mut self, node: usize) -> Result<(), Box<dyn Error>> {
        let node = &mut self.nodes[node];
        kill_process(node.pid, Signal::TERM)?;
        let told = || format!("a node that was told to end does not within {PATIENCE:?}");
        let status = timeout(PATIENCE, node.process.wait()).await.map_err(|_| told())??;
        match status.success() {
            true => Ok(()),
            false => Err(format!("a node that was told to end has failed: {status}").into()),
        }
    }

    /// Starts a node again that has ended.
    pub(crate) async fn restart(&mut self, node: usize) -> Result<(), Box<dyn Error>> {
        self.nodes[node] = self.spawn(node, self.nodes[node].http).await?;
        Ok(())
    }

    /// Stops a node for a while.
    pub(crate) async fn stop(&self, node: usize, duration: Duration) -> io::Result<()> {
        kill_process(self.nodes[node].pid, Signal::STOP)?;
        sleep(duration).await;
        kill_process(self.nodes[node].pid, Signal::CONT)?;
        Ok(())
    }

    /// Cuts the network for a while. Only where the cluster has one of its own.
    pub(crate) async fn cut(&self, cut: Cut, duration: Duration) -> Result<(), Box<dyn Error>> {
        let network = self.network.as_ref().ok_or("the cluster has no network of its own")?;
        network.cut(cut).await?;
        sleep(duration).await;
        network.mend(cut).await
    }

    /// How many messages are not accounted for, on all nodes together.
    pub(crate) async fn unaccounted(&self) -> Result<u64, Box<dyn Error>> {
        let mut sum = 0;
        for node in &self.nodes {
            let description = describe(node.http).await?;
            let unaccounted = description["unaccounted"].as_u64();
            sum += unaccounted.ok_or("a node does not account for its messages")?;
        }
        Ok(sum)
    }

    /// Waits until every node knows all nodes, and no other.
    pub(crate) async fn whole(&self) -> Result<(), Box<dyn Error>> {
        let known = async {
            for node in &self.nodes {
                while !describe(node.http).await.is_ok_and(|it| self.is_whole(&it)) {
                    sleep(ASK).await;
                }
            }
        };
        let told = || format!("the nodes do not find each other within {PATIENCE:?}");
        timeout(PATIENCE, known).await.map_err(|_| told())?;
        sleep(CATCH_UP).await;
        Ok(())
    }

    /// Prints the end of each node's log.
    pub(crate) fn print_logs(&self) {
        for node in &self.nodes {
            eprintln!("--- the log of {} ({}):", node.id, node.http);
            let log = node.log.lock().unwrap_or_else(PoisonError::into_inner);
            log.iter().for_each(|line| eprintln!("{line}"));
        }
    }

    fn is_whole(&self, description: &Value) -> bool {
        let members = description["members"].as_array().map(Vec::as_slice).unwrap_or_default();
        let knows = |node: &Node| members.iter().any(|member| member["id"] == node.id.as_str());
        members.len() == self.nodes.len() && self.nodes.iter().all(knows)
    }

    async fn spawn(&self, at: usize, http: SocketAddr) -> Result<Node, Box<dyn Error>> {
        let mut command = match &self.network {
            Some(network) => network.command(at, executable()?),
            None => Command::new(executable()?),
        };
        if let Some(network) = &self.network {
            command.arg("--node").arg(Network::addr(at).to_string());
            for other in (0..network.len()).filter(|&other| other != at) {
                command.arg("--seed").arg(Network::addr(other).to_string());
            }
        }
        command.args(["--http", &http.to_string(), "--cluster", &self.name, "--secret"]);
        command.arg(self.dir.path().join("secret"));
        if self.store {
            command.arg("--store").arg(self.dir.path().join(format!("store-{at}")));
        }
        command.env("XDG_RUNTIME_DIR", self.dir.path()).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn()?;
        let pid = process.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        let log = keep(process.stderr.take().ok_or("a process has no standard error")?);
        let stdout = process.stdout.take().ok_or("a process has no standard output")?;
        let mut lines = BufReader::new(stdout).lines();
        let said = timeout(PATIENCE, lines.next_line()).await??.unwrap_or_default();
        if !said.starts_with("listening ") {
            let log = log.lock().unwrap_or_else(PoisonError::into_inner);
            return Err(format!("a node does not start: {said:?} {log:?}").into());
        }
        let description = describe(http).await?;
        let id = description["id"].as_str().ok_or("a node has no id")?.to_owned();
        Ok(Node { http, process, pid: pid.ok_or("a process has no id")?, id, log })
    }
}

/// Addresses of the loopback interface that are free.
fn free_addrs(count: usize) -> io::Result<Vec<SocketAddr>> {
    // All are held at once, so that no two are the same.
    let held = (0..count).map(|_| TcpListener::bind("127.0.0.1:0"));
    let held = held.collect::<Result<Vec<_>, _>>()?;
    held.iter().map(TcpListener::local_addr).collect()
}

/// Keeps the last lines of a log.
#[expect(clippy::disallowed_methods, reason = "the torture is no node")]
fn keep(log: impl tokio::io::AsyncRead + Send + Unpin + 'static) -> Arc<Mutex<VecDeque<String>>> {
    let kept = Arc::<Mutex<VecDeque<String>>>::default();
    let written = Arc::clone(&kept);
    tokio::spawn(async move {
        let mut lines = BufReader::new(log).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let mut kept = written.lock().unwrap_or_else(PoisonError::into_inner);
            kept.push_back(line);
            if kept.len() > LINES {
                kept.pop_front();
            }
        }
    });
    kept
}

/// What a node says of itself.
async fn describe(http: SocketAddr) -> Result<Value, Box<dyn Error>> {
    let asked = async {
        let mut stream = TcpStream::connect(http).await?;
        let request = format!("GET /node HTTP/1.1\r\nHost: {http}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, io::Error>(answer)
    };
    let answer = timeout(PATIENCE, asked).await??;
    let (_, body) = answer.split_once("\r\n\r\n").ok_or("a node's answer has no body")?;
    Ok(serde_json::from_str(body)?)
}

/// The example, which stands beside this one.
fn executable() -> Result<PathBuf, Box<dyn Error>> {
    let chat =
        std::env::current_exe()?.with_file_name(format!("chat{}", std::env::consts::EXE_SUFFIX));
    match chat.exists() {
        true => Ok(chat),
        false => Err("build the chat example first".into()),
    }
}
