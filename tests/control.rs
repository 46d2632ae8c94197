//! Tower Control as operators reach it: who is let in, what is seen from any node, and what becomes of a
//! node that does not answer.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::sync::atomic::{AtomicBool, Ordering};

use exosphere::{Builder, Control, ControlError, Grant, License, Role, SigningKey};
use futures_util::future::join_all;
use serde_json::{Value, json};
use support::{
    Chat, Client, Mark, PATIENCE, Place, Stream, Tower, encoded, publish, request, sees, until,
    within,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

fn chat(builder: Builder) -> Builder {
    builder.route("/chat/{room}", publish)
}

/// What the API says that it has: each verb of each path.
async fn described(tower: &Tower) -> Vec<(String, String)> {
    let api = tower.get("/api/v1/openapi.json").await;
    let mut described = Vec::new();
    for (path, item) in api["paths"].as_object().unwrap() {
        for verb in item.as_object().unwrap().keys() {
            described.push((verb.to_uppercase(), path.clone()));
        }
    }
    described
}

#[tokio::test]
async fn nobody_gets_past_the_gate_without_a_token_or_with_too_small_a_role() {
    let place = Place::new("gate");
    let tower = Tower::start(chat(place.node())).await;
    let mut routes = described(&tower).await;
    assert!(routes.len() > 10, "{routes:?}");
    for open in ["/metrics", "/api/v1/events", "/api/v1/openapi.json", "/api/admin/overview"] {
        routes.push(("GET".to_owned(), open.to_owned()));
    }
    let mut changing = 0;
    for (verb, path) in routes {
        let path = path.replace(['{', '}'], "x");
        let changes = verb != "GET";
        let strange = tower.ask(None, &verb, &path, Some(json!({}))).await;
        assert_eq!(strange.status, 401, "{verb} {path}: {}", strange.body);
        assert_eq!(strange.header("content-type"), Some("application/problem+json"));
        assert_eq!(strange.header("x-content-type-options"), Some("nosniff"));
        if changes {
            changing += 1;
            let small = tower.ask(Some(Role::Read), &verb, &path, Some(json!({}))).await;
            assert_eq!(small.status, 403, "{verb} {path}: {}", small.body);
            let linked = format!("{path}?token={}", encoded("the token of admins"));
            let linked = tower.ask(None, &verb, &linked, Some(json!({}))).await;
            assert_eq!(linked.status, 401, "a link changes nothing: {verb} {path}");
        }
    }
    assert!(changing >= 3);
    let operate = tower.ask(Some(Role::Operate), "POST", "/api/v1/reload", None).await;
    assert_eq!(operate.status, 403, "that is for admins");
    let audit = tower.get("/api/v1/audit?limit=1000").await;
    let refused = audit["items"].as_array().unwrap();
    assert_eq!(refused.len(), changing + 1, "those who are known, and may not: {audit}");
    assert!(refused.iter().all(|entry| entry["done"] == false), "{audit}");
    let last = &refused[0];
    assert_eq!((&last["who"], &last["target"]), (&json!("Operate"), &json!("/api/v1/reload")));
    assert_eq!(
        (&last["what"], &last["detail"]),
        (&json!("POST /api/v1/reload"), &json!("this takes the role Admin"))
    );
}

#[tokio::test]
async fn pages_and_names_of_others_are_turned_away_and_links_show_tokens() {
    let place = Place::new("others");
    let tower = Tower::start(chat(place.node())).await;
    let path = format!("/api/v1/cluster?token={}", encoded("the token of readers"));
    let ask = async |headers: &[&str]| request(tower.control, "GET", &path, headers, b"").await;
    assert_eq!(ask(&[]).await.status, 200);
    assert_eq!(ask(&["Origin: http://evil.example"]).await.status, 403);
    assert_eq!(ask(&["Origin: null"]).await.status, 403);
    assert_eq!(ask(&["Host: rebound.example"]).await.status, 421);
    assert_eq!(ask(&["Host: ops.example"]).await.status, 200);
    let events = format!("/api/v1/events?token={}", encoded("the token of readers"));
    let headers = ["Host: ops.example", "Accept: text/event-stream"];
    let mut events = Stream::open(tower.control, &events, &headers).await;
    tower.act("PUT", "/api/v1/topics/%2Fa", None).await;
    assert!(events.event().await.unwrap().data.contains("open a topic"));
    let own = format!("Origin: http://{}", tower.control);
    assert_eq!(ask(&[&own]).await.status, 200);
    let wrong = ask(&["Authorization: Bearer the token of nobody"]).await;
    assert_eq!(wrong.status, 401, "a wrong token is not made good by a link");
}

/// Goal: who opens the stream of events and goes again, as often as they like, keeps nobody else out.
#[tokio::test]
async fn who_comes_and_goes_keeps_nobody_from_following() {
    const FOLLOWERS: usize = 256;
    let place = Place::new("followers");
    let tower = Tower::start(chat(place.node())).await;
    let follow = async |role: &str| {
        let token = format!("Authorization: Bearer the token of {role}");
        let headers = [&*token, "Accept: text/event-stream"];
        Stream::open(tower.control, "/api/v1/events", &headers).await
    };
    let stays = follow("operators").await;
    for _ in 1..FOLLOWERS {
        assert_eq!(follow("readers").await.status, 200);
    }
    let comes = async {
        while follow("admins").await.status != 200 {
            // That the last of them has gone may not be seen yet.
            tokio::task::yield_now().await;
        }
    };
    within(PATIENCE, "somebody else follows", comes).await;
    let id = format!("X-Atmosphere-tracking-id: {}", stays.id());
    let headers =
        ["Authorization: Bearer the token of operators", "Accept: text/event-stream", &id];
    let back = Stream::open(tower.control, "/api/v1/events", &headers).await;
    assert_eq!(back.id(), stays.id(), "who is there gave way");
}

/// Goal: who comes back to a node that has started anew meanwhile is told what has happened since.
///
/// Method: go on at one node with a position that another gave, which has told more.
#[tokio::test]
async fn a_position_of_before_a_restart_skips_nothing() {
    let (before, after) = (Place::new("events-before"), Place::new("events-after"));
    let before = Tower::start(chat(before.node())).await;
    let after = Tower::start(chat(after.node())).await;
    let follow = async |tower: &Tower, more: &[&str]| {
        let headers = ["Authorization: Bearer the token of readers", "Accept: text/event-stream"];
        let headers = [&headers[..], more].concat();
        Stream::open(tower.control, "/api/v1/events", &headers).await
    };
    let happens = async |tower: &Tower, stream: &mut Stream, topic: &str| loop {
        tower.act("PUT", &format!("/api/v1/topics/%2F{topic}"), None).await;
        let event = within(PATIENCE, "an event", stream.event()).await.unwrap();
        if event.data.contains(topic) {
            break event.id.unwrap();
        }
    };
    let mut stream = follow(&before, &[]).await;
    let mut id = String::new();
    for _ in 0..9 {
        id = happens(&before, &mut stream, "some").await;
    }
    let mut stream = follow(&after, &[]).await;
    happens(&after, &mut stream, "missed").await;
    let mut back = follow(&after, &[&format!("Last-Event-ID: {id}")]).await;
    let event = within(PATIENCE, "what was missed", back.event()).await.unwrap();
    assert!(event.data.contains("missed"), "{event:?}");
}

#[tokio::test]
async fn what_strangers_could_use_is_not_served() {
    let place = Place::new("exposed");
    let node = place.node().start().await.unwrap();
    let nobody = node.serve_control("127.0.0.1:0", Control::new()).await;
    assert!(matches!(nobody, Err(ControlError::NoToken)), "{nobody:?}");
    let weak = Control::new().token("me", Role::Admin, "guess me");
    let weak = node.serve_control("127.0.0.1:0", weak).await;
    assert!(matches!(weak, Err(ControlError::WeakToken)), "{weak:?}");
    let plain = Control::new().token("me", Role::Admin, Control::random_token());
    let plain = node.serve_control("0.0.0.0:0", plain).await;
    let said = plain.unwrap_err().to_string();
    assert!(said.contains("give it a certificate"), "{said}");
}

#[tokio::test]
async fn the_chat_says_where_operators_go_only_if_it_serves_them() {
    let place = Place::new("exposed-chat");
    let secret = place.secret();
    let arguments = ["--http", "127.0.0.1:0", "--control", "0.0.0.0:0", "--cluster"];
    let more = [place.cluster(), "--secret", secret.to_str().unwrap()];
    let mut chat = Chat::spawn(&place, &[&arguments[..], &more].concat());
    assert_eq!(chat.says().await, "");
    assert_eq!(chat.ended().await.code(), Some(1));
    let is_told = |line: &String| line.contains("give it a certificate");
    until("it says why", || chat.since(Mark::default()).iter().any(is_told)).await;
}

#[tokio::test]
async fn whichever_node_is_asked_speaks_for_all_and_says_who_does_not_answer() {
    let place = Place::new("all");
    let towers = Tower::three(&place, chat).await;
    let mut clients = Vec::new();
    for tower in &towers {
        clients.push(Client::new(tower.http, "/chat/a").await);
    }
    clients[0].send("hello").await;
    for client in &mut clients {
        assert_eq!(client.text().await, "hello");
    }
    for tower in &towers {
        let cluster = tower.get("/api/v1/cluster").await;
        let nodes = cluster["nodes"].as_array().unwrap();
        assert_eq!(nodes.len(), 3, "{cluster}");
        for node in nodes {
            assert_eq!((&node["answered"], &node["sessions"]), (&json!(true), &json!(1)), "{node}");
            assert_eq!(node["self"], json!(node["id"] == tower.node.id().to_string()));
            assert!(node["address"].as_str().unwrap().starts_with("127.0.0.1:"), "{node}");
            assert_eq!(node["state"], "active");
        }
        assert_eq!(
            cluster["links"].as_array().unwrap().len(),
            6,
            "three links, seen from both ends"
        );
        assert_eq!(cluster["sessions"], 3);
        assert_eq!(cluster["accounting"]["accepted"], 1);
        assert_eq!(cluster["accounting"]["unaccounted"], 0);
        let page = tower.get("/api/v1/sessions?topic=%2Fchat%2Fa&limit=2").await;
        assert_eq!(page["items"].as_array().unwrap().len(), 2);
        let rest = format!("/api/v1/sessions?after={}", page["next"].as_str().unwrap());
        let rest = tower.get(&rest).await;
        assert_eq!((&rest["items"].as_array().unwrap().len(), &rest["next"]), (&1, &Value::Null));
        assert_eq!(rest["items"][0]["connection"]["transport"], "websocket", "{rest}");
        let messages = tower.get("/api/v1/topics/%2Fchat%2Fa/messages").await;
        assert_eq!(messages["items"][0]["text"], "hello");
        let overview = tower.get("/api/admin/overview").await;
        assert_eq!((&overview["status"], &overview["activeSessions"]), (&json!("UP"), &json!(3)));
        assert_eq!(overview["broadcasters"], 1);
        let broadcasters = tower.get("/api/admin/broadcasters").await;
        assert_eq!(broadcasters[0]["id"], "/chat/a", "{broadcasters}");
        let detail = tower.get("/api/admin/broadcasters/detail?id=/chat/a").await;
        assert_eq!(detail["resources"].as_array().unwrap().len(), 3, "{detail}");
        let resources = tower.get("/api/admin/resources").await;
        assert!(resources.as_array().unwrap().iter().all(|it| it["transport"] == "websocket"));
    }
    atmosphere_tools_work(&towers, &mut clients).await;
    let [asked, other, gone] = towers;
    let of_other = asked.get(&format!("/api/v1/nodes/{}", other.node.id())).await;
    assert_eq!(of_other["member"]["id"], other.node.id().to_string());
    gone.node.shutdown().await;
    sees(&asked.node, 2).await;
    let left = asked.get("/api/v1/cluster").await;
    assert_eq!(left["nodes"].as_array().unwrap().len(), 2);
    let missing = asked.ask(Some(Role::Read), "GET", "/api/v1/nodes/0000", None).await;
    assert_eq!(missing.status, 404, "{}", missing.body);
}

/// What tools for Atmosphere do at one node, clients of others see.
async fn atmosphere_tools_work(towers: &[Tower; 3], clients: &mut [Client]) {
    let said =
        json!({ "broadcasterId": "/chat/a", "message": "as Atmosphere says it" }).to_string();
    let headers = ["X-Atmosphere-Auth: the token of operators", "Content-Type: application/json"];
    let path = "/api/admin/broadcasters/broadcast";
    let sent = request(towers[0].control, "POST", path, &headers, said.as_bytes()).await;
    assert_eq!(sent.body, r#"{"status":"broadcast sent"}"#);
    for client in clients {
        assert_eq!(client.text().await, "as Atmosphere says it");
    }
    let unknown = Some(json!({ "broadcasterId": "/none", "message": "" }));
    let unknown = towers[0].ask(Some(Role::Operate), "POST", path, unknown).await;
    assert_eq!(unknown.status, 404, "{}", unknown.body);
    let id = towers[1].get("/api/v1/sessions").await["items"][0]["id"].as_str().unwrap().to_owned();
    let unicast = json!({ "broadcasterId": "/chat/a", "uuid": id, "message": "to one" });
    towers[1].act("POST", "/api/admin/broadcasters/unicast", Some(unicast)).await;
    towers[1].node.topic("/other").unwrap().publish("it is there").await.unwrap();
    let elsewhere = json!({ "broadcasterId": "/other", "uuid": id, "message": "to nobody" });
    let path = "/api/admin/broadcasters/unicast";
    let elsewhere = towers[1].ask(Some(Role::Operate), "POST", path, Some(elsewhere)).await;
    assert_eq!(elsewhere.status, 409, "{}", elsewhere.body);
    let resource = format!("/api/admin/resources/{id}");
    let disconnected = towers[2].act("DELETE", &resource, None).await;
    assert_eq!(disconnected["status"], "resource disconnected");
}

#[tokio::test]
async fn a_node_is_drained_from_another_and_who_follows_is_told() {
    let place = Place::new("drained");
    let [asked, other, third] = Tower::three(&place, chat).await;
    let path = format!("/api/v1/events?token={}", encoded("the token of readers"));
    let mut events = Stream::open(asked.control, &path, &["Accept: text/event-stream"]).await;
    let mut followed = Client::bare(asked.control, &path).await;
    let client = Client::new(third.http, "/chat/a").await;
    let drain = format!("/api/v1/nodes/{}/drain", third.node.id());
    let answer = other.act("POST", &drain, Some(json!({ "per_second": 1000 }))).await;
    assert_eq!(answer["status"], "draining");
    assert_eq!(client.closed().await, 1001, "its clients go elsewhere");
    within(support::PATIENCE, "the node ends", third.node.ended()).await.unwrap();
    let mut told = Vec::new();
    while !told.iter().any(|kind| kind == "node.left") {
        let event: Value = serde_json::from_str(&events.event().await.unwrap().data).unwrap();
        if event["node"] == third.node.id().to_string() {
            told.push(event["type"].as_str().unwrap().to_owned());
        }
    }
    // Who has few clients may have left before others have heard that it drains.
    assert!(matches!(&*told, [.., last] if last == "node.left"), "{told:?}");
    assert!(!told.iter().any(|kind| kind == "node.died"), "{told:?}");
    let mut by_websocket = String::new();
    while !by_websocket.contains("node.left") {
        by_websocket = followed.text().await;
    }
    let audit = asked.get("/api/v1/audit").await;
    let entry = &audit["items"][0];
    assert_eq!((&entry["who"], &entry["what"]), (&json!("Admin"), &json!("drain")), "{audit}");
    assert_eq!(entry["node"], other.node.id().to_string(), "as the node that was asked wrote down");
}

/// Goal: an operator who watches one node hears of the licence that another brings.
#[tokio::test]
async fn a_licence_that_a_node_brings_is_told() {
    let place = Place::new("licence");
    let vendor = SigningKey::from_bytes([7; 32]);
    let product = || place.node().max_unlicensed_nodes(1, [vendor.public_key()]);
    let tower = Tower::start(product()).await;
    let path = format!("/api/v1/events?token={}", encoded("the token of readers"));
    let mut events = Stream::open(tower.control, &path, &["Accept: text/event-stream"]).await;
    assert_eq!(tower.get("/api/v1/license").await, Value::Null);
    let token = vendor.issue(&Grant::new("Example Ltd", 2).unwrap()).unwrap().to_string();
    let license = License::verify(token, &[vendor.public_key()]).unwrap();
    let id = license.grant().id.clone();
    let _second = product().license(license).start().await.unwrap();
    let changed = within(PATIENCE, "the licence is told", async {
        loop {
            let event = events.event().await.unwrap();
            let event: Value = serde_json::from_str(&event.data).unwrap();
            if event["type"] == "license.changed" {
                return event;
            }
        }
    })
    .await;
    assert_eq!(
        (&changed["subject"], &changed["detail"]),
        (&json!(id), &json!("Example Ltd: 2 nodes"))
    );
    assert_eq!(changed["node"], tower.node.id().to_string());
    assert_eq!(tower.get("/api/v1/license").await["customer"], "Example Ltd");
}

#[tokio::test]
async fn the_application_is_asked_for_its_log_filter_and_its_configuration() {
    let place = Place::new("hooks");
    let plan = |builder: Builder| {
        let refuse = |filter: &str| match filter {
            "debug" => Ok(()),
            _ => Err("no such filter".to_owned()),
        };
        chat(builder).on_log_filter("info", refuse).on_reload(|| Ok(()))
    };
    let [asked, other, _third] = Tower::three(&place, plan).await;
    let filter = async || {
        let report = asked.get(&format!("/api/v1/nodes/{}", other.node.id())).await;
        report["log_filter"].as_str().unwrap().to_owned()
    };
    assert_eq!(filter().await, "info", "it began with that");
    let set = asked.act("PUT", "/api/v1/log-level", Some(json!({ "filter": "debug" }))).await;
    assert_eq!(set["nodes"].as_array().unwrap().len(), 3, "{set}");
    assert!(set["nodes"].as_array().unwrap().iter().all(|node| node["ok"] == true), "{set}");
    let wrong = Some(json!({ "filter": "loud" }));
    let wrong = asked.ask(Some(Role::Admin), "PUT", "/api/v1/log-level", wrong).await;
    assert_eq!(wrong.status, 409, "{}", wrong.body);
    assert!(wrong.body.contains("no such filter"), "{}", wrong.body);
    assert_eq!(filter().await, "debug", "what was refused is not in force");
    let one = format!("/api/v1/reload?node={}", other.node.id());
    let one = asked.act("POST", &one, None).await;
    assert_eq!(one["nodes"][0]["id"], other.node.id().to_string());
    assert_eq!(one["nodes"].as_array().unwrap().len(), 1);
}

/// A request that is none: its method, path, headers and body, and the status of its answer.
type Wrong<'a> = (&'a str, &'a str, &'a [&'a str], &'a [u8], u16);

#[tokio::test]
async fn what_is_no_request_is_answered_by_a_problem() {
    let place = Place::new("problems");
    let tower = Tower::start(chat(place.node())).await;
    let admin = "Authorization: Bearer the token of admins";
    let json = "Content-Type: application/json";
    let drain = format!("/api/v1/nodes/{}/drain", tower.node.id());
    let wrong: [Wrong<'_>; 10] = [
        ("POST", &drain, &[admin, json], br#"{"per_second":0}"#, 400),
        ("GET", "/api/v1/nothing", &[admin], b"", 404),
        ("GET", "/api/v1/sessions/x", &[admin], b"", 400),
        ("GET", "/api/v1/sessions?limit=0", &[admin], b"", 400),
        ("GET", "/api/v1/sessions?limit=many", &[admin], b"", 400),
        ("GET", "/api/v1/topics/%FF", &[admin], b"", 400),
        ("GET", "/api/v1/topics/%2Fnone", &[admin], b"", 404),
        ("PUT", "/api/v1/log-level", &[admin, json], b"{", 400),
        ("PUT", "/api/v1/log-level", &[admin], b"{}", 415),
        ("DELETE", "/api/v1/cluster", &[admin], b"", 405),
    ];
    for (verb, path, headers, body, status) in wrong {
        let answer = request(tower.control, verb, path, headers, body).await;
        assert_eq!(answer.status, status, "{verb} {path}: {}", answer.body);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{path}");
        let problem: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(problem["status"], status);
        assert_ne!(problem["detail"], "");
    }
    let long = vec![b' '; 3 << 20];
    let long = request(tower.control, "PUT", "/api/v1/log-level", &[admin, json], &long).await;
    assert_eq!(long.status, 413, "{}", long.body);
}

/// Goal: whoever asks all the time, with a token that may only read, takes no turn from others: they are
/// answered, here and on other nodes, by all nodes, and with the same verdict.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_all_the_time_makes_nobody_else_wait() {
    const ASKING: usize = 100;
    let place = Place::new("flood");
    let towers = Tower::three(&place, chat).await;
    let client = Client::new(towers[2].http, "/chat/lobby").await;
    let id = client.id.parse().unwrap();
    let topic = towers[0].node.topic("/chat/lobby").unwrap();
    until("its session is known", || topic.members().contains(&id)).await;
    let message = topic.publish("hello").await.unwrap().id();
    let path = format!("/api/v1/explain?message={message}&session={}", client.id);
    let asked = async |tower: &Tower, role| tower.ask(Some(role), "GET", &path, None).await;
    let is_had = async |tower: &Tower| {
        let answer = asked(tower, Role::Operate).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let explanation: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(explanation["unanswered"], json!([]), "{explanation:#}");
        explanation["verdict"] == "delivered" || explanation["verdict"] == "acknowledged"
    };
    within(PATIENCE, "it is had", async { while !is_had(&towers[1]).await {} }).await;

    let (stop, refused) = (AtomicBool::new(false), AtomicBool::new(false));
    let flood = join_all((0..ASKING).map(async |_| {
        while !stop.load(Ordering::Relaxed) {
            match asked(&towers[0], Role::Read).await.status {
                200 => {}
                429 => refused.store(true, Ordering::Relaxed),
                other => panic!("{other}"),
            }
        }
    }));
    let honest = async {
        within(PATIENCE, "too many ask", async {
            while !refused.load(Ordering::Relaxed) {
                tokio::task::yield_now().await;
            }
        })
        .await;
        for tower in towers.iter().chain(&towers) {
            assert!(is_had(tower).await);
        }
        stop.store(true, Ordering::Relaxed);
    };
    tokio::join!(flood, honest);
}

/// Goal: a connection to Tower Control is for one request at a time, so that whoever keeps many open has no
/// more of them under way: HTTP/2 is not spoken.
#[tokio::test]
async fn operators_are_spoken_to_by_http_1_only() {
    let place = Place::new("http1");
    let tower = Tower::start(chat(place.node())).await;
    let mut stream = TcpStream::connect(tower.control).await.unwrap();
    // The preface of HTTP/2, and empty settings (RFC 9113, 3.4).
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut answer = Vec::new();
    let read = within(PATIENCE, "it is closed", stream.read_to_end(&mut answer)).await;
    let is_refused = answer.is_empty() || answer.starts_with(b"HTTP/1.1 ");
    assert!(is_refused, "{read:?}: {answer:?}");
}
