//! Bad input of every kind from outside: each has its defined answer, nothing is published by it,
//! and the node goes on.
//!
//! What only a peer that knows the secret can do wrong is tested beside the links, what strangers
//! say to nodes in `strangers.rs`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    error::Error,
    net::{SocketAddr, UdpSocket},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    sync::Arc,
};

use exosphere::{
    Close, Gap, Handler, InvalidTopicName, JoinError, Message, Node, PublishError, Session,
    StartError,
};
use support::{
    Chat, Client, Mark, PATIENCE, Place, RawSocket, Received, alone, frame, post, publish, request,
    serve, spawn, within,
};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    sync::{Semaphore, mpsc},
};
use tokio_tungstenite::tungstenite;

const MIB: usize = 1 << 20;

async fn start(name: &str) -> (Node, SocketAddr) {
    let node = Place::new(name).node().route("/chat/{room}", publish).start().await.unwrap();
    let http = serve(&node);
    (node, http)
}

/// Method, target, headers, body, and the status and a part of the sentence of the answer.
type BadRequest<'a> = (&'a str, &'a str, &'a [&'a str], &'a [u8], u16, &'a str);

#[tokio::test]
async fn a_bad_request_is_answered_with_a_status_and_a_sentence_and_publishes_nothing() {
    let (_node, http) = start("requests").await;
    let mut client = Client::new(http, "/chat/room").await;
    let long = format!("/chat/{}", "x".repeat(300));
    let (too_large, large_head) = (vec![b'x'; MIB + 1], format!("X-Large: {}", "x".repeat(20_000)));
    const UPGRADE: [&str; 2] = ["Upgrade: websocket", "Connection: Upgrade"];
    const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    const V13: &str = "Sec-WebSocket-Version: 13";
    let first = "/chat/room?X-atmo-protocol=true&X-Atmosphere-tracking-id=0\
                 &X-Atmosphere-Transport=websocket&X-Atmosphere-Framework";
    let (ancient, unheard_of) = (format!("{first}=1.0.13"), format!("{first}=nonsense"));
    let foreign = "Origin: http://elsewhere.example";
    let bad: [BadRequest<'_>; 22] = [
        ("POST", "/chat/room", &[], &too_large, 413, "longer than 1048576 bytes"),
        ("POST", "/chat/a%0ab", &[], b"x", 400, "control character"),
        ("POST", "/chat/a%00b", &[], b"x", 400, "control character"),
        ("POST", "/chat/%ff", &[], b"x", 400, "not UTF-8"),
        ("POST", &long, &[], b"x", 400, "not 1 to 255"),
        ("POST", "/chat//", &[], b"x", 400, "empty segment"),
        ("POST", "//chat/room", &[], b"x", 400, "empty segment"),
        ("POST", "/", &[], b"x", 404, "Not Found"),
        ("POST", "/chat", &[], b"x", 404, "Not Found"),
        ("GET", "/nowhere", &[], b"", 404, "Not Found"),
        ("DELETE", "/chat/room", &[], b"x", 405, "GET, POST and OPTIONS only"),
        ("PUT", "/chat/room", &[], b"x", 405, "GET, POST and OPTIONS only"),
        ("POST", "/chat/room", &[foreign], b"x", 403, "other origins"),
        ("POST", "/chat/room", &["Origin: null"], b"x", 403, "other origins"),
        ("GET", "/chat/room", &[foreign, KEY, V13, UPGRADE[0], UPGRADE[1]], b"", 403, "origins"),
        ("GET", &ancient, &[KEY, V13, UPGRADE[0], UPGRADE[1]], b"", 501, "version not supported"),
        ("GET", &unheard_of, &[KEY, V13, UPGRADE[0], UPGRADE[1]], b"", 501, "not supported"),
        ("GET", "/chat/room?X-Atmosphere-Transport=websocket", &[], b"", 501, "not supported"),
        (
            "GET",
            "/chat/room",
            &[KEY, "Sec-WebSocket-Version: 8", UPGRADE[0], UPGRADE[1]],
            b"",
            426,
            "only version 13",
        ),
        ("GET", "/chat/room", &[V13, UPGRADE[0], UPGRADE[1]], b"", 400, "Sec-WebSocket-Key"),
        ("POST", "/chat/room?X-Exosphere-Position=%00", &[], b"x", 400, "position"),
        ("POST", "/chat/room", &[&large_head], b"x", 431, ""),
    ];
    for (method, target, headers, body, status, sentence) in bad {
        let answer = request(http, method, target, headers, body).await;
        let what = format!("{method} {} {headers:.40?}", &target[..target.len().min(80)]);
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        assert!(answer.body.contains(sentence), "{what}: {answer:?}");
        if status == 405 {
            assert_eq!(answer.header("allow"), Some("OPTIONS, GET, POST, PUT, PATCH, DELETE"));
        }
    }
    let largest = "x".repeat(MIB);
    assert_eq!(post(http, "/chat/room", largest.as_bytes()).await.status, 200);
    assert_eq!(client.text().await, largest, "the first that was published");
}

#[tokio::test]
async fn what_is_no_websocket_frame_is_answered_with_its_close_code_and_publishes_nothing() {
    let (_node, http) = start("frames").await;
    let mut client = Client::new(http, "/chat/room").await;
    let mut unmasked = frame(0x81, b"hi");
    unmasked[1] &= 0x7f;
    let mut endless = vec![0x82, 0xff];
    endless.extend([0xff; 12]);
    let pieces = [frame(0x01, &vec![b'x'; MIB]), frame(0x80, b"x")].concat();
    let after = [frame(0x81, b"\xff"), frame(0x81, b"behind it")].concat();
    for (what, bytes, code) in [
        ("a reserved bit", frame(0xc1, b"hi"), 1002),
        ("an unknown opcode", frame(0x83, b"hi"), 1002),
        ("no mask", unmasked, 1002),
        ("a long ping", frame(0x89, &[0; 126]), 1002),
        ("a ping in pieces", frame(0x09, b"hi"), 1002),
        ("a piece of nothing", frame(0x80, b"hi"), 1002),
        ("half a close code", frame(0x88, b"\x03"), 1002),
        ("a close code that is never sent", frame(0x88, b"\x03\xed"), 1002),
        ("no UTF-8", frame(0x81, b"\xed\xa0\x80"), 1007),
        ("no UTF-8, and more", after, 1007),
        ("one byte too many", frame(0x81, &vec![b'x'; MIB + 1]), 1009),
        ("one byte too many, in pieces", pieces, 1009),
        ("2^64 bytes announced", endless, 1009),
        ("a POST", b"POST /chat/room HTTP/1.1\r\n\r\n".to_vec(), 1002),
    ] {
        let mut socket = RawSocket::connect(http, "/chat/room").await;
        socket.send(&bytes).await;
        assert_eq!(socket.closed().await, code, "{what}");
    }
    client.send("fine").await;
    assert_eq!(client.text().await, "fine", "the first that was published");
}

/// Tells a test of gaps.
struct Gaps(mpsc::UnboundedSender<Gap>);

impl Handler for Gaps {
    async fn message(&self, _: &Session, _: Message) -> Result<(), Close> {
        Ok(())
    }

    async fn gap(&self, _: &Session, gap: &Gap) {
        self.0.send(gap.clone()).unwrap();
    }
}

#[tokio::test]
async fn a_session_with_10_001_unread_messages_is_told_of_a_gap_and_gets_the_newest_10_000() {
    let (told, mut gaps) = mpsc::unbounded_channel();
    let node = Place::new("gap").node().route("/chat", Gaps(told)).start().await.unwrap();
    let http = serve(&node);
    let client = Client::new(http, "/chat").await;
    let (id, topic) = (client.id.clone(), node.topic("/chat").unwrap());
    support::until("the session is known", || topic.members().len() == 1).await;
    client.cut();
    // By the time this is answered, the node has noticed, and does not write to nobody.
    support::get(http, "/nowhere").await;
    for n in 0..=10_000 {
        topic.publish(n.to_string()).await.unwrap();
    }
    let mut client = Client::resume(http, "/chat", &id).await;
    for n in 1..=10_000 {
        assert_eq!(client.text().await, n.to_string());
    }
    let gap = within(PATIENCE, "the handler is told", gaps.recv()).await.unwrap();
    assert_eq!(gap.topic.as_str(), "/chat");
    topic.publish("live").await.unwrap();
    assert_eq!(client.text().await, "live");
    let more = gaps.try_recv();
    assert!(more.is_err(), "one gap: {gap:?}, and then {more:?}");
}

#[tokio::test]
async fn what_cannot_be_published_is_refused_where_it_is_said() {
    let (node, _) = start("refused").await;
    for (name, why) in [
        ("", InvalidTopicName::Length(0)),
        ("a//b", InvalidTopicName::EmptySegment),
        ("a\nb", InvalidTopicName::ControlCharacter),
        ("~private", InvalidTopicName::Private),
    ] {
        assert_eq!(node.topic(name).unwrap_err(), why);
    }
    let topic = node.topic("/chat/room").unwrap();
    let too_large = topic.publish(vec![0; MIB + 1]).await.unwrap_err();
    assert_eq!(too_large, PublishError::TooLarge { bytes: MIB + 1 });
    let many = (0..1_001).map(exosphere::SessionId::from_bits);
    let too_many = topic.publish_to(many, "x").await.unwrap_err();
    assert_eq!(too_many, PublishError::TooManyRecipients { named: 1_001 });
    topic.publish(vec![0; MIB]).await.unwrap();
}

/// An error and its sources, as people read them.
fn sentence(error: &dyn Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", sentence(source)),
        None => error.to_string(),
    }
}

