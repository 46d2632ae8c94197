//! What an operator changes on one node, the clients of the others see.
//!
//! Each test has a cluster of three: it is steered over the API of the first, its clients are on the others.

#![cfg(feature = "control")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::time::{Duration, SystemTime};

use exosphere::{Builder, Ending, Filter, Message, Refusal, Role, SessionId, TopicName};
use futures_util::future::join_all;
use serde_json::{Value, json};
use support::{
    Client, PATIENCE, Place, RawSocket, Received, Stream, Tower, encoded, publish, shout, signed,
    until, within,
};

/// The room that clients ask for, and its name in a path.
const ROOM: &str = "/chat/lobby";

/// Refuses what is rude.
fn polite(_: &TopicName, message: Message) -> Result<Message, Refusal> {
    match message.as_text() {
        Some("darn") => Err(Refusal::new("mind your language")),
        _ => Ok(message),
    }
}

/// Delivers nothing that is hidden.
struct Hide;

impl Filter for Hide {
    fn filters_deliveries(&self) -> bool {
        true
    }

    fn deliver(&self, _: &TopicName, _: SessionId, message: &Message) -> bool {
        message.as_text() != Some("hidden")
    }
}

fn chat(builder: Builder) -> Builder {
    builder.route("/chat/{room}", publish).handler("shout", shout)
}

/// What is done to the room, or to something in it.
fn room(rest: &str) -> String {
    format!("/api/v1/topics/{}{rest}", encoded(ROOM))
}

/// A client that is known to all nodes.
async fn client(towers: &[Tower; 3], on: usize) -> Client {
    let client = Client::new(towers[on].http, ROOM).await;
    let id: SessionId = client.id.parse().unwrap();
    let is_member = |tower: &Tower| tower.node.topic(ROOM).unwrap().members().contains(&id);
    until("all nodes know of a client", || towers.iter().all(is_member)).await;
    client
}

