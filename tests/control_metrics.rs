//! What a node measures and counts: as Prometheus reads it, as the library tells it, and as the files
//! for Grafana and Prometheus in `examples/control` take it for granted.

#![cfg(feature = "control")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    net::SocketAddr,
    process::Command,
    time::SystemTime,
};

use exosphere::{
    CloseReason, Control, Detachment, Grant, License, Message, Node, NodeEvent, Refusal, Role,
    SigningKey, TopicName, Transport,
};
use serde_json::Value;
use support::{
    Client, PATIENCE, Place, has_program, publish, request, sees, serve, spawn, until, within,
};

const TOKEN: &str = "a token of this test's own";
const GRAFANA: &str = include_str!("../examples/control/grafana.json");
const ALERTS: &str = include_str!("../examples/control/alerts.yml");

fn vendor() -> SigningKey {
    SigningKey::from_bytes([7; 32])
}

#[expect(clippy::disallowed_methods, reason = "a licence is for a time")]
fn license() -> License {
    let grant = Grant::new("Example Ltd", 9).unwrap().for_days(SystemTime::now(), 100);
    let token = vendor().issue(&grant).unwrap().to_string();
    License::verify(token, &[vendor().public_key()]).unwrap()
}

/// A node with everything that is measured only where it is there: a store, and a licence.
async fn start(place: &Place, name: &str) -> Node {
    let builder = place.node().route("/chat/{room}", publish).store(place.dir().join(name));
    let builder = builder.filter("silent", "/chat/silent", |_: &TopicName, _| {
        Err::<Message, _>(Refusal::new("nothing is said here"))
    });
    let builder = builder.max_unlicensed_nodes(1, [vendor().public_key()]).license(license());
    builder.start().await.unwrap()
}

fn serve_control(node: &Node) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (addr, node) = (listener.local_addr().unwrap(), node.clone());
    let control = Control::new().token("test", Role::Read, TOKEN);
    spawn(async move { node.serve_control_listener(listener, control).await.unwrap() });
    addr
}

/// What is measured, as text.
async fn scrape(control: SocketAddr) -> String {
    let token = format!("Authorization: Bearer {TOKEN}");
    let answer = request(control, "GET", "/metrics", &[&token], b"").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    answer.body
}

/// Each series and its value.
fn series(text: &str) -> BTreeMap<&str, f64> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let pairs = lines.map(|line| line.rsplit_once(' ').unwrap_or_else(|| panic!("{line:?}")));
    pairs.map(|(name, value)| (name, value.parse().unwrap())).collect()
}

/// The families that have a help text, and a type.
fn families<'a>(text: &'a str, what: &str) -> BTreeSet<&'a str> {
    let told = text.lines().filter_map(|line| line.strip_prefix(what));
    told.map(|rest| rest.split(' ').next().unwrap()).collect()
}

/// The family that a series belongs to.
fn family_of<'a>(series: &'a str, known: &BTreeSet<&str>) -> &'a str {
    let name = series.split('{').next().unwrap();
    let parts = ["_bucket", "_sum", "_count"].into_iter().filter_map(|it| name.strip_suffix(it));
    let whole = parts.into_iter().find(|whole| known.contains(whole));
    whole.unwrap_or(name)
}

/// The names of metrics in a text.
fn names_in(text: &str) -> BTreeSet<&str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c: char| !is_name(c));
    words.filter(|word| word.starts_with("exosphere_")).collect()
}