async fn refused(builder: exosphere::Builder) -> (StartError, String) {
    let error = builder.start().await.unwrap_err();
    let sentence = sentence(&error);
    (error, sentence)
}

#[tokio::test]
async fn a_node_that_cannot_start_says_which_setting_is_wrong() {
    let place = Place::new("settings");
    for name in ["", "a\nb", &"x".repeat(65)] {
        let (error, _) = refused(Node::builder(name).secret_file(place.secret())).await;
        assert!(matches!(error, StartError::InvalidCluster { name: told } if told == name));
    }
    for template in ["", "chat", "/chat/{", "/chat/{}", "/{*rest}/chat", "/{a}{b}"] {
        let (error, said) = refused(place.node().route(template, publish)).await;
        assert!(matches!(&error, StartError::InvalidRoute(_)), "{template}: {error:?}");
        assert!(said.contains(&format!("{template:?}")), "{said}");
    }
    let twice = place.node().route("/chat/{room}", publish).route("/chat/{name}", publish);
    assert!(matches!(refused(twice).await.0, StartError::InvalidRoute(_)));
    for seed in ["", "http://host:80", "host:0", "::1"] {
        let (error, said) = refused(place.node().seed(seed)).await;
        assert!(matches!(&error, StartError::InvalidSeed { seed: told, .. } if told == seed));
        assert!(said.contains("`host:port`"), "{said}");
    }
    for addr in [[0, 0, 0, 0], [192, 0, 2, 1]] {
        let (error, said) = refused(Node::builder(place.cluster()).bind((addr, 0))).await;
        assert!(matches!(error, StartError::NoSecret { .. }), "{error:?}");
        assert!(said.contains("set a secret"), "{said}");
    }
    let (error, said) = refused(place.node().bind(([192, 0, 2, 1], 0))).await;
    assert!(matches!(error, StartError::Bind { .. }), "{said}");

    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let (error, said) = refused(place.node().bind(addr)).await;
    assert!(matches!(error, StartError::Bind { addr: told, .. } if told == addr), "{error:?}");
    assert!(said.contains("another process listens on"), "{said}");
    drop(taken);
    assert_eq!(place.node().bind(addr).start().await.unwrap().addr(), addr);
}

