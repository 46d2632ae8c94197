//! Every transport, with clients that know nothing but HTTP.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use exosphere::{Close, CloseCode, Handler, Message, Node, Session};
use support::{
    Answer, Client, PATIENCE, Place, Received, Stream, get, post, publish, request, sees, serve,
    spawn, within,
};

/// What an `EventSource` says of itself.
const EVENTS: &str = "Accept: text/event-stream";

/// What a client says that uses a connection for one request.
const CLOSES: &str = "Connection: close";

async fn chat(place: &Place) -> Node {
    place.node().route("/chat/{room}", publish).start().await.unwrap()
}

/// One that also answers by scripts.
async fn chat_with_scripts(place: &Place) -> Node {
    place.node().route("/chat/{room}", publish).jsonp(true).start().await.unwrap()
}

async fn two(name: &str) -> (Place, [Node; 2], [SocketAddr; 2]) {
    let place = Place::new(name);
    let nodes = [chat(&place).await, chat(&place).await];
    sees(&nodes[0], 2).await;
    sees(&nodes[1], 2).await;
    let http = [serve(&nodes[0]), serve(&nodes[1])];
    (place, nodes, http)
}

/// A poll as of `curl`.
async fn poll(http: SocketAddr, path: &str, session: Option<&str>, tag: Option<&str>) -> Answer {
    let mut target = format!("{path}?X-Atmosphere-Transport=long-polling");
    if let Some(session) = session {
        target += &format!("&X-Atmosphere-tracking-id={session}");
    }
    let tag = tag.map(|tag| format!("If-None-Match: {tag}"));
    let headers: Vec<&str> = tag.as_deref().into_iter().collect();
    request(http, "GET", &target, &headers, b"").await
}

fn tag(answer: &Answer) -> String {
    answer.header("etag").expect("an answer to a poll says where it is").to_owned()
}

fn id(answer: &Answer) -> String {
    answer.header("x-atmosphere-tracking-id").expect("a session has an id").to_owned()
}

/// Goal: an `EventSource` that says nothing of itself gets everything in order, and when it comes
/// back, to whichever node, goes on behind the last event it has.
#[tokio::test]
async fn an_event_source_goes_on_behind_its_last_event_on_any_node() {
    let (_place, _nodes, http) = two("events").await;
    let mut source = Stream::open(http[0], "/chat/a", &[EVENTS]).await;
    assert_eq!(source.status, 200);
    assert_eq!(source.header("content-type"), Some("text/event-stream;charset=utf-8"));
    assert_eq!(source.header("x-accel-buffering"), Some("no"));
    let texts = ["one", " two\n\nid:7\ndata:forged", "", "\u{1f600}|X"];
    let mut last = None;
    for text in texts {
        assert_eq!(post(http[1], "/chat/a", text.as_bytes()).await.status, 200);
        let event = source.event().await.unwrap();
        assert_eq!((&*event.data, &*event.kind), (text, "message"));
        last = event.id.or(last);
    }
    drop(source);
    for n in 0..100 {
        post(http[n % 2], "/chat/a", format!("missed {n}").as_bytes()).await;
    }
    let id = format!("Last-Event-ID: {}", last.unwrap());
    let mut source = Stream::open(http[1], "/chat/a", &[EVENTS, &id]).await;
    let mut missed = Vec::new();
    for _ in 0..100 {
        missed.push(source.event().await.unwrap().data);
    }
    // From two nodes, so that only each one's own order is fixed.
    for node in 0..2 {
        let of_node = (0..100).filter(|n| n % 2 == node).map(|n| format!("missed {n}"));
        let heard = missed
            .iter()
            .filter(|text| text["missed ".len()..].parse::<usize>().unwrap() % 2 == node);
        assert!(of_node.eq(heard.cloned()), "{missed:?}");
    }
    post(http[0], "/chat/a", b"live").await;
    assert_eq!(source.event().await.unwrap().data, "live");
}

