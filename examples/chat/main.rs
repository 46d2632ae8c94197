//! A chat: start it as often as you like on one machine, and it is one server.
//!
//! ```text
//! cargo run --release --example chat -- [--http ADDR] [--cluster NAME] [--store DIR]
//!     [--listen ADDR] [--advertise ADDR] [--seed ADDR]... [--dns NAME]... [--multicast[=INTERFACE]]
//!     [--secret FILE]... [--secret-env VARIABLE] [--ca FILE --cert FILE --key FILE]
//!     [--license-key FILE [--license FILE] [--standby]] [--control ADDR]
//! ```
//!
//! With `--control ADDR`, operators see and steer the cluster there: it prints
//! `control http://ADDR/?token=TOKEN`, with a token of its own that is new at each start.
//!
//! Built with `--features grpc`, it also takes `--grpc ADDR`, where clients speak gRPC.
//!
//! With `--license-key`, it is an application that is licensed by the node (see the example `license`):
//! one node runs without a licence, and the node too many exits with status 3.
//!
//! Prints `listening http://ADDR` to standard output once it is ready; logs go to standard error.
//! Every message that a client of `/chat/{room}` sends, text or bytes, is published as it is to all
//! clients of that room, the sender among them.

mod licensed;
mod nodes;

use std::{
    error::Error,
    io::{self, IsTerminal},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    process::ExitCode,
};

use axum::{
    Json, Router,
    http::{HeaderValue, header},
    response::IntoResponse,
    routing::get,
};
use clap::Parser;
use exosphere::{Close, Durability, Grant, Message, Node, Pace, Session};
#[cfg(feature = "control")]
use exosphere::{Control, Role};
use licensed::{Licensed, ONE_TOO_MANY, is_one_too_many};
use serde_json::json;
use tokio::signal;
use tracing_subscriber::EnvFilter;

/// A chat on a cluster of its own.
#[derive(Parser)]
struct Arguments {
    /// Where browsers connect. Defaults to 127.0.0.1:8080, or the next port that is free.
    #[arg(long, value_name = "ADDR")]
    http: Option<SocketAddr>,
    /// Where clients connect that speak gRPC. They do not, unless this is given.
    #[cfg(feature = "grpc")]
    #[arg(long, value_name = "ADDR")]
    grpc: Option<SocketAddr>,
    /// Where operators connect: the console, the HTTP API and the metrics. They do not, unless this is
    /// given.
    #[cfg(feature = "control")]
    #[arg(long, value_name = "ADDR")]
    control: Option<SocketAddr>,
    /// The cluster to be a node of.
    #[arg(long, value_name = "NAME", default_value = "chat")]
    cluster: String,
    #[command(flatten)]
    nodes: nodes::Nodes,
    /// The directory to store messages and sessions in, one for each node. Then what clients push
    /// is acknowledged once it is on the disk. Without it, all is in memory.
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    #[command(flatten)]
    licensed: Licensed,
}

/// The port that browsers connect to if nothing else is said, and how many are tried.
const HTTP_PORT: u16 = 8080;
const HTTP_PORTS: u16 = 100;

/// What the page may do: nothing but what it came with, and talk to other nodes.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     connect-src 'self' http: https: ws: wss:; img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'";

async fn publish(session: Session, message: Message) -> Result<(), Close> {
    session.publish(session.path().as_str(), message).await?;
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chat: {}", sentence(&*error));
            if is_one_too_many(&*error) { ONE_TOO_MANY.into() } else { ExitCode::FAILURE }
        }
    }
}

/// An error and its sources, for people.
fn sentence(error: &dyn Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", sentence(source)),
        None => error.to_string(),
    }
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let in_force = filter.to_string();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let log = log.with_ansi(io::stderr().is_terminal()).with_filter_reloading();
    let filtering = log.reload_handle();
    log.init();

    let listener = listen(arguments.http)?;
    let addr = listener.local_addr()?;
    #[cfg(feature = "grpc")]
    let grpc = arguments.grpc.map(|addr| listen(Some(addr))).transpose()?;
    #[cfg(feature = "control")]
    let control = arguments.control.map(|addr| listen(Some(addr))).transpose()?;
    let set_filter = move |filter: &str| {
        let filter = EnvFilter::try_new(filter).map_err(|error| error.to_string())?;
        filtering.reload(filter).map_err(|error| error.to_string())
    };
    let node = start(arguments, addr, (in_force, set_filter)).await?;
    #[cfg(feature = "grpc")]
    if let Some(grpc) = grpc {
        serve_grpc(node.clone(), grpc);
    }
    #[cfg(feature = "control")]
    let control = match control {
        Some(control) => serve_control(node.clone(), control).await?,
        None => None,
    };
    println!("listening http://{addr}");
    #[cfg(feature = "control")]
    control.into_iter().for_each(|url| println!("control {url}"));
    let ended = async {
        leave(&node).await;
        Ok(())
    };
    let watched = async {
        watch(&node).await;
        Ok(())
    };
    tokio::try_join!(node.serve_app(listener, pages(node.clone())), ended, watched)?;
    Ok(())
}

/// Serves clients that speak gRPC, until the node has been shut down.
#[cfg(feature = "grpc")]
#[expect(clippy::disallowed_methods, reason = "the example is no node")]
fn serve_grpc(node: Node, listener: TcpListener) {
    tokio::spawn(async move {
        if let Err(error) = node.serve_grpc_listener(listener).await {
            eprintln!("chat: {}", sentence(&error));
        }
    });
}

