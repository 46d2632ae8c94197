//! Who may use a session: who the application says that it belongs to, from the browser it was begun
//! in, and nobody else who knows its id.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::net::SocketAddr;

use bytes::Bytes;
use exosphere::{
    Builder, Close, CloseReason, Handler, Message, Node, NodeService, Principal, Session,
};
use http::{Response, StatusCode, request::Parts};
use support::{
    Client, PATIENCE, Place, Received, Stream, get, post, request, sees, serve, spawn, within,
};
use tokio::{net::TcpListener, sync::mpsc};

/// How a client asks by each transport that is answered at once, or begins to be.
const TRANSPORTS: [&str; 5] = [
    "X-Atmosphere-Transport=sse",
    "X-Atmosphere-Transport=streaming",
    "X-Atmosphere-Transport=long-polling&X-Atmosphere-Framework=5.0.45",
    "X-Atmosphere-Transport=polling&X-Atmosphere-Framework=5.0.45",
    "X-Atmosphere-Transport=jsonp&jsonpTransport=call&X-Atmosphere-Framework=3.1.3-javascript",
];

/// The head of a request for a WebSocket.
const UPGRADE: [&str; 4] = [
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

/// Answers `who` to its client alone, and publishes the rest. Says whose sessions end.
#[derive(Clone)]
struct Talk(mpsc::UnboundedSender<String>);

fn name(session: &Session) -> String {
    session.principal().map_or("nobody", Principal::as_str).to_owned()
}

impl Handler for Talk {
    async fn message(&self, session: &Session, message: Message) -> Result<(), Close> {
        match message.as_text() {
            Some("who") => session.send(name(session)).await?,
            _ => session.publish(session.path().as_str(), message).await?,
        };
        Ok(())
    }

    async fn request(
        &self,
        session: &Session,
        request: http::Request<Bytes>,
    ) -> Option<Response<Bytes>> {
        (request.method() == "PUT").then(|| Response::new(name(session).into()))
    }

    async fn disconnect(&self, session: &Session, _: CloseReason) {
        let _ = self.0.send(name(session)); // Most tests do not want to know.
    }
}

/// Believes who a client says that it is, but lets Mallory not in.
async fn authenticate(request: Parts) -> Result<Option<Principal>, Response<Bytes>> {
    let mut pairs = request.uri.query().unwrap_or_default().split('&');
    match pairs.find_map(|pair| pair.strip_prefix("user=")) {
        None => Ok(None),
        Some("mallory") => {
            let mut refused = Response::new(Bytes::from_static(b"not you"));
            *refused.status_mut() = StatusCode::UNAUTHORIZED;
            refused.headers_mut().insert("www-authenticate", "Query".parse().unwrap());
            Err(refused)
        }
        Some(name) => Ok(Principal::new(name).ok()),
    }
}

struct Two {
    _place: Place,
    nodes: [Node; 2],
    http: [SocketAddr; 2],
    ended: mpsc::UnboundedReceiver<String>,
}

impl Two {
    async fn start(name: &str, configure: impl Fn(Builder) -> Builder) -> Self {
        let (place, (ends, ended)) = (Place::new(name), mpsc::unbounded_channel());
        let builder = || configure(place.node().route("/chat/{room}", Talk(ends.clone())));
        let nodes = [builder().start().await.unwrap(), builder().start().await.unwrap()];
        sees(&nodes[0], 2).await;
        sees(&nodes[1], 2).await;
        let http = [serve(&nodes[0]), serve(&nodes[1])];
        Self { _place: place, nodes, http, ended }
    }
}

/// The session that who asks for one gets, by a transport.
async fn attach(http: SocketAddr, how: &str, id: &str, headers: &[&str]) -> (Stream, String) {
    let target = format!("/chat/a?X-Atmosphere-tracking-id={id}&{how}");
    let stream = Stream::open(http, &target, headers).await;
    assert_eq!(stream.status, 200, "{how}");
    let id = stream.id();
    (stream, id)
}

/// The same by a WebSocket. `who` is further parameters.
async fn connect(http: SocketAddr, id: &str, who: &str) -> Client {
    Client::resume(http, "/chat/a", &format!("{id}&{who}")).await
}

/// Goal: whatever transport somebody asks by who knows another's session, on whichever node, it gets
/// one of its own, and the other's connection is not disturbed.
///
/// Method: Alice is connected, and has answers to what is published. Strangers ask for her session by
/// every transport. Then she moves.
#[tokio::test]
async fn a_stranger_gets_a_session_of_its_own_by_every_transport() {
    let two = Two::start("strangers", |node| node.authenticate(authenticate).jsonp(true)).await;
    let mut alice = connect(two.http[0], "0", "user=alice").await;
    let id = alice.id.clone();
    for (n, http) in two.http.into_iter().enumerate() {
        for stranger in ["user=bob", "user=", "nobody=1"] {
            for how in TRANSPORTS {
                let (_stream, other) = attach(http, &format!("{how}&{stranger}"), &id, &[]).await;
                assert_ne!(other, id, "{how} as {stranger} on {n}");
            }
            assert_ne!(connect(http, &id, stranger).await.id, id, "{stranger} on {n}");
        }
        alice.send("who").await;
        assert_eq!(alice.text().await, "alice");
    }
    for how in TRANSPORTS {
        let (_stream, own) = attach(two.http[1], &format!("{how}&user=alice"), &id, &[]).await;
        assert_eq!(own, id, "{how}");
    }
    let mut alice = connect(two.http[1], &id, "user=alice").await;
    assert_eq!(alice.id, id);
    alice.send("who").await;
    assert_eq!(alice.text().await, "alice", "on the node that she moved to");
}

/// Goal: a poll that is on its way is nobody's but its client's.
#[tokio::test]
async fn a_strangers_poll_takes_no_answer_of_anothers() {
    let two = Two::start("polls", |node| node.authenticate(authenticate)).await;
    let how = |who: &str| format!("{}&user={who}", TRANSPORTS[2]);
    let (mut poll, id) = attach(two.http[0], &how("alice"), "0", &[]).await;
    let (mut other, own) = attach(two.http[0], &how("bob"), &id, &[]).await;
    assert_ne!(own, id);
    post(two.http[1], "/chat/a", b"hello").await;
    for stream in [&mut poll, &mut other] {
        let read = within(PATIENCE, "an answer", stream.rest()).await;
        assert_eq!(read.trim(), "hello");
    }
}

#[tokio::test]
async fn a_stranger_neither_posts_in_anothers_name_nor_ends_the_session() {
    let mut two = Two::start("names", |node| node.authenticate(authenticate)).await;
    let mut alice = connect(two.http[0], "0", "user=alice").await;
    let named = format!("X-Atmosphere-tracking-id={}", alice.id);
    for http in two.http {
        for (stranger, name) in [("user=bob", "bob"), ("nobody=1", "nobody")] {
            let target = format!("/chat/a?{named}&{stranger}");
            let posted = post(http, &target, b"posted").await;
            assert_eq!((posted.status, posted.header("x-atmosphere-tracking-id")), (200, None));
            assert_eq!(alice.text().await, "posted");
            assert_eq!(request(http, "PUT", &target, &[], b"").await.body, name);
            let pushed = post(http, &format!("{target}&X-Exosphere-Postman=1"), b"").await;
            assert_eq!(pushed.status, 410, "as if there was none: {pushed:?}");
            let target = format!("{target}&X-Atmosphere-Transport=close");
            assert_eq!(get(http, &target).await.status, 200, "it says nothing");
        }
        let target = format!("/chat/a?{named}&user=alice");
        let posted = post(http, &target, b"who").await;
        assert_eq!(posted.header("x-atmosphere-tracking-id"), Some(&*alice.id));
        assert_eq!(alice.text().await, "alice", "it is open");
        assert_eq!(request(http, "PUT", &target, &[], b"").await.body, "alice");
        assert_eq!(post(http, &format!("{target}&X-Exosphere-Postman=1"), b"").await.status, 200);
    }
    let target = format!("/chat/a?{named}&user=alice&X-Atmosphere-Transport=close");
    assert_eq!(get(two.http[1], &target).await.status, 200);
    assert_eq!(alice.closed().await, 1000);
    let ended = within(PATIENCE, "a session ends", two.ended.recv()).await;
    assert_eq!(ended.as_deref(), Some("alice"));
}

#[tokio::test]
async fn who_signs_in_or_out_begins_anew() {
    let two = Two::start("signs", |node| node.authenticate(authenticate)).await;
    let nobody = connect(two.http[0], "0", "nobody=1").await.id;
    let alice = connect(two.http[0], &nobody, "user=alice").await.id;
    assert_ne!(alice, nobody);
    assert_ne!(connect(two.http[0], &alice, "nobody=1").await.id, alice);
    assert_eq!(connect(two.http[0], &nobody, "nobody=1").await.id, nobody);
    assert_eq!(connect(two.http[1], &alice, "user=alice").await.id, alice);
}

#[tokio::test]
async fn whom_the_application_refuses_gets_its_answer_and_nothing_else() {
    let two = Two::start("refused", |node| node.authenticate(authenticate)).await;
    for how in TRANSPORTS {
        let refused = get(two.http[0], &format!("/chat/a?{how}&user=mallory")).await;
        assert_eq!((refused.status, &*refused.body), (401, "not you"), "{how}");
        assert_eq!(refused.header("www-authenticate"), Some("Query"));
        assert_eq!(refused.header("x-atmosphere-tracking-id"), None);
    }
    let refused = request(two.http[0], "GET", "/chat/a?user=mallory", &UPGRADE[1..], b"").await;
    assert_eq!(refused.status, 401);
    assert!(Client::try_connect(two.http[0], "/chat/a?user=mallory").await.is_err());
    let mut alice = connect(two.http[0], "0", "user=alice").await;
    assert_eq!(post(two.http[0], "/chat/a?user=mallory", b"m").await.status, 401);
    alice.send("own").await;
    assert_eq!(alice.text().await, "own", "nothing else was published");
}

/// Serves a node in an application of axum's, whose layer knows who its clients are.
async fn serve_with_layer(service: NodeService) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let layer = axum::middleware::map_request(async |mut request: axum::extract::Request| {
        let user = request.headers().get("x-user").map(|user| user.to_str().unwrap());
        if let Some(principal) = user.map(|user| Principal::new(user).unwrap()) {
            request.extensions_mut().insert(principal);
        }
        request
    });
    let router = axum::Router::new().fallback_service(service).layer(layer);
    spawn(async move { axum::serve(listener, router).await });
    addr
}