/// Goal: polling by ETag, as the README tells to do with curl, on nodes in turn.
#[tokio::test]
async fn a_poll_waits_for_news_and_gets_again_what_its_tag_does_not_name() {
    let (_place, _nodes, http) = two("tags").await;
    let (first, _) = tokio::join!(poll(http[0], "/chat/a", None, None), async {
        // Whether before or after the poll is there: it has joined once it is answered, no earlier.
        loop {
            post(http[1], "/chat/a", b"first").await;
            if _nodes[1].topic("/chat/a").unwrap().members().len() == 1 {
                return post(http[1], "/chat/a", b"first").await;
            }
        }
    });
    assert_eq!((first.status, &*first.body), (200, "first"));
    let session = id(&first);
    let mut tags = vec![tag(&first)];
    let mut last = first;
    while last.body == "first" {
        post(http[0], "/chat/a", b"second").await;
        last = poll(http[1], "/chat/a", Some(&session), tags.last().map(String::as_str)).await;
        assert_eq!(id(&last), session);
        tags.push(tag(&last));
    }
    assert_eq!(last.body, "second");
    // The answer was lost on its way: the client asks again as it did before.
    let before = &tags[tags.len() - 2];
    for http in http {
        let again = poll(http, "/chat/a", Some(&session), Some(before)).await;
        assert_eq!((&*again.body, &tag(&again)), ("second", tags.last().unwrap()));
    }
    // It does not know its session any more, but where it was.
    let again = poll(http[0], "/chat/a", None, Some(before)).await;
    assert_eq!(again.body, "second");
    assert_ne!(id(&again), session);
}

fn stock(transport: &str, session: &str) -> String {
    format!(
        "/chat/a?X-Atmosphere-tracking-id={session}&X-Atmosphere-Framework=5.0.7\
         &X-Atmosphere-Transport={transport}&X-Atmosphere-TrackMessageSize=true&X-atmo-protocol=true"
    )
}

/// Begins a session as a stock client does that polls.
async fn begin(http: SocketAddr) -> String {
    let greeting = get(http, &stock("long-polling", "0")).await;
    let session = id(&greeting);
    let handshake = format!("{session}|60000|X|");
    assert_eq!(dechunked(&greeting), format!("{}|{handshake}", handshake.len()));
    session
}

fn dechunked(answer: &Answer) -> String {
    let mut rest = &*answer.body;
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        body += &after[..size];
        rest = after[size..].strip_prefix("\r\n").unwrap_or_default();
    }
    body
}

#[tokio::test]
async fn what_comes_between_two_polls_waits_and_of_two_polls_the_newer_is_answered() {
    let (_place, _nodes, http) = two("polls").await;
    let session = begin(http[0]).await;
    for n in 0..100 {
        post(http[0], "/chat/a", format!("{n}").as_bytes()).await;
    }
    let target = stock("long-polling", &session);
    let mut heard = Vec::new();
    while heard.len() < 100 {
        let mut stream = Stream::open(http[0], &target, &[CLOSES]).await;
        while let Some(text) = stream.framed().await {
            heard.push(text);
        }
    }
    assert!((0..100).map(|n| n.to_string()).eq(heard));
    let mut older = Stream::open(http[0], &target, &[CLOSES]).await;
    let mut newer = Stream::open(http[0], &target, &[CLOSES]).await;
    assert_eq!(older.framed().await.as_deref(), Some("X"), "a heartbeat, which means nothing");
    assert_eq!(older.framed().await, None);
    // It asks one thing at a time: so it has lost the older one, and waits for a handshake again.
    assert!(newer.framed().await.unwrap().starts_with(&session));
    assert_eq!(newer.framed().await, None);
    let mut next = Stream::open(http[0], &target, &[CLOSES]).await;
    post(http[1], "/chat/a", b"for the newer").await;
    assert_eq!(next.framed().await.as_deref(), Some("for the newer"));
    assert_eq!(next.framed().await, None);
}

/// Goal: an answer that was not fetched to its end, as its client was cut off, comes again.
#[tokio::test]
async fn an_answer_that_was_not_fetched_comes_again() {
    let (_place, nodes, http) = two("torn").await;
    let session = begin(http[0]).await;
    let long = "x".repeat(900_000);
    for n in 0..10 {
        let topic = nodes[0].topic("/chat/a").unwrap();
        topic.publish(format!("{n} {long}")).await.unwrap();
    }
    let target = stock("long-polling", &session);
    drop(Stream::open(http[0], &target, &[]).await);
    let mut heard = Vec::new();
    while heard.len() < 10 {
        let mut stream = Stream::open(http[0], &target, &[CLOSES]).await;
        while let Some(text) = stream.framed().await {
            match text.split_once(' ') {
                Some((n, _)) => heard.push(n.parse::<usize>().unwrap()),
                None => assert!(text.starts_with(&session), "{text}"),
            }
        }
    }
    assert!((0..10).eq(heard));
}

