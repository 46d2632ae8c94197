//! Clients that are slow on purpose: those that never finish asking, and those that stop reading. They
//! cost a node bounded memory, and delay nobody.
//!
//! `CROWD` says how many there are of each kind, and of honest clients; 1,000 shows most, and takes a
//! minute. What the honest ones see is printed, without the crowd and within it: a machine that does
//! something else as well says little about time, so that no limit is set to that here.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    io::Read,
    net::SocketAddr,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use socket2::{Domain, Socket, Type};
use support::{Client, PATIENCE, Place, RawSocket, post, publish, serve, spawn, within};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
    task::{JoinHandle, JoinSet},
};

/// What a stopped reader may cost in the node's own memory: what is handed to the system at once,
/// which has not taken it yet, and the connection itself.
const STOPPED_BYTES: u64 = 160 << 10;
/// What a stopped reader may cost the system, which counts its own overhead too, at both ends.
const UNSENT_BYTES: u64 = 512 << 10;
/// What who never finishes asking may cost.
const ASKING_BYTES: u64 = 24 << 10;
/// What is published to those who do not read, twice, and what the allocator keeps.
const SHARED_BYTES: u64 = 48 << 20;

/// How many messages the honest clients get, in each part, and how often.
const MESSAGES: usize = 100;
const EVERY: Duration = Duration::from_millis(100);
/// How long a message is to those who do not read. There is one for each of the others.
const LONG_BYTES: usize = 64 << 10;

/// Says to a process of this test that it is to be the node.
const NODE: &str = "SLOW_TEST_IS_NODE";

/// Goal: honest clients see nothing of a crowd of others, and a node takes no more memory for it than
/// is said.
///
/// Method: the node is a process of its own, which is this test again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_slow_on_purpose_costs_bounded_memory_and_delays_nobody() {
    if std::env::var_os(NODE).is_some() {
        return be_the_node().await;
    }
    let crowd = std::env::var("CROWD").map_or(60, |crowd| crowd.parse::<usize>().unwrap());
    let server = Server::start().await;
    let http = server.http;
    let mut clients = Vec::new();
    for _ in 0..crowd {
        clients.push(Client::bare(http, "/chat/honest").await);
    }
    let (clients, quiet) = exchange(http, clients, None).await;
    let (before, system_before) = (server.resident_bytes(), system_bytes());
    let stop = Arc::<AtomicBool>::default();
    let asking: Vec<_> = (0..crowd).map(|_| ask_slowly(http, Arc::clone(&stop))).collect();
    let stopped = stop_reading(http, crowd).await;
    let (clients, within_crowd) = exchange(http, clients, Some("/chat/stopped")).await;
    let grown = server.resident_bytes().saturating_sub(before);
    let budget = SHARED_BYTES + crowd as u64 * (STOPPED_BYTES + ASKING_BYTES);
    let system_grown = system_bytes().saturating_sub(system_before);
    let system_budget = SHARED_BYTES + crowd as u64 * UNSENT_BYTES;
    println!(
        "{crowd} of each: p99 {within_crowd:?}, and {quiet:?} without them; \
         memory grown by {} KiB of {} KiB; the system's, for TCP, by {} KiB of {} KiB",
        grown >> 10,
        budget >> 10,
        system_grown >> 10,
        system_budget >> 10,
    );
    assert!(grown < budget, "{grown} bytes, and not {budget}");
    assert!(system_grown < system_budget, "{system_grown} bytes, and not {system_budget}");
    stop.store(true, Ordering::Relaxed);
    for asking in asking {
        within(PATIENCE, "who asks slowly ends", asking).await.unwrap();
    }
    drop((clients, stopped));
}

async fn be_the_node() {
    let place = Place::new("slow");
    let node = place.node().route("/chat/{room}", publish).start().await.unwrap();
    println!("\nlistening {}", serve(&node));
    // Until the other process ends.
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// The process of the node, which ends with this.
struct Server {
    http: SocketAddr,
    child: Child,
}

impl Server {
    async fn start() -> Self {
        let test = std::thread::current().name().expect("a test has a name").to_owned();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &test, "--nocapture"])
            .env(NODE, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let http = loop {
            let line = within(PATIENCE, "the node listens", lines.next_line()).await.unwrap();
            let line = line.expect("the node says where it listens");
            if let Some(http) = line.strip_prefix("listening ") {
                break http.parse().unwrap();
            }
        };
        Self { http, child }
    }

    fn resident_bytes(&self) -> u64 {
        let process = self.child.id().expect("it has not ended");
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
    }
}

