//! Proxies in front of two nodes, which they ask in turn: nginx and haproxy, as they are.
//!
//! No request needs to reach the node that had the one before. nginx passes on no upgrade unless it is
//! told to; then a stock client finds another transport by itself.
//!
//! On a machine without them (`bash tests/all.sh` installs them when root) they are skipped, loudly;
//! where CI is set, that is a failure.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    collections::BTreeSet,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use exosphere::Node;
use serde_json::Value;
use support::{Client, PATIENCE, Place, Received, Stream, post, publish, sees, serve, within};
use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

/// How soon a client is to have found a transport that works.
const FALLBACK: Duration = Duration::from_secs(10);

/// How many messages each transport carries.
const COUNT: usize = 20;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Nginx,
    /// With the three lines that its manual has for WebSockets.
    NginxWithUpgrades,
    Haproxy,
}

impl Kind {
    fn program(self) -> &'static str {
        match self {
            Self::Nginx | Self::NginxWithUpgrades => "nginx",
            Self::Haproxy => "haproxy",
        }
    }

    fn args(self) -> &'static [&'static str] {
        match self {
            Self::Nginx | Self::NginxWithUpgrades => &["-e", "stderr", "-c"],
            Self::Haproxy => &["-db", "-f"],
        }
    }

    /// What is not its default: where it listens, whom it asks, and what it cannot do without.
    fn config(self, dir: &str, port: u16, [a, b]: [SocketAddr; 2]) -> String {
        let upgrades = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; \
                        proxy_set_header Connection $connection_upgrade;";
        let upgrades = if self == Self::NginxWithUpgrades { upgrades } else { "" };
        match self {
            Self::Nginx | Self::NginxWithUpgrades => format!(
                "daemon off; master_process off; pid {dir}/pid; error_log stderr;
                 events {{}}
                 http {{
                   access_log off;
                   client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;
                   fastcgi_temp_path {dir}/fastcgi; uwsgi_temp_path {dir}/uwsgi;
                   scgi_temp_path {dir}/scgi;
                   map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
                   upstream nodes {{ server {a}; server {b}; }}
                   server {{
                     listen 127.0.0.1:{port};
                     location / {{
                       proxy_pass http://nodes; proxy_set_header Host $http_host; {upgrades}
                     }}
                   }}
                 }}"
            ),
            Self::Haproxy => format!(
                "defaults\n mode http\n timeout connect 5s\n timeout client 50s\n timeout server 50s\n\
                 frontend clients\n bind 127.0.0.1:{port}\n default_backend nodes\n\
                 backend nodes\n balance roundrobin\n server a {a}\n server b {b}\n"
            ),
        }
    }
}

/// A proxy, with two nodes behind it.
struct Proxy {
    http: SocketAddr,
    _nodes: [Node; 2],
    _place: Place,
    _child: Child,
}

impl Proxy {
    /// `None` if there is no such program.
    async fn start(kind: Kind) -> Option<Self> {
        if !support::has_program(kind.program()) {
            return None;
        }
        let place = Place::new("proxies");
        let start = || place.node().route("/chat/{room}", publish).start();
        let nodes = [start().await.unwrap(), start().await.unwrap()];
        sees(&nodes[0], 2).await;
        sees(&nodes[1], 2).await;
        // A port that was free just now: a proxy takes no socket from others.
        let http = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let behind = [serve(&nodes[0]), serve(&nodes[1])];
        let config = place.dir().join("proxy.conf");
        let text = kind.config(place.dir().to_str().unwrap(), http.port(), behind);
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new(kind.program());
        let child = command.args(kind.args()).arg(&config).kill_on_drop(true).spawn().unwrap();
        support::until("the proxy listens", || std::net::TcpStream::connect(http).is_ok()).await;
        drop(TcpStream::connect(http).await.unwrap());
        Some(Self { http, _nodes: nodes, _place: place, _child: child })
    }
}

fn stock(transport: &str, session: &str) -> String {
    format!(
        "/chat/a?X-Atmosphere-tracking-id={session}&X-Atmosphere-Framework=5.0.7\
         &X-Atmosphere-Transport={transport}&X-Atmosphere-TrackMessageSize=true&X-atmo-protocol=true"
    )
}

fn texts(transport: &str) -> BTreeSet<String> {
    (0..COUNT).map(|n| format!("{transport} {n}")).collect()
}