/// Goal: a client that was cut off before there was something to say to it gets that when it is back,
/// though its node hears of the message before it hears of the cut.
///
/// Method: one thread, so that the node does nothing between the cut and the message.
#[tokio::test]
async fn who_was_cut_off_before_an_answer_gets_it_when_it_is_back() {
    let place = Place::new("cut");
    let node = chat(&place).await;
    let http = serve(&node);
    let session = begin(http).await;
    let target = stock("long-polling", &session);
    for n in 0..20 {
        let parked = Stream::open(http, &target, &[CLOSES]).await;
        drop(parked);
        let topic = node.topic("/chat/a").unwrap();
        topic.publish(n.to_string()).await.unwrap();
        let mut heard = String::new();
        while heard != n.to_string() {
            let mut stream = Stream::open(http, &target, &[CLOSES]).await;
            while let Some(text) = stream.framed().await {
                heard = text;
            }
        }
    }
}

/// Goal: of polls that are too many to wait, each is answered at once, and told when to ask again.
#[tokio::test]
async fn polls_that_are_too_many_do_not_wait() {
    let place = Place::new("parked");
    let builder = place.node().route("/chat/{room}", publish).max_parked_polls(1);
    let node = builder.start().await.unwrap();
    let http = serve(&node);
    let polls = [poll(http, "/chat/a", None, None), poll(http, "/chat/a", None, None)];
    let polls = futures_util::future::select_all(polls.map(Box::pin));
    let (crowded, _, mut parked) = polls.await;
    assert_eq!((crowded.status, crowded.header("retry-after")), (204, Some("5")));
    assert!(crowded.header("etag").is_some(), "it can go on from there");
    node.topic("/chat/a").unwrap().publish("news").await.unwrap();
    let told = within(PATIENCE, "the answer", parked.remove(0)).await;
    assert_eq!((told.status, &*told.body, told.header("retry-after")), (200, "news", None));
    let again = poll(http, "/chat/a", Some(&id(&crowded)), Some(&tag(&crowded))).await;
    assert_eq!((again.status, &*again.body), (200, "news"));
}

/// Goal: a session is the same over any transport and on any node.
#[tokio::test]
async fn a_session_goes_from_one_transport_to_another_and_misses_nothing() {
    let (_place, _nodes, http) = two("moving").await;
    let mut socket = Client::new(http[0], "/chat/a").await;
    let session = socket.id.clone();
    socket.send("to the socket").await;
    assert_eq!(socket.text().await, "to the socket");
    post(http[1], "/chat/a", b"1").await;
    let mut events = Stream::open(http[1], &stock("sse", &session), &[]).await;
    assert_eq!(events.id(), session);
    assert_eq!(socket.next().await, Received::Text("1".to_owned()));
    assert!(matches!(socket.next().await, Received::Closed(4000.., _)));
    let mut heard = Vec::new();
    while heard.last().is_none_or(|text: &String| !text.ends_with("|1")) {
        heard.push(events.event().await.unwrap().data);
    }
    assert!(heard[0].contains(&session), "a new client is greeted: {heard:?}");
    post(http[0], "/chat/a", b"2").await;
    assert_eq!(events.event().await.unwrap().data, "1|2");
    let mut stream = Stream::open(http[0], &stock("streaming", &session), &[]).await;
    assert_eq!(events.event().await, None, "the newest connection wins");
    post(http[1], "/chat/a", b"3").await;
    while stream.framed().await.as_deref() != Some("3") {}
    let target = stock("long-polling", &session);
    let poll = Stream::open(http[1], &target, &[]);
    let (mut poll, ended) = tokio::join!(poll, async { while stream.framed().await.is_some() {} });
    let () = ended;
    post(http[0], "/chat/a", b"4").await;
    loop {
        match poll.framed().await.as_deref() {
            Some("4") => break,
            Some(_) => {}
            None => poll = Stream::open(http[1], &stock("long-polling", &session), &[]).await,
        }
    }
}