/// Serves operators, until the node has been shut down. Returns where, with a token, once it does; it
/// does not if the node has been shut down already.
#[cfg(feature = "control")]
#[expect(clippy::disallowed_methods, reason = "the example is no node")]
async fn serve_control(
    node: Node,
    listener: TcpListener,
) -> Result<Option<String>, Box<dyn Error>> {
    let (addr, token) = (listener.local_addr()?, Control::random_token());
    let control = Control::new().token("chat", Role::Admin, &token);
    let serve = async move { node.serve_control_listener(listener, control).await };
    let mut serve = Box::pin(serve);
    // What is refused is refused at once.
    tokio::select! {
        biased;
        ended = &mut serve => return Ok(ended.map(|()| None)?),
        () = std::future::ready(()) => {}
    }
    tokio::spawn(async move {
        if let Err(error) = serve.await {
            eprintln!("chat: {}", sentence(&error));
        }
    });
    Ok(Some(format!("http://{addr}/?token={token}")))
}

async fn start(
    arguments: Arguments,
    http: SocketAddr,
    (in_force, set_filter): (String, impl Fn(&str) -> Result<(), String> + Send + Sync + 'static),
) -> Result<Node, Box<dyn Error>> {
    let builder = Node::builder(arguments.cluster).route("/chat/{room}", publish);
    let builder = builder.on_log_filter(in_force, set_filter);
    let builder = arguments.licensed.apply(builder)?;
    let mut builder = arguments.nodes.apply(builder)?;
    if let Some(path) = arguments.store {
        builder = builder.store(path).durability(Durability::Disk);
    }
    if !http.ip().is_unspecified() {
        builder = builder.public_url(format!("http://{http}"));
    }
    // A page of one node of this machine may go on with another when its own is gone.
    for port in HTTP_PORT..HTTP_PORT + HTTP_PORTS {
        for host in ["127.0.0.1", "localhost"] {
            builder = builder.allow_origin(format!("http://{host}:{port}"));
        }
    }
    Ok(builder.start().await?)
}

/// The page and what it needs; everything else is the node's, `exosphere.mjs` too.
fn pages(node: Node) -> Router {
    let text =
        |kind: &'static str, text: &'static str| get(move || async move { page(kind, text) });
    let asked = node.clone();
    Router::new()
        .route("/", text("text/html; charset=utf-8", include_str!("index.html")))
        .route("/chat.css", text("text/css", include_str!("chat.css")))
        .route("/chat.js", text("text/javascript", include_str!("chat.js")))
        .route("/node", get(move || async move { Json(describe(&asked)) }))
        .fallback_service(node.service())
}

fn page(kind: &'static str, text: &'static str) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (headers, text)
}

fn describe(node: &Node) -> serde_json::Value {
    let roster = node.members().current();
    let member = |member: &exosphere::Member| {
        json!({
            "id": member.id.to_string(),
            "addr": member.addr.to_string(),
            "http": member.url(),
            "state": member.state().to_string(),
            "this": member.this,
        })
    };
    let members: Vec<_> = roster.members().iter().map(member).collect();
    let accounting = node.accounting();
    let exosphere::Tally { accepted, acknowledged, pending, expired, dropped, .. } =
        accounting.stored;
    let stored = json!({
        "accepted": accepted,
        "acknowledged": acknowledged,
        "pending": pending,
        "expired": expired,
        "dropped": dropped.total(),
    });
    json!({
        "id": node.id().to_string(),
        "license": node.license().map(|license| {
            let Grant { customer, max_nodes, .. } = license.grant();
            json!({ "customer": customer, "max_nodes": max_nodes })
        }),
        "members": members,
        "stored": stored,
        "unaccounted": accounting.unaccounted(),
    })
}

/// The address that was asked for, or else the first port that is free.
fn listen(asked: Option<SocketAddr>) -> io::Result<TcpListener> {
    if let Some(addr) = asked {
        let named = |error| io::Error::other(format!("cannot listen on {addr}: {error}"));
        return TcpListener::bind(addr).map_err(named);
    }
    let mut ports = HTTP_PORT..HTTP_PORT + HTTP_PORTS;
    loop {
        let port = ports.next().ok_or(io::ErrorKind::AddrInUse)?;
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            bound => return bound,
        }
    }
}

/// Waits for Ctrl-C or SIGTERM, and leaves: clients are sent elsewhere one after the other. A second
/// signal ends that at once. An operator may have told the node to leave before.
async fn leave(node: &Node) {
    tokio::select! {
        _ = node.ended() => return,
        () = signalled() => {}
    }
    tokio::select! {
        () = node.drain(Pace::default()) => {}
        () = signalled() => node.shutdown().await,
    }
}

async fn signalled() {
    let interrupted = signal::ctrl_c();
    #[cfg(unix)]
    let terminated = async {
        match signal::unix::signal(signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => signal.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminated = std::future::pending::<()>();
    tokio::select! {
        _ = interrupted => {}
        _ = terminated => {}
    }
}

/// Logs what happens to the nodes of the cluster.
async fn watch(node: &Node) {
    let mut events = node.member_events();
    while let Some(event) = events.next().await {
        tracing::info!("{event}");
    }
}