/// Publishes over the API of the first node, and says what the message is called.
async fn say(towers: &[Tower; 3], text: &str) -> String {
    let said = towers[0].act("POST", &room("/publish"), Some(json!({"message": text}))).await;
    said["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_is_replaced_while_clients_stay_connected() {
    let place = Place::new("swap");
    let towers = Tower::three(&place, chat).await;
    let mut client = client(&towers, 2).await;
    client.send("hello").await;
    assert_eq!(client.text().await, "hello");
    let route = format!("/api/v1/routes/{}", encoded("/chat/{room}"));
    let swapped = towers[0].act("PUT", &route, Some(json!({"handler": "shout"}))).await;
    assert_eq!(swapped["nodes"].as_array().unwrap().len(), 3);
    client.send("hello").await;
    assert_eq!(client.text().await, "HELLO");
    let at = format!("?node={}", towers[2].node.id());
    let routes = towers[0].get(&format!("/api/v1/routes{at}")).await;
    let shown = json!([{"template": "/chat/{room}", "kind": "sessions", "handler": "shout"}]);
    assert_eq!(routes, shown);
    assert_eq!(towers[1].get("/api/v1/handlers").await, json!(["/chat/{room}", "shout"]));
    towers[0].act("PUT", &format!("{route}{at}"), Some(json!({"handler": "/chat/{room}"}))).await;
    client.send("hello").await;
    assert_eq!(client.text().await, "hello");
    assert_eq!(towers[1].node.routes()[0].handler.as_deref(), Some("shout"), "it was on one only");
    for (path, handler) in [(&*route, "whisper"), ("/api/v1/routes/%2Fnone", "shout")] {
        let body = Some(json!({"handler": handler}));
        let refused = towers[0].ask(Some(Role::Admin), "PUT", path, body).await;
        assert_eq!(refused.status, 409, "{}", refused.body);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_are_published_to_a_topic_to_some_and_to_one() {
    let place = Place::new("publish");
    let towers = Tower::three(&place, chat).await;
    let (mut one, mut two) = (client(&towers, 1).await, client(&towers, 2).await);
    say(&towers, "to all").await;
    let only = json!({"message": "to one", "to": [one.id]});
    towers[0].act("POST", &room("/publish"), Some(only)).await;
    let except = json!({"message": "to the other", "except": [one.id]});
    towers[0].act("POST", &room("/publish"), Some(except)).await;
    let send = format!("/api/v1/sessions/{}/send", two.id);
    towers[0].act("POST", &send, Some(json!({"base64": "cHNzdA=="}))).await;
    let topics = towers[0].get("/api/v1/topics?prefix=~").await;
    assert_eq!(topics["items"], json!([]), "those of single sessions have no page");
    assert_eq!([one.text().await, one.text().await], ["to all", "to one"]);
    assert_eq!([two.text().await, two.text().await], ["to all", "to the other"]);
    assert!(matches!(two.next().await, Received::Binary(bytes) if bytes == b"psst"));
    let wrong = [
        (room("/publish"), json!({}), 400),
        (room("/publish"), json!({"message": "m", "base64": "bQ=="}), 400),
        (room("/publish"), json!({"message": "m", "to": ["nobody"]}), 400),
        (format!("/api/v1/topics/{}/publish", encoded("~x")), json!({"message": "m"}), 400),
        (send, json!({"message": "m", "to": [one.id]}), 400),
        (format!("/api/v1/sessions/{}/send", place_holder()), json!({"message": "m"}), 404),
    ];
    for (path, body, status) in wrong {
        let refused = towers[0].ask(Some(Role::Operate), "POST", &path, Some(body)).await;
        assert_eq!(refused.status, status, "{path}: {}", refused.body);
    }
}

/// A session that nobody has.
fn place_holder() -> SessionId {
    SessionId::from_bits(7)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_added_removed_resumed_and_closed() {
    let place = Place::new("sessions");
    let towers = Tower::three(&place, chat).await;
    let mut client = client(&towers, 2).await;
    let news = format!("/api/v1/topics/{}", encoded("news"));
    towers[0].act("PUT", &format!("{news}/sessions/{}", client.id), None).await;
    let said = Some(json!({"message": "extra"}));
    towers[0].act("POST", &format!("{news}/publish"), said.clone()).await;
    assert_eq!(client.text().await, "extra");
    towers[0].act("DELETE", &format!("{news}/sessions/{}", client.id), None).await;
    towers[0].act("POST", &format!("{news}/publish"), said).await;
    say(&towers, "after").await;
    assert_eq!(client.text().await, "after", "it reads the news no more");

    for path in [format!("/api/v1/sessions/{}/resume", client.id), room("/resume")] {
        let id = client.id.clone();
        towers[0].act("POST", &path, None).await;
        assert_eq!(client.closed().await, 1001, "{path}");
        say(&towers, &path).await;
        client = Client::resume(towers[1].http, ROOM, &id).await;
        assert_eq!(client.id, id, "it is the same session");
        // What it had not said to have may come again before that.
        while client.text().await != path {}
    }

    let session = format!("/api/v1/sessions/{}", client.id);
    towers[0].act("DELETE", &session, None).await;
    assert_eq!(client.closed().await, 1000);
    for (method, path) in [("DELETE", session.clone()), ("POST", format!("{session}/resume"))] {
        let gone = towers[0].ask(Some(Role::Operate), method, &path, None).await;
        assert_eq!(gone.status, 404, "{method} {path}: {}", gone.body);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_is_closed_and_opened() {
    let place = Place::new("closing");
    let towers = Tower::three(&place, chat).await;
    let mut client = client(&towers, 2).await;
    towers[0].act("DELETE", &room(""), None).await;
    let topic = towers[2].node.topic(ROOM).unwrap();
    let is_left = || topic.members().is_empty();
    let is_closed = |tower: &Tower| tower.node.topic(ROOM).unwrap().is_closed();
    until("all know that it is closed", || towers.iter().all(is_closed) && is_left()).await;
    assert_eq!(towers[1].get(&room("")).await["closed"], true);
    towers[1].node.topic("/never/used").unwrap().close().await.unwrap();
    closed_topics_are_listed(&towers[1]).await;
    let body = Some(json!({"message": "m"}));
    let refused = towers[0].ask(Some(Role::Operate), "POST", &room("/publish"), body).await;
    assert_eq!(refused.status, 409, "{}", refused.body);
    let mut refused = Client::bare(towers[1].http, ROOM).await;
    assert!(matches!(refused.next().await, Received::Closed(1008, _)), "nobody joins it");
    towers[1].act("PUT", &room(""), None).await;
    until("all know that it is open", || !towers.iter().any(is_closed)).await;
    topic.add(client.id.parse().unwrap()).await.unwrap();
    say(&towers, "again").await;
    assert_eq!(client.text().await, "again");
}

async fn closed_topics_are_listed(tower: &Tower) {
    let names = |page: &Value| {
        let items = page["items"].as_array().unwrap().iter();
        items.map(|it| it["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let first = tower.get("/api/v1/topics?closed=true&limit=1").await;
    assert_eq!((names(&first), &first["total"]), (vec![ROOM.to_owned()], &json!(2)));
    let rest = encoded(first["next"].as_str().unwrap());
    let rest = tower.get(&format!("/api/v1/topics?closed=true&limit=1&after={rest}")).await;
    assert_eq!((&*names(&rest), &rest["next"]), (&["/never/used".to_owned()][..], &Value::Null));
    let named = tower.get("/api/v1/topics?closed=true&prefix=%2Fn").await;
    assert_eq!(names(&named), ["/never/used"]);
}

/// Goal: a list that a node is missing from says so, and so does the audit log of what it was not told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_does_not_answer_is_named() {
    let place = Place::new("silent");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let builder = chat(place.node());
    let dying = runtime.spawn(Tower::start(builder)).await.unwrap();
    let tower = Tower::start(chat(place.node())).await;
    support::sees(&tower.node, 2).await;
    let client = Client::new(dying.http, ROOM).await;
    let id: SessionId = client.id.parse().unwrap();
    until("its session is known", || tower.node.locate(id).is_some()).await;
    let dead = dying.node.id().to_string();
    runtime.shutdown_background();
    let (sessions, set) = tokio::join!(
        tower.get("/api/v1/sessions"),
        tower.act("PUT", "/api/v1/heartbeat", Some(json!({"ms": 2_000})))
    );
    assert_eq!(sessions["unanswered"], json!([dead]), "{sessions}");
    assert_eq!(set["nodes"].as_array().unwrap().len(), 2);
    let audit = tower.get("/api/v1/audit").await;
    let entry = &audit["items"][0];
    let detail = entry["detail"].as_str().unwrap();
    assert!(entry["done"] == true && detail.ends_with(&format!(" (on {dead})")), "{audit}");
}

/// Goal: what operators did is read to its end, a part at a time, though they go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_operators_did_is_read_a_part_at_a_time() {
    let place = Place::new("audit");
    let tower = Tower::start(chat(place.node())).await;
    let open = async |name: &str| {
        tower.act("PUT", &format!("/api/v1/topics/{name}"), None).await;
    };
    for name in ["a", "b", "c"] {
        open(name).await;
    }
    let targets = |page: &Value| {
        let items = page["items"].as_array().unwrap().iter();
        items.map(|it| it["target"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let first = tower.get("/api/v1/audit?limit=2").await;
    assert_eq!((&*targets(&first).concat(), &first["total"]), ("cb", &json!(3)), "{first}");
    open("d").await;
    let next = first["next"].as_str().unwrap();
    let rest = tower.get(&format!("/api/v1/audit?limit=2&after={next}")).await;
    assert_eq!((&*targets(&rest).concat(), &rest["next"]), ("a", &Value::Null), "{rest}");
    let wrong = tower.ask(Some(Role::Read), "GET", "/api/v1/audit?after=1-x", None).await;
    assert_eq!(wrong.status, 400, "{}", wrong.body);
}

/// Goal: what is taken back reaches nobody who has not got it, whichever node it comes back to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_are_taken_back() {
    let place = Place::new("withdraw");
    let towers = Tower::three(&place, chat).await;
    let (mut here, away) = (client(&towers, 1).await, client(&towers, 2).await);
    let id = away.id.clone();
    away.cut();
    let session: SessionId = id.parse().unwrap();
    let is_gone = || towers[2].node.locate(session).unwrap().connection().is_none();
    until("a client is gone", is_gone).await;
    let (wrong, mine) = (say(&towers, "wrong").await, say(&towers, "not yours").await);
    for text in ["wrong", "not yours"] {
        assert_eq!(here.text().await, text);
    }
    towers[0].act("DELETE", &room(&format!("/messages/{wrong}")), None).await;
    let exclude = room(&format!("/messages/{mine}/exclude"));
    towers[0].act("POST", &exclude, Some(json!({"session": id}))).await;
    say(&towers, "right").await;
    let receipt = |id: &str| towers[1].node.receipt(id.parse().unwrap());
    let ended = within(PATIENCE, "it is settled", receipt(&wrong).settled()).await;
    assert!(matches!(ended, Some(Ending::Dropped(exosphere::DropCause::Withdrawn))), "{ended:?}");
    let mut back = Client::resume(towers[1].http, ROOM, &id).await;
    assert_eq!(back.text().await, "right");
    assert_eq!(here.text().await, "right");
    let path = room("/messages/0000000000000001-7");
    let gone = towers[0].ask(Some(Role::Operate), "DELETE", &path, None).await;
    assert_eq!(gone.status, 404, "{}", gone.body);
}

/// Goal: of each message that is kept it is told when it was stored, and how many wait for it, unless it
/// would take long to count them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_says_since_when_and_how_many_wait() {
    let place = Place::new("kept");
    let towers = Tower::three(&place, chat).await;
    let (mut here, away) = (client(&towers, 1).await, client(&towers, 2).await);
    let id = away.id.clone();
    away.cut();
    let messages = async || towers[1].get(&room("/messages")).await["items"].clone();
    let before = since_epoch_ms();
    let all = say(&towers, "all").await;
    towers[0].act("POST", &room("/publish"), Some(json!({"message": "one", "to": [id]}))).await;
    assert_eq!(here.text().await, "all");
    let ours = async {
        while messages().await[1]["waiting"] != 1 || messages().await[0]["waiting"] != 1 {}
    };
    let what = "one has it, which reads on, and one has not";
    tokio::select! {
        more = here.next() => panic!("the other is not for it: {more:?}"),
        () = within(PATIENCE, what, ours) => {}
    }
    let kept = messages().await;
    assert_eq!((&kept[0]["text"], &kept[1]["id"]), (&json!("one"), &json!(all)), "{kept}");
    let stored = kept[1]["stored_ms"].as_u64().unwrap();
    assert!((before..=since_epoch_ms()).contains(&stored), "{before} {kept}");
    towers[0].act("DELETE", &room(&format!("/messages/{all}")), None).await;
    let is_taken_back = async { while messages().await[1]["waiting"] != 0 {} };
    within(PATIENCE, "nobody waits for it", is_taken_back).await;

    let many: Vec<_> = (0..100).map(|it| SessionId::from_bits(it).to_string()).collect();
    let body = json!({"message": "few are named", "to": many});
    towers[1].act("POST", &room("/publish"), Some(body)).await;
    let newest = messages().await[0].clone();
    assert_eq!(
        (newest["named"].as_array().unwrap().len(), &newest["named_in_all"]),
        (64, &json!(100))
    );

    let others = join_all((0..100).map(|_| Client::new(towers[1].http, ROOM))).await;
    let topic = towers[1].node.topic(ROOM).unwrap();
    until("they are all there", || topic.members().len() == others.len() + 2).await;
    for _ in 0..1_000 {
        topic.publish("many").await.unwrap();
    }
    let waiting = async |limit: usize| {
        let (limit, name) = (limit.try_into().unwrap(), TopicName::parse(ROOM).unwrap());
        let page = towers[1].node.message_reports(&name, None, limit).await.unwrap();
        page.items.into_iter().map(|it| it.waiting).collect::<Vec<_>>()
    };
    assert!(waiting(900).await.iter().all(|waiting| waiting.is_some_and(|it| it > 0)));
    assert_eq!(waiting(1_000).await, vec![None; 1_000]);
}

#[expect(clippy::disallowed_methods, reason = "what nodes say is compared with it")]
fn since_epoch_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    since.as_millis().try_into().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_are_ordered_and_removed() {
    let place = Place::new("filters");
    let filtered = |builder| {
        let signed =
            chat(builder).filter("a", "/chat/*", signed("a")).filter("b", "*", signed("b"));
        signed.filter("polite", "/chat/{room}", |topic: &TopicName, message| {
            let text: &str = Message::as_text(&message).unwrap_or_default();
            let unsigned = Message::text(text.trim_end_matches(['a', 'b']));
            polite(topic, unsigned).map(|_| message)
        })
    };
    let towers = Tower::three(&place, filtered).await;
    let mut client = client(&towers, 2).await;
    client.send("m").await;
    assert_eq!(client.text().await, "mab");
    let order = json!({"order": ["polite", "b", "a"]});
    towers[0].act("PUT", "/api/v1/filters", Some(order)).await;
    client.send("m").await;
    assert_eq!(client.text().await, "mba");
    let body = Some(json!({"message": "darn"}));
    let refused = towers[1].ask(Some(Role::Operate), "POST", &room("/publish"), body).await;
    assert_eq!(refused.status, 409);
    assert!(refused.body.contains("polite does not let it pass: mind your language"));
    towers[0].act("DELETE", "/api/v1/filters/b", None).await;
    towers[0].act("DELETE", "/api/v1/filters/polite", None).await;
    client.send("darn").await;
    assert_eq!(client.text().await, "darna");
    let left = json!([{"name": "a", "pattern": "/chat/*", "deliveries": false}]);
    assert_eq!(towers[2].get("/api/v1/filters").await, left);
    let gone = towers[0].ask(Some(Role::Admin), "DELETE", "/api/v1/filters/b", None).await;
    assert_eq!(gone.status, 409, "{}", gone.body);
    let body = Some(json!({"order": ["a", "a"]}));
    let wrong = towers[0].ask(Some(Role::Admin), "PUT", "/api/v1/filters", body).await;
    assert_eq!(wrong.status, 409, "{}", wrong.body);
}

/// Goal: a filter of deliveries keeps a message from a client, for which nobody waits then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_of_deliveries_keeps_messages_from_clients() {
    let place = Place::new("deliveries");
    let towers =
        Tower::three(&place, |builder| chat(builder).filter("hide", "/chat/*", Hide)).await;
    let mut client = client(&towers, 2).await;
    let id = say(&towers, "hidden").await;
    let receipt = towers[0].node.receipt(id.parse().unwrap());
    let ended = within(PATIENCE, "nobody waits for it", receipt.settled()).await;
    assert_eq!(ended, Some(Ending::Acknowledged));
    say(&towers, "seen").await;
    say(&towers, "hidden").await;
    say(&towers, "seen, too").await;
    assert_eq!([client.text().await, client.text().await], ["seen", "seen, too"]);
    towers[0].act("DELETE", "/api/v1/filters/hide", None).await;
    say(&towers, "hidden").await;
    assert_eq!(client.text().await, "hidden");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_and_heartbeats_are_changed() {
    let place = Place::new("limits");
    let towers = Tower::three(&place, chat).await;
    let away = client(&towers, 2).await;
    let id = away.id.clone();
    away.cut();
    let session: SessionId = id.parse().unwrap();
    let is_gone = || towers[2].node.locate(session).unwrap().connection().is_none();
    until("a client is gone", is_gone).await;
    let mut last = String::new();
    for number in 0..5 {
        last = say(&towers, &number.to_string()).await;
    }
    let last = towers[0].node.receipt(last.parse().unwrap());
    assert_eq!(within(PATIENCE, "all nodes have it", last.stored(2)).await.nodes, 2);
    let patch = json!({"topic_messages": 2, "sessions": 1, "session_kept_ms": 60_000});
    let done = towers[0].act("PATCH", "/api/v1/limits", Some(patch)).await;
    assert!(done["nodes"].as_array().unwrap().iter().all(|node| node["ok"] == true), "{done}");
    let mut back = Client::resume(towers[2].http, ROOM, &id).await;
    assert_eq!([back.text().await, back.text().await], ["3", "4"], "the others went");
    let one_more =
        support::get(towers[1].http, &format!("{ROOM}?X-Atmosphere-Transport=sse")).await;
    assert_eq!(one_more.status, 503, "there is one session");
    let limits = towers[0].get(&format!("/api/v1/limits?node={}", towers[1].node.id())).await;
    assert_eq!((&limits["topic_messages"], &limits["sessions"]), (&json!(2), &json!(1)));
    assert_eq!(towers[2].node.limits().session_kept, Duration::from_secs(60));
    for wrong in [json!({"topic_messages": 0}), json!({"unread_for_ms": 1})] {
        let refused =
            towers[0].ask(Some(Role::Admin), "PATCH", "/api/v1/limits", Some(wrong)).await;
        assert_eq!(refused.status, 409, "{}", refused.body);
    }
    assert_eq!(towers[0].node.limits().topic_messages, 2);

    towers[0].act("PATCH", "/api/v1/limits", Some(json!({"sessions": 10}))).await;
    towers[0].act("PUT", "/api/v1/heartbeat", Some(json!({"ms": 1_000}))).await;
    let mut socket = RawSocket::connect(towers[2].http, ROOM).await;
    // Unless that is so, it takes longer than anybody waits here.
    assert_eq!(socket.next().await.0, 0x89, "it is asked whether it is there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statistics_are_switched_off_and_on() {
    let place = Place::new("statistics");
    let towers = Tower::three(&place, chat).await;
    let mut client = client(&towers, 2).await;
    let path = "/api/v1/statistics";
    /// What each node says of how many messages it was sent, seen from the second.
    async fn received(towers: &[Tower; 3]) -> [Option<u64>; 3] {
        let all = towers[1].get("/api/v1/statistics").await;
        towers.each_ref().map(|tower| {
            let id = tower.node.id().to_string();
            let mut nodes = all["nodes"].as_array().unwrap().iter();
            let node = nodes.find(|node| node["id"] == id).unwrap();
            node["statistics"]["received"].as_u64()
        })
    }
    let mut say = async |text: &str| {
        client.send(text).await;
        assert_eq!(client.text().await, text);
    };
    say("counted").await;
    assert_eq!(received(&towers).await, [Some(0), Some(0), Some(1)]);
    let done = towers[0].act("PUT", path, Some(json!({"on": false}))).await;
    let done = done["nodes"].as_array().unwrap();
    assert!(done.len() == 3 && done.iter().all(|node| node["ok"] == true), "{done:?}");
    assert_eq!(received(&towers).await, [None; 3]);
    say("not counted").await;
    let at = format!("{path}?node={}", towers[2].node.id());
    towers[0].act("PUT", &at, Some(json!({"on": true}))).await;
    assert_eq!(received(&towers).await, [None, None, Some(1)], "that one goes on where it was");
    towers[0].act("PUT", path, Some(json!({"on": true}))).await;
    say("counted again").await;
    assert_eq!(received(&towers).await, [Some(0), Some(0), Some(2)]);
}

/// Goal: who the client is is seen from any node, but for its secrets.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_asked_with_is_seen_from_other_nodes() {
    let place = Place::new("request");
    let towers = Tower::three(&place, chat).await;
    let client = client(&towers, 2).await;
    let stream = support::spawn(support::request(
        towers[1].http,
        "GET",
        "/chat/lobby?token=x-x&a=1",
        &["Accept: text/event-stream", "User-Agent: <b>test</b>/1", "Cookie: x-x", "X-Tag: ok"],
        b"",
    ));
    let path = "/api/v1/sessions?node=";
    let node = towers[1].node.id();
    let mut found = Value::Null;
    within(PATIENCE, "it is seen", async {
        while found.is_null() {
            let page = towers[0].get(&format!("{path}{node}")).await;
            found = page["items"][0].clone();
        }
    })
    .await;
    assert_eq!(found["connection"]["transport"], "event_stream");
    assert_eq!(found["connection"]["user_agent"], "<b>test</b>/1");
    assert!(found["connection"]["address"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert!(found["connection"]["since_ms"].as_u64().unwrap() > 1_600_000_000_000);
    let id = found["id"].as_str().unwrap();
    for (transport, expected) in [("event_stream", &found["id"]), ("grpc", &Value::Null)] {
        let page = towers[2].get(&format!("/api/v1/sessions?transport={transport}")).await;
        assert_eq!(page["items"][0]["id"], *expected, "{page}");
        assert!(page["items"].as_array().unwrap().len() <= 1, "the other is a WebSocket: {page}");
    }
    for wrong in ["transport=carrier", "state=there", "node=1", "topic="] {
        let path = format!("/api/v1/sessions?{wrong}");
        let answer = towers[0].ask(Some(Role::Read), "GET", &path, None).await;
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.body);
    }
    let details = towers[0].get(&format!("/api/v1/sessions/{id}")).await;
    assert_eq!(details["request"]["query"], "token=***&a=1");
    let headers = details["request"]["headers"].as_array().unwrap();
    assert!(headers.contains(&json!(["x-tag", "ok"])), "{headers:?}");
    assert!(!details.to_string().contains("x-x"), "{details}");
    let session = towers[1].node.locate(id.parse().unwrap()).unwrap();
    assert_eq!(session.request().unwrap().header("x-tag"), Some("ok"));
    let elsewhere = towers[0].node.locate(client.id.parse().unwrap()).unwrap();
    assert!(elsewhere.request().is_none(), "only its node has it");
    stream.abort();
}

/// Goal: what a session does that is tracked is told to who follows the events of the node that was
/// asked, wherever its client is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_steps_of_a_session_are_told() {
    let place = Place::new("tracked");
    let towers = Tower::three(&place, chat).await;
    let client = client(&towers, 2).await;
    let id = client.id.clone();
    let path = format!("/api/v1/events?token={}", encoded("the token of readers"));
    let mut events = Stream::open(towers[0].control, &path, &["Accept: text/event-stream"]).await;
    let tracked = format!("/api/v1/tracked/{id}");
    towers[0].act("PUT", &tracked, None).await;
    step(&mut events, &id, "attached to").await;
    assert_eq!(towers[0].get("/api/v1/tracked").await, json!({"items": [id]}));
    assert_eq!(towers[0].get(&format!("/api/v1/sessions/{id}")).await["tracked"], true);
    assert_eq!(towers[1].get(&format!("/api/v1/sessions/{id}")).await["tracked"], false);
    let news = towers[2].node.topic("news").unwrap();
    news.add(id.parse().unwrap()).await.unwrap();
    step(&mut events, &id, "joined news").await;
    client.cut();
    step(&mut events, &id, "detached from").await;
    let client = Client::resume(towers[1].http, ROOM, &id).await;
    step(&mut events, &id, "by websocket").await;
    client.close().await;
    step(&mut events, &id, "is over").await;
    assert_eq!(towers[0].get("/api/v1/tracked").await, json!({"items": []}));
    let gone = towers[0].ask(Some(Role::Operate), "PUT", &tracked, None).await;
    assert_eq!(gone.status, 404, "{}", gone.body);
    towers[0].act("DELETE", "/api/v1/tracked", None).await;
}

/// Waits until this is told of a session.
async fn step(events: &mut Stream, session: &str, what: &str) {
    loop {
        let told = within(PATIENCE, what, events.event()).await.unwrap();
        let event: Value = serde_json::from_str(&told.data).unwrap();
        let is_of = event["type"] == "session.step" && event["subject"] == session;
        if is_of && event["detail"].as_str().unwrap().contains(what) {
            return;
        }
    }
}