/// Tells each client how it is connected.
async fn describe(session: Session, _: Message) -> Result<(), Close> {
    let told = session.connection().map(|it| format!("{:?} {:?}", it.transport, it.evidence));
    session.send(told.unwrap_or_default()).await?;
    Ok(())
}

/// Goal: a handler can see how its client is connected, and by what it is known what the client has.
#[tokio::test]
async fn a_handler_sees_how_its_client_is_connected() {
    let place = Place::new("connections");
    let node = place.node().route("/chat/{room}", describe).start().await.unwrap();
    let http = serve(&node);
    let mut socket = Client::new(http, "/chat/a").await;
    socket.send("?").await;
    assert_eq!(socket.text().await, "WebSocket Pong");
    let session = socket.id.clone();
    for (name, told) in [
        ("sse", "EventStream Written"),
        ("streaming", "Streaming Written"),
        ("long-polling", "LongPolling NextRequest"),
    ] {
        let target = stock(name, &session);
        let mut stream = Stream::open(http, &target, &[CLOSES]).await;
        post(http, &target, b"?").await;
        // It is greeted first, and told again what it did not acknowledge before.
        let mut heard = String::new();
        while !heard.ends_with(told) {
            let next = match name {
                "sse" => stream.event().await.map(|event| event.data),
                _ => stream.framed().await,
            };
            match next {
                Some(text) => heard = text,
                None => stream = Stream::open(http, &target, &[CLOSES]).await,
            }
        }
    }
}

struct Closed;

impl Handler for Closed {
    async fn ready(&self, _: &Session) -> Result<(), Close> {
        Err(Close::new(CloseCode::Forbidden, "members only"))
    }

    async fn message(&self, _: &Session, _: Message) -> Result<(), Close> {
        Ok(())
    }
}

#[tokio::test]
async fn who_is_refused_by_the_handler_is_answered_so() {
    let place = Place::new("refused");
    let node = place.node().route("/closed", Closed).jsonp(true).start().await.unwrap();
    let http = serve(&node);
    for transport in ["sse", "streaming", "long-polling", "jsonp&jsonpTransport=cb"] {
        let answer = get(http, &format!("/closed?X-Atmosphere-Transport={transport}")).await;
        assert_eq!(answer.status, 403, "{transport}");
        assert_eq!(answer.header("x-atmosphere-error"), Some("members only"), "{transport}");
    }
}

#[tokio::test]
async fn scripts_are_answers_only_where_the_application_says_so() {
    let place = Place::new("scripts");
    let node = place.node().route("/chat/{room}", publish).jsonp(true).start().await.unwrap();
    let (http, closed) = (serve(&node), serve(&chat(&place).await));
    let target = "/chat/a?X-Atmosphere-Transport=jsonp&jsonpTransport=cb&X-Atmosphere-tracking-id=";
    let refused = get(closed, &format!("{target}0")).await;
    assert_eq!(refused.status, 501);
    let greeted = get(
        http,
        &format!("{target}0&X-atmo-protocol=true&X-Atmosphere-Framework=3.1.3-javascript"),
    )
    .await;
    let session = id(&greeted);
    let expected = format!("/**/cb({{\"message\" : \"{session}|60000|X|\"}});");
    assert_eq!(dechunked(&greeted), expected);
    post(http, "/chat/a", b"a \"quoted\" <word>").await;
    let answer = get(http, &format!("{target}{session}")).await;
    assert_eq!(dechunked(&answer), "/**/cb({\"message\" : \"a \\\"quoted\\\" \\u003cword>\"});");
    assert_eq!(answer.header("content-type"), Some("application/javascript;charset=utf-8"));
}

/// How a client is connected, in the test of all at once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Way {
    Socket,
    Events,
    Streaming,
    Polling,
    Scripts,
}