#[tokio::test]
async fn a_secret_that_cannot_be_used_is_refused_with_its_file_and_what_to_do() {
    let place = Place::new("secrets");
    let write = |name: &str, bytes: &[u8], mode| {
        let path = place.dir().join(name);
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        path
    };
    let file = write("file", b"", 0o600);
    let mut bad = vec![
        (write("open", &[7; 32], 0o644), "chmod it to 600"),
        (write("short", &[7; 15], 0o600), "at least 16 random ones"),
        (write("long", &[7; 1025], 0o600), "some other file"),
        (place.dir().to_owned(), "not a regular file"),
        (file.join("secret"), ""),
        (Path::new("/proc/exosphere/secret").to_owned(), "directory writable?"),
    ];
    let foreign = write("foreign", &[7; 32], 0o600);
    if std::os::unix::fs::chown(&foreign, Some(12_345), None).is_ok() {
        bad.push((foreign, "chown or remove it"));
    }
    for (path, advice) in bad {
        let builder = Node::builder(place.cluster()).secret_file(&path);
        let (error, said) = refused(builder).await;
        assert!(matches!(error, StartError::Security { .. }), "{error:?}");
        assert!(said.contains(&*path.to_string_lossy()), "{said}");
        assert!(said.contains(advice), "{said}");
    }
    place.node().start().await.unwrap();
    assert_eq!(place.secret().metadata().unwrap().mode() & 0o7777, 0o600);
}