/// Publishes to all clients, each of which must get all of it in order. Returns how long that took
/// but for one of a hundred. Publishes as much to those at `aside`.
async fn exchange(
    http: SocketAddr,
    clients: Vec<Client>,
    aside: Option<&str>,
) -> (Vec<Client>, Duration) {
    let began = support::now();
    let mut reading = JoinSet::new();
    for mut client in clients {
        let read = async move {
            let mut took = Vec::new();
            for n in 0..MESSAGES {
                let text = client.text().await;
                let (number, at) = text.split_once(' ').expect("a number and a time");
                assert_eq!(number, n.to_string());
                took.push(began.elapsed() - Duration::from_micros(at.parse().unwrap()));
            }
            (client, took)
        };
        reading.spawn(read);
    }
    let long = vec![b'x'; LONG_BYTES];
    let mut ticks = tokio::time::interval(EVERY);
    for n in 0..MESSAGES {
        ticks.tick().await;
        if let Some(aside) = aside {
            assert_eq!(post(http, aside, &long).await.status, 200);
        }
        let text = format!("{n} {}", began.elapsed().as_micros());
        assert_eq!(post(http, "/chat/honest", text.as_bytes()).await.status, 200);
    }
    let (mut clients, mut took) = (Vec::new(), Vec::new());
    for (client, times) in within(PATIENCE * 4, "all get all", reading.join_all()).await {
        clients.push(client);
        took.extend(times);
    }
    took.sort_unstable();
    (clients, took[took.len() * 99 / 100])
}

/// Sends the head of a request byte by byte, again and again, and never its end.
fn ask_slowly(http: SocketAddr, stop: Arc<AtomicBool>) -> JoinHandle<()> {
    spawn(async move {
        while !stop.load(Ordering::Relaxed) {
            let mut stream = TcpStream::connect(http).await.unwrap();
            let _ = stream.write_all(b"POST /chat/honest HTTP/1.1\r\nX-Slow: ").await;
            while !stop.load(Ordering::Relaxed) && stream.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
    })
}

/// Connections that are not read from any more: a third each of WebSockets, event streams and polls.
async fn stop_reading(http: SocketAddr, count: usize) -> Vec<Box<dyn Send>> {
    let mut stopped: Vec<Box<dyn Send>> = Vec::new();
    for n in 0..count {
        stopped.push(match n % 3 {
            0 => Box::new(RawSocket::connect(http, "/chat/stopped").await),
            1 => Box::new(ask(http, "X-Atmosphere-Transport=sse").await),
            _ => {
                let stock = "X-Atmosphere-Transport=long-polling&X-Atmosphere-Framework=5.0.7\
                             &X-atmo-protocol=true&X-Atmosphere-TrackMessageSize=true";
                let mut greeted = ask(http, &format!("{stock}&X-Atmosphere-tracking-id=0")).await;
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(within(PATIENCE, "a greeting", greeted.read_u8()).await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                let id = head.lines().find_map(|it| it.strip_prefix("x-atmosphere-tracking-id: "));
                let id = id.expect("a session has an id");
                Box::new(ask(http, &format!("{stock}&X-Atmosphere-tracking-id={id}")).await)
            }
        });
    }
    stopped
}

/// Asks for what is told to those who are stopped, with little room for the answer.
async fn ask(http: SocketAddr, query: &str) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&http.into()).unwrap();
    socket.set_nonblocking(true).unwrap();
    let mut stream = TcpStream::from_std(socket.into()).unwrap();
    let request = format!("GET /chat/stopped?{query} HTTP/1.1\r\nHost: {http}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// What the system has of data on TCP connections, of all processes.
fn system_bytes() -> u64 {
    let stat = std::fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
    let line = stat.lines().find_map(|line| line.strip_prefix("TCP:"));
    let pages = line.and_then(|line| line.split_whitespace().last()?.parse::<u64>().ok());
    pages.unwrap_or_default() * 4096
}