/// Goal: all that is promised to be measured is, by the rules, and it is right.
///
/// Method: two nodes with a store and a licence, and a client that says something and is told it.
#[tokio::test]
async fn what_is_measured_follows_the_rules_and_is_right() {
    let place = Place::new("metrics");
    let (first, second) = (start(&place, "first").await, start(&place, "second").await);
    sees(&first, 2).await;
    sees(&second, 2).await;
    let (http, control) = (serve(&first), serve_control(&first));
    let mut client = Client::new(http, "/chat/room").await;
    for number in 0..100 {
        client.send(number.to_string()).await;
        assert_eq!(client.text().await, number.to_string());
    }
    spawn(async move { client.text().await }); // It answers pings meanwhile.
    first.topic("/chat/silent").unwrap().publish("hello").await.unwrap_err();
    until("all is confirmed", || first.statistics().unwrap().confirmed >= 100).await;

    let text = scrape(control).await;
    let (helped, typed) = (families(&text, "# HELP "), families(&text, "# TYPE "));
    let series = series(&text);
    for name in series.keys() {
        let family = family_of(name, &typed);
        assert!(helped.contains(family), "{family} has no help text");
        assert!(typed.contains(family), "{family} has no type");
        assert!(family.starts_with("exosphere_"), "{family}");
    }
    let of = |name: &str| *series.get(name).unwrap_or_else(|| panic!("no {name} in\n{text}"));
    assert_eq!(of("exosphere_messages_received_total"), 100.0);
    assert_eq!(of("exosphere_messages_delivered_total"), 100.0);
    assert_eq!(of("exosphere_messages_confirmed_total"), 100.0);
    assert_eq!(of("exosphere_messages_accepted_total"), 100.0);
    assert_eq!(of("exosphere_messages_unaccounted"), 0.0);
    assert_eq!(of("exosphere_connections{transport=\"websocket\"}"), 1.0);
    let attached = |by| format!("exosphere_sessions{{state=\"attached\",transport=\"{by}\"}}");
    assert_eq!(of(&attached("websocket")), 1.0);
    assert_eq!(of(&attached("long_polling")), 0.0);
    assert_eq!(of("exosphere_sessions{state=\"detached\",transport=\"none\"}"), 0.0);
    assert_eq!(of("exosphere_messages_refused_total"), 1.0);
    assert_eq!(of("exosphere_slow_consumers_total"), 0.0);
    assert_eq!(of("exosphere_clients_total{browser=\"unnamed\"}"), 1.0);
    assert_eq!(of("exosphere_members{state=\"active\"}"), 2.0);
    assert_eq!(of("exosphere_links"), 1.0);
    assert!(of("exosphere_handler_seconds_count") >= 100.0);
    assert!(of("exosphere_delivery_seconds_count") > 0.0);
    assert!(of("exosphere_settled_seconds_count") > 0.0);
    assert_eq!(
        of("exosphere_settled_seconds_bucket{le=\"+Inf\"}"),
        of("exosphere_settled_seconds_count")
    );
    assert!(of("exosphere_gossip_sent_bytes_total") > 0.0);
    assert!(of("exosphere_gossip_received_total") > 0.0);
    let peer = |name: &str| format!("{name}{{peer=\"{}\"}}", second.id());
    assert!(of(&peer("exosphere_link_sent_bytes_total")) > 0.0);
    assert!(of(&peer("exosphere_link_round_trip_seconds")) > 0.0);

    for (file, text) in [("grafana.json", GRAFANA), ("alerts.yml", ALERTS)] {
        let named = names_in(text);
        assert!(named.len() > 5, "{file} names {named:?}");
        for name in named {
            let family = family_of(name, &typed);
            assert!(typed.contains(family), "{file} names {name}, which is not measured");
        }
    }
    assert!(promtool(&["check", "metrics"], &text), "promtool refuses\n{text}");
}

#[test]
fn the_files_for_grafana_and_prometheus_are_sound() {
    let dashboard: Value = serde_json::from_str(GRAFANA).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "each panel has an id of its own");
    for panel in panels {
        assert!(!panel["title"].as_str().unwrap().is_empty());
        assert!(!panel["targets"].as_array().unwrap().is_empty(), "{}", panel["title"]);
        assert_eq!(panel["datasource"]["uid"], "${datasource}");
        for target in panel["targets"].as_array().unwrap() {
            let expr = target["expr"].as_str().unwrap();
            let shows = |name| expr.contains(name);
            assert!(
                !shows("messages_delivered") || shows("messages_withheld"),
                "what filters kept back is shown as delivered: {expr}"
            );
        }
    }
    assert!(promtool(&["check", "rules"], ALERTS));
}