/// Reads numbers until `last`, coming back on another node whenever its connection ends, and returns
/// all it was given.
async fn follow(way: Way, http: [SocketAddr; 3], begin: usize, last: u64) -> Vec<(usize, u64)> {
    let (mut heard, mut at) = (Vec::new(), begin);
    let mut session = "0".to_owned();
    while !has_all(&heard, last) {
        at += 1;
        let http = http[at % http.len()];
        match way {
            Way::Socket => {
                let Ok(mut socket) = Client::try_resume(http, "/chat/a", &session).await else {
                    tokio::task::yield_now().await;
                    continue;
                };
                session.clone_from(&socket.id);
                while let Received::Text(text) = socket.next().await {
                    heard.extend(read(&text));
                    if has_all(&heard, last) {
                        break;
                    }
                }
            }
            Way::Events | Way::Streaming | Way::Polling | Way::Scripts => {
                let name = match way {
                    Way::Events => "sse",
                    Way::Streaming => "streaming",
                    Way::Scripts => "jsonp&jsonpTransport=cb",
                    _ => "long-polling",
                };
                let Some(mut stream) = Stream::try_open(http, &stock(name, &session), &[]).await
                else {
                    tokio::task::yield_now().await;
                    continue;
                };
                if stream.status != 200 {
                    continue;
                }
                session = stream.id();
                if way == Way::Scripts {
                    stream.script("cb").await;
                }
                loop {
                    let text = match way {
                        Way::Events => stream.event().await.map(|event| event.data),
                        _ => stream.framed().await,
                    };
                    let Some(text) = text else { break };
                    heard.extend(read(text.rsplit('|').next().unwrap()));
                    if has_all(&heard, last) {
                        break;
                    }
                }
            }
        }
    }
    heard
}

fn has_all(heard: &[(usize, u64)], last: u64) -> bool {
    (0..3).all(|publisher| heard.contains(&(publisher, last)))
}

/// A message of this test: whose, and which.
fn read(text: &str) -> Option<(usize, u64)> {
    let (publisher, n) = text.split_once(' ')?;
    Some((publisher.parse().ok()?, n.parse().ok()?))
}

/// Goal: one topic, a client on each transport on each of three nodes, a publisher on each node, one
/// of which is shut down and started again meanwhile. Everybody gets every message, and those of
/// each publisher in their order; what was not acknowledged may come again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_transports_at_once_get_everything_while_a_node_is_restarted() {
    const EACH: u64 = 300;
    let place = Place::new("mixed");
    let start = || chat_with_scripts(&place);
    let nodes = [start().await, start().await, start().await];
    for node in &nodes {
        sees(node, 3).await;
    }
    let http = nodes.each_ref().map(serve);
    let mut clients = Vec::new();
    for way in [Way::Socket, Way::Events, Way::Streaming, Way::Polling, Way::Scripts] {
        for begin in 0..3 {
            clients.push((way, begin, spawn(follow(way, http, begin, EACH))));
        }
    }
    let topic = nodes[0].topic("/chat/a").unwrap();
    support::until("everybody is there", || topic.members().len() == 15).await;
    let [first, second, third] = nodes;
    let restarted = Arc::new(AtomicBool::new(false));
    let publishers = [(0, first.clone()), (1, second.clone())].map(|(publisher, node)| {
        let restarted = Arc::clone(&restarted);
        spawn(async move {
            let topic = node.topic("/chat/a").unwrap();
            for n in 1..=EACH {
                topic.publish(format!("{publisher} {n}")).await.unwrap();
                if n == EACH / 2 {
                    let what = "the node is restarted";
                    support::until(what, || restarted.load(Ordering::Acquire)).await;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
    });
    third.shutdown().await;
    let again = start().await;
    sees(&again, 3).await;
    let listener = std::net::TcpListener::bind(http[2]).unwrap();
    let serving = again.clone();
    spawn(async move { serving.serve_listener(listener).await.unwrap() });
    restarted.store(true, Ordering::Release);
    let topic = again.topic("/chat/a").unwrap();
    for n in 1..=EACH {
        topic.publish(format!("2 {n}")).await.unwrap();
    }
    for publisher in publishers {
        publisher.await.unwrap();
    }
    for (way, begin, client) in clients {
        let what = format!("{way:?} that began on node {begin} has everything");
        let heard = within(2 * PATIENCE, &what, client).await.unwrap();
        for publisher in 0..3 {
            let of_one = heard.iter().filter(|(of, _)| *of == publisher).map(|(_, n)| *n);
            let mut next = 1;
            for n in of_one {
                assert!(
                    n <= next,
                    "{way:?} {begin}: {n} of {publisher} came where {next} was next"
                );
                next = next.max(n + 1);
            }
            assert_eq!(next, EACH + 1, "{way:?} {begin}: publisher {publisher}");
        }
    }
}
