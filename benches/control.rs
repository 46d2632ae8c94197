//! What it costs to look: how long a page of 100 sessions takes of very many, and what that does to
//! deliveries meanwhile.
//!
//! One node has the sessions, nearly all of whom are between two polls. One client publishes to a topic of a
//! few, and takes the time until it has its own message back, in turns with nobody looking, and with
//! somebody who goes through all sessions, ten pages a second. All is in one process.
//!
//! ```text
//! cargo bench --bench control -- [--sessions N] [--pause MS] [--seconds S] [--rounds N]
//! ```

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]

use std::{
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use clap::Parser;
use exosphere::{Close, Control, Message, Node, Role, Session};
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Empty};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::Value;
use tokio::task::JoinSet;

/// Measures what looking costs.
#[derive(Clone, Copy, Debug, Parser)]
struct Arguments {
    /// How many sessions there are.
    #[arg(long, default_value_t = 100_000)]
    sessions: usize,
    /// How long each measurement lasts.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// How long who looks waits between two pages, in milliseconds.
    #[arg(long, default_value_t = 100)]
    pause: u64,
    /// How often both are measured.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

const TOKEN: &str = "the token of who looks";

/// How many requests begin sessions at a time.
const AT_ONCE: usize = 16;

type Http = Client<hyper_util::client::legacy::connect::HttpConnector, Empty<bytes::Bytes>>;

async fn publish(session: Session, message: Message) -> Result<(), Close> {
    session.publish(session.path().as_str(), message).await?;
    Ok(())
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    let dir = tempfile::tempdir().unwrap();
    let builder = Node::builder("bench-control").secret_file(dir.path().join("secret"));
    let node = builder.route("/chat/{room}", publish).start().await.unwrap();
    let (http, control) = serve(&node);
    let client: Http = Client::builder(TokioExecutor::new()).build_http();

    let began = now();
    begin(&client, http, arguments.sessions).await;
    println!("{} sessions, begun in {:.1?}", arguments.sessions, began.elapsed());
    for round in 0..arguments.rounds {
        let alone = deliveries(http, arguments.seconds).await;
        let (is_over, pages) = (Arc::<AtomicBool>::default(), client.clone());
        let pause = Duration::from_millis(arguments.pause);
        let looking = looked_at(pages, control, pause, Arc::clone(&is_over));
        let beside = async {
            let beside = deliveries(http, arguments.seconds).await;
            is_over.store(true, Ordering::Relaxed);
            beside
        };
        let (pages, beside) = tokio::join!(looking, beside);
        println!(
            "round {round}: a page {}; a delivery alone {}; beside pages {}",
            spread(pages),
            spread(alone),
            spread(beside)
        );
    }
    node.shutdown().await;
}

fn serve(node: &Node) -> (SocketAddr, SocketAddr) {
    let [http, control] = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    let addrs = (http.local_addr().unwrap(), control.local_addr().unwrap());
    let (clients, operators) = (node.clone(), node.clone());
    spawn(async move { clients.serve_listener(http).await.unwrap() });
    let tower = Control::new().token("bench", Role::Read, TOKEN);
    spawn(async move { operators.serve_control_listener(control, tower).await.unwrap() });
    addrs
}

/// Begins sessions of clients that poll, and do not come back soon.
async fn begin(client: &Http, http: SocketAddr, sessions: usize) {
    let url = format!(
        "http://{http}/chat/many?X-Atmosphere-Transport=long-polling&X-Atmosphere-tracking-id=0\
         &X-Atmosphere-Framework=2.3.8-javascript&X-atmo-protocol=true"
    );
    let mut tasks = JoinSet::new();
    for part in 0..AT_ONCE {
        let (client, url) = (client.clone(), url.clone());
        let count = sessions / AT_ONCE + usize::from(part < sessions % AT_ONCE);
        tasks.spawn(async move {
            for _ in 0..count {
                let answer = client.get(url.parse().unwrap()).await.unwrap();
                assert!(answer.status().is_success(), "{answer:?}");
                answer.into_body().collect().await.unwrap();
            }
        });
    }
    tasks.join_all().await;
}

/// How long pages take, asked for with a pause between them, until it is over.
async fn looked_at(
    client: Http,
    control: SocketAddr,
    pause: Duration,
    is_over: Arc<AtomicBool>,
) -> Vec<Duration> {
    let (mut took, mut after) = (Vec::new(), String::new());
    while !is_over.load(Ordering::Relaxed) {
        let url = format!("http://{control}/api/v1/sessions?limit=100{after}");
        let request = http::Request::get(url).header("Authorization", format!("Bearer {TOKEN}"));
        let began = now();
        let answer = client.request(request.body(Empty::new()).unwrap()).await.unwrap();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        took.push(began.elapsed());
        let page: Value = serde_json::from_slice(&body).unwrap();
        after = page["next"].as_str().map(|next| format!("&after={next}")).unwrap_or_default();
        tokio::time::sleep(pause).await;
    }
    took
}

/// How long messages take to a client and back, one after the other.
async fn deliveries(http: SocketAddr, seconds: u64) -> Vec<Duration> {
    let url = format!("ws://{http}/chat/few");
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let (mut took, end) = (Vec::new(), now() + Duration::from_secs(seconds));
    while now() < end {
        let began = now();
        socket.send("hello".into()).await.unwrap();
        while !socket.next().await.unwrap().unwrap().is_text() {}
        took.push(began.elapsed());
    }
    socket.close(None).await.unwrap();
    took
}

fn spread(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or_default();
    format!("p50 {:.2?}, p99 {:.2?} of {}", at(50), at(99), times.len())
}

#[expect(clippy::disallowed_methods, reason = "a benchmark takes the time")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "a benchmark is no node")]
fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}