/// Goal: what is switched off is not counted, and goes on where it was.
#[tokio::test]
async fn statistics_are_switched_off_and_on() {
    let place = Place::new("statistics");
    let node = start(&place, "node").await;
    let (http, control) = (serve(&node), serve_control(&node));
    let mut client = Client::new(http, "/chat/room").await;
    let say = async |client: &mut Client| {
        client.send("hello").await;
        assert_eq!(client.text().await, "hello");
    };
    say(&mut client).await;
    let before = node.statistics().unwrap();
    assert_eq!((before.received, before.given, before.sessions_begun), (1, 1, 1));
    node.count_statistics(false);
    assert_eq!(node.statistics(), None);
    let text = scrape(control).await;
    assert!(!text.contains("exosphere_messages_received_total"), "{text}");
    assert!(text.contains("exosphere_statistics_enabled 0"), "{text}");
    say(&mut client).await;
    let other = Client::new(http, "/chat/other").await;
    node.count_statistics(true);
    let after = node.statistics().unwrap();
    assert_eq!((after.received, after.given, after.sessions_begun), (1, 1, 1));
    let of = |transport| {
        let statistics = node.statistics().unwrap();
        statistics.connections.into_iter().find(|it| it.transport == transport).unwrap()
    };
    assert_eq!(of(Some(Transport::WebSocket)).open, 2, "who is there is known in any case");
    assert_eq!(of(Some(Transport::WebSocket)).total, 1);
    assert_eq!(of(None).open, 0);
    client.close().await;
    other.cut();
    until("both are gone", || of(Some(Transport::WebSocket)).open == 0).await;
    let gone = node.statistics().unwrap();
    assert_eq!((gone.clean(), gone.dirty()), (1, 1), "{gone:?}");
}

/// Goal: who follows what happens on one node hears of the sessions of another.
#[tokio::test]
async fn what_happens_is_told() {
    let place = Place::new("node-events");
    let (first, second) = (start(&place, "first").await, start(&place, "second").await);
    sees(&first, 2).await;
    sees(&second, 2).await;
    let mut events = second.events();
    let http = serve(&first);
    let client = Client::new(http, "/chat/room").await;
    let mut told = async || within(PATIENCE, "an event", events.next()).await.unwrap();
    let NodeEvent::SessionAttached { session, node, path, resumed: false } = told().await else {
        panic!("no session begins")
    };
    assert_eq!((node, &*path), (first.id(), "/chat/room"));
    let NodeEvent::TopicOpened(topic) = told().await else { panic!("no topic is opened") };
    assert_eq!(topic.as_str(), "/chat/room");
    client.cut();
    let lost = NodeEvent::SessionDetached { session, node, why: Detachment::Lost };
    assert_eq!(told().await, lost);
    // What is kept for it is more than is kept.
    let long = "x".repeat(1 << 20);
    let publisher = second.topic("/chat/room").unwrap();
    for _ in 0..17 {
        publisher.publish(long.as_str()).await.unwrap();
    }
    let NodeEvent::Dropped { topic: of, messages, .. } = told().await else {
        panic!("nothing is dropped")
    };
    assert_eq!(of, topic);
    assert!(messages >= 1);
    let mut back = Client::resume(http, "/chat/room", &session.to_string()).await;
    let resumed = NodeEvent::SessionAttached { session, node, path, resumed: true };
    while told().await != resumed {}
    back.text().await;
    back.close().await;
    let done = NodeEvent::SessionClosed { session, node, reason: CloseReason::Client };
    loop {
        match told().await {
            event if event == done => break,
            NodeEvent::Dropped { .. } => {}
            other => panic!("instead of the end: {other:?}"),
        }
    }
}

/// Asks Prometheus' own tool. Without one, it is skipped, loudly; with CI set, that is a failure.
fn promtool(arguments: &[&str], text: &str) -> bool {
    if !has_program("promtool") {
        return true;
    }
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let mut command = Command::new("promtool");
    match arguments.contains(&"rules") {
        true => command.args(arguments).arg(file.path()),
        false => command.args(arguments).stdin(file.reopen().unwrap()),
    };
    command.status().unwrap().success()
}