#[tokio::test]
async fn a_chat_that_cannot_start_ends_with_a_sentence() {
    let _alone = alone().await;
    let place = Place::new("sentence");
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let [udp, tcp] = [udp.local_addr(), tcp.local_addr()].map(|addr| addr.unwrap().to_string());
    let ours = ["--cluster", place.cluster(), "--http"];
    let bad: [(&[&str], &str); 4] = [
        (&["127.0.0.1:0", "--node", &udp], "another process listens on UDP"),
        (&[&tcp], "ddress already in use"),
        (&["127.0.0.1:0", "--secret", "/dev/null"], "/dev/null is not a regular file"),
        (&["127.0.0.1:0", "--seed", "a b"], "is not a host or host:port"),
    ];
    for (args, sentence) in bad {
        let mut chat = Chat::spawn(&place, &[&ours[..], args].concat());
        let status = chat.ended().await;
        support::until("it says why", || !chat.since(Mark::default()).is_empty()).await;
        let said = chat.since(Mark::default());
        assert!(said[0].contains(sentence), "{said:#?}");
        assert_eq!((status.code(), said.len()), (Some(1), 1), "{said:#?}");
        assert!(!said[0].contains(['{', '\n']), "a sentence: {said:#?}");
        assert!(said[0].contains(args.last().unwrap()), "{said:#?}");
    }
}

#[tokio::test]
async fn a_tracking_id_that_nobody_gave_out_is_answered_with_a_new_session() {
    let (_node, http) = start("ids").await;
    for id in ["1724300000000", "%00", "2c1f0000-1234-4abc-8def-0123456789ab", &"x".repeat(300)] {
        let mut client = Client::resume(http, "/chat/room", id).await;
        assert_ne!(client.id, id);
        client.send("hello").await;
        assert_eq!(client.next().await, Received::Text("hello".to_owned()));
        client.close().await;
    }
}

/// Goal: a page of anybody's cannot reach a node on this machine by a name that stands for it.
#[tokio::test]
async fn who_comes_in_on_a_loopback_address_must_ask_for_a_host_that_is_meant() {
    let (_node, plain) = start("hosts").await;
    let place = Place::new("hosts");
    let builder = place.node().route("/chat/{room}", publish);
    let _given = builder.allow_host(".chat.example").allow_host("other").start().await.unwrap();
    let given = serve(&_given);
    let ask = async |http, host: &str, status, page: &str| {
        let host = format!("Host: {host}");
        let origin = format!("Origin: {page}");
        let headers = [&*host, &*origin];
        let headers = if page.is_empty() { &headers[..1] } else { &headers[..] };
        for (method, target) in [("POST", "/chat/room"), ("OPTIONS", "/chat/room"), ("GET", "/")] {
            let answer = request(http, method, target, headers, b"x").await;
            let expected = if target == "/" && status != 403 { 404 } else { status };
            assert_eq!(answer.status, expected, "{method} {target} {headers:?}: {answer:?}");
            assert_eq!(answer.body.contains("Builder::allow_host"), status == 403, "{answer:?}");
        }
    };
    for http in [plain, given] {
        ask(http, "evil.example", 403, "").await;
        ask(http, "evil.example:8080", 403, "http://evil.example:8080").await;
        ask(http, "localhost.evil.example", 403, "").await;
        ask(http, "localhost:1", 200, "http://localhost:1").await;
        ask(http, "a.localhost", 200, "").await;
        ask(http, "[::1]:8080", 200, "").await;
    }
    ask(plain, "chat.example", 403, "").await;
    ask(given, "chat.example", 200, "https://chat.example").await;
    ask(given, "a.chat.example:8080", 200, "").await;
    for host in ["", "https://chat.example", "chat.example:80"] {
        let (error, said) = refused(place.node().allow_host(host)).await;
        assert!(matches!(error, StartError::InvalidHost { .. }), "{said}");
        assert!(said.contains(&format!("{host:?}")), "{said}");
    }
}