#[tokio::test]
async fn a_layer_in_front_of_the_node_may_say_who_a_client_is() {
    let two = Two::start("layer", |node| node.jsonp(true)).await;
    let http = [
        serve_with_layer(two.nodes[0].service()).await,
        serve_with_layer(two.nodes[1].service()).await,
    ];
    for how in TRANSPORTS {
        let (_stream, id) = attach(http[0], how, "0", &["X-User: alice"]).await;
        assert_ne!(attach(http[1], how, &id, &["X-User: bob"]).await.1, id, "{how}");
        assert_ne!(attach(two.http[1], how, &id, &["X-User: alice"]).await.1, id, "no layer");
        assert_eq!(attach(http[1], how, &id, &["X-User: alice"]).await.1, id, "{how}");
    }
}

/// The name and value of the cookie that an answer sets, if it does.
fn cookie(stream: &Stream) -> Option<String> {
    let set = stream.header("set-cookie")?;
    assert!(set.ends_with("; Path=/; HttpOnly; SameSite=Lax"), "{set}");
    set.split(';').next().map(|pair| format!("Cookie: {pair}"))
}

/// Goal: a session that was begun with a cookie is found with it alone, on whichever node, and who
/// keeps no cookies has its session all the same.
#[tokio::test]
async fn a_session_that_was_begun_with_a_cookie_is_found_with_it_alone_on_every_node() {
    let configure =
        |node: Builder| node.browser_cookies(true).jsonp(true).allow_origin("http://a.example");
    let two = Two::start("cookies", configure).await;
    let target = "/chat/a?X-Atmosphere-tracking-id=0";
    let upgraded = Stream::open(two.http[0], target, &UPGRADE).await;
    assert_eq!(upgraded.status, 101);
    let (browser, stranger) = (cookie(&upgraded).unwrap(), {
        let (stream, id) = attach(two.http[1], TRANSPORTS[0], "0", &[]).await;
        assert_eq!(attach(two.http[0], TRANSPORTS[0], &id, &[]).await.1, id, "a program's");
        cookie(&stream).unwrap()
    });
    let mut forged = browser.clone();
    let last = forged.pop().unwrap();
    forged.push(if last == 'A' { 'Q' } else { 'A' });
    for how in TRANSPORTS {
        let (stream, id) = attach(two.http[0], how, "0", &[&browser]).await;
        assert_eq!(cookie(&stream), None, "it has one");
        let (_other_tab, other) = attach(two.http[1], how, "0", &[&browser]).await;
        for http in two.http {
            for shown in [&[&*stranger][..], &[&*forged], &[]] {
                let (stream, got) = attach(http, how, &id, shown).await;
                assert_ne!(got, id, "{how} with {shown:?}");
                assert_eq!(cookie(&stream).is_some(), shown != [&*stranger], "{shown:?}");
            }
            assert_eq!(attach(http, how, &id, &[&browser]).await.1, id, "{how}");
            assert_eq!(attach(http, how, &other, &[&browser]).await.1, other, "{how}");
        }
    }
    let origin = "Origin: http://a.example";
    let (listed, _) = attach(two.http[0], TRANSPORTS[0], "0", &[origin]).await;
    assert_eq!(listed.header("access-control-allow-credentials"), Some("true"));
}

#[tokio::test]
async fn no_cookie_is_set_unless_the_application_wants_it() {
    let two = Two::start("no-cookies", |node| node).await;
    for how in &TRANSPORTS[..4] {
        assert_eq!(cookie(&attach(two.http[0], how, "0", &[]).await.0), None);
    }
    let mut client = connect(two.http[0], "0", "a=b").await;
    client.send("who").await;
    assert_eq!(client.next().await, Received::Text("nobody".to_owned()));
}

/// Goal: what is said of cookies is so in a browser, too.
#[tokio::test]
async fn a_browser_keeps_its_cookie_and_shows_it_by_every_transport() {
    let (true, Some(chromium)) = (support::has_stock_clients(), support::chromium()) else {
        return;
    };
    let two = Two::start("browser", |node| node.browser_cookies(true)).await;
    let [a, b] = two.http.map(|http| format!("http://{http}/"));
    let args = ["cookie.mjs", &a, &b, "--chromium", &chromium];
    let output = support::node_js(&args).output().await.unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("\"transports\":4"), "{told}");
}