/// Publishes one after the other, which the proxy takes to both nodes in turn.
async fn publish_all(http: SocketAddr, transport: &str) {
    for n in 0..COUNT {
        let answer = post(http, "/chat/a", format!("{transport} {n}").as_bytes()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

async fn streaming(http: SocketAddr, transport: &str) -> BTreeSet<String> {
    let mut stream = Stream::open(http, &stock(transport, "0"), &[]).await;
    assert_eq!(stream.status, 200);
    if transport == "streaming" {
        assert!(stream.framed().await.unwrap().ends_with("|X|"), "a handshake");
    } else {
        assert!(stream.event().await.unwrap().data.ends_with("|X|"), "a handshake");
    }
    publish_all(http, transport).await;
    let mut heard = BTreeSet::new();
    while heard.len() < COUNT {
        heard.insert(match transport {
            "streaming" => stream.framed().await.unwrap(),
            _ => {
                let data = stream.event().await.unwrap().data;
                data.split_once('|').expect("a length").1.to_owned()
            }
        });
    }
    heard
}

/// Polls, each of which reaches another node than the one before.
async fn polling(http: SocketAddr) -> BTreeSet<String> {
    let transport = "long-polling";
    let mut greeting = Stream::open(http, &stock(transport, "0"), &[]).await;
    let session = greeting.id();
    assert!(greeting.framed().await.unwrap().ends_with("|X|"), "a handshake");
    let mut heard = BTreeSet::new();
    let polls = async {
        while heard.len() < COUNT {
            let mut poll = Stream::open(http, &stock(transport, &session), &[]).await;
            assert_eq!(poll.id(), session);
            while let Some(text) = poll.framed().await {
                // A client that moves is greeted anew.
                if !text.ends_with("|X|") && text != "X" {
                    heard.insert(text);
                }
            }
        }
    };
    tokio::join!(polls, publish_all(http, transport));
    heard
}

/// Every transport with clients that know nothing but HTTP.
async fn transports_work_through(kind: Kind) {
    let Some(proxy) = Proxy::start(kind).await else { return };
    let http = proxy.http;
    for transport in ["sse", "streaming"] {
        let heard = within(PATIENCE, transport, streaming(http, transport)).await;
        assert_eq!(heard, texts(transport), "{kind:?}");
    }
    let heard = within(PATIENCE, "long-polling", polling(http)).await;
    assert_eq!(heard, texts("long-polling"), "{kind:?}");
    if kind == Kind::Nginx {
        let refused = Client::try_connect(http, "/chat/a?X-Atmosphere-Transport=websocket").await;
        assert!(refused.is_err(), "no upgrade is passed on");
    } else {
        let mut socket = Client::bare(http, "/chat/a").await;
        publish_all(http, "websocket").await;
        let mut heard = BTreeSet::new();
        while heard.len() < COUNT {
            match socket.next().await {
                Received::Text(text) => heard.insert(text),
                other => panic!("{other:?}"),
            };
        }
        assert_eq!(heard, texts("websocket"), "{kind:?}");
    }
}

#[tokio::test]
async fn every_transport_but_websockets_works_through_nginx_as_it_is() {
    transports_work_through(Kind::Nginx).await;
}

#[tokio::test]
async fn every_transport_works_through_nginx_that_passes_on_upgrades() {
    transports_work_through(Kind::NginxWithUpgrades).await;
}

#[tokio::test]
async fn every_transport_works_through_haproxy() {
    transports_work_through(Kind::Haproxy).await;
}

#[tokio::test]
async fn stock_clients_find_a_transport_by_themselves() {
    if !support::has_stock_clients() {
        return;
    }
    for kind in [Kind::Nginx, Kind::NginxWithUpgrades, Kind::Haproxy] {
        let Some(proxy) = Proxy::start(kind).await else { continue };
        for (generation, transport, fallback) in [
            ("5", "websocket", "long-polling"),
            ("5", "websocket", "sse"),
            ("5", "streaming", "long-polling"),
            ("3", "websocket", "long-polling"),
            ("2", "websocket", "long-polling"),
        ] {
            let url = format!("http://{}/chat/{generation}-{transport}-{fallback}", proxy.http);
            let args = ["fallback.mjs", generation, &url, transport, fallback];
            let output = support::node_js(&args).output().await.unwrap();
            let why = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{kind:?}, {args:?}: {why}");
            let told: Value = serde_json::from_slice(&output.stdout).unwrap();
            let opened = Duration::from_millis(told["opened"].as_u64().unwrap());
            println!("{kind:?}: {generation} over {transport} or {fallback} after {opened:?}");
            assert!(opened < FALLBACK, "{kind:?}, {args:?}: {opened:?}");
        }
    }
}

#[tokio::test]
async fn our_script_finds_a_transport_by_itself_and_loses_nothing() {
    if !support::has_stock_clients() {
        return;
    }
    for kind in [Kind::Nginx, Kind::NginxWithUpgrades, Kind::Haproxy] {
        let Some(proxy) = Proxy::start(kind).await else { continue };
        let best = if kind == Kind::Nginx { "sse" } else { "websocket" };
        for (transport, only) in [(best, &[][..]), ("long-polling", &["--only", "long-polling"])] {
            let url = format!("http://{}/chat/script-{transport}", proxy.http);
            let args = [&["proxied.mjs", &url, transport], only].concat();
            let output = support::node_js(&args).output().await.unwrap();
            let why = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{kind:?}, {args:?}: {why}");
            let told: Value = serde_json::from_slice(&output.stdout).unwrap();
            let opened = Duration::from_millis(told["opened"].as_u64().unwrap());
            println!("{kind:?}: {transport} after {opened:?}");
            assert!(opened < FALLBACK, "{kind:?}, {args:?}: {opened:?}");
        }
    }
}