#[tokio::test]
async fn one_session_too_many_is_told_to_come_back_and_the_others_are_served_on() {
    let place = Place::new("sessions");
    let builder = place.node().route("/chat/{room}", publish).max_sessions(1);
    let node = builder.start().await.unwrap();
    let http = serve(&node);
    let client = Client::new(http, "/chat/room").await;
    let Err(tungstenite::Error::Http(refusal)) = Client::try_connect(http, "/chat/room").await
    else {
        panic!("there is no room for another");
    };
    assert_eq!(refusal.status(), 503);
    assert_eq!(refusal.headers()["retry-after"], "5");
    let id = client.id.clone();
    client.cut();
    let mut client = Client::resume(http, "/chat/room", &id).await;
    assert_eq!(client.id, id);
    client.send("still here").await;
    assert_eq!(client.text().await, "still here");
    client.close().await;
    let is_over = || node.topic("/chat/room").unwrap().members().is_empty();
    support::until("the session is over", is_over).await;
    Client::new(http, "/chat/room").await;
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_until_another_goes() {
    let place = Place::new("connections");
    let builder = place.node().route("/chat/{room}", publish).max_connections(2);
    let node = builder.start().await.unwrap();
    let http = serve(&node);
    let mut client = Client::new(http, "/chat/room").await;
    let silent = TcpStream::connect(http).await.unwrap();
    let mut answer = post(http, "/chat/room", b"one too many").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")), "{answer:?}");
    assert!(answer.body.contains("as many connections as it may"), "{answer:?}");
    drop(silent);
    while answer.status == 503 {
        answer = post(http, "/chat/room", b"fine").await;
    }
    assert_eq!((answer.status, client.text().await), (200, "fine".to_owned()));
    client.cut();
    // Its place is free, and that of the request before.
    let (mut one, mut two) = (None, None);
    while one.is_none() || two.is_none() {
        for place in [&mut one, &mut two] {
            if place.is_none() {
                *place = Client::try_connect(http, "/chat/room").await.ok();
            }
        }
    }
}

#[tokio::test]
async fn one_topic_too_many_is_not_opened_and_those_of_sessions_do_not_count() {
    let (told, mut joined) = mpsc::unbounded_channel();
    let join = move |session: Session, _: Message| {
        let told = told.clone();
        async move {
            told.send(session.join("/chat/third").await).unwrap();
            session.send("private").await?;
            Ok::<_, Close>(())
        }
    };
    let place = Place::new("topics");
    let node = place.node().route("/chat", join).max_topics(2).start().await.unwrap();
    let mut client = Client::new(serve(&node), "/chat").await;
    let topic = |name| node.topic(name).unwrap();
    topic("second").publish("x").await.unwrap();
    topic("second").publish("y").await.unwrap();
    let refused = topic("third").publish("x").await;
    assert_eq!(refused.unwrap_err(), PublishError::TooManyTopics);
    client.send("join").await;
    assert_eq!(client.text().await, "private");
    assert_eq!(joined.recv().await, Some(Err(JoinError::NoRoom)));
}

/// Goal: what is posted at a time is bounded, until a handler has returned from it; and who only says
/// that much is to come takes nothing from others.
#[tokio::test]
async fn what_is_posted_at_a_time_has_a_limit() {
    let (told, mut tells) = mpsc::unbounded_channel();
    let go_on = Arc::new(Semaphore::new(0));
    let released = Arc::clone(&go_on);
    let wait = move |_: Session, _: Message| {
        told.send(()).unwrap();
        let go_on = Arc::clone(&released);
        async move {
            go_on.acquire().await.unwrap().forget();
            Ok::<_, Close>(())
        }
    };
    let place = Place::new("posted");
    let node = place.node().route("/chat/{room}", wait).max_posted_bytes(MIB + 9);
    let node = node.start().await.unwrap();
    let http = serve(&node);
    let mut idle = TcpStream::connect(http).await.unwrap();
    let head = format!("POST /chat/room HTTP/1.1\r\nHost: {http}\r\nContent-Length: {MIB}\r\n\r\n");
    idle.write_all(head.as_bytes()).await.unwrap();
    let mut posts = Vec::new();
    for body in [vec![b'x'; MIB], b"012345678".to_vec()] {
        posts.push(spawn(async move { post(http, "/chat/room", &body).await }));
        within(PATIENCE, "the handler is told", tells.recv()).await.unwrap();
    }
    let refused = post(http, "/chat/room", b"x").await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("5")), "{refused:?}");
    go_on.add_permits(3);
    for post in posts {
        assert_eq!(post.await.unwrap().status, 200);
    }
    assert_eq!(post(http, "/chat/room", &vec![b'x'; MIB]).await.status, 200);
}
