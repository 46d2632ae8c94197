//! The server, over real connections of this machine.

use std::future::poll_fn;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, Empty};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{self, Message},
};

use super::*;
use crate::client::{self, Reader, Socket, websocket};

const SOON: Duration = Duration::from_secs(5);

/// What a test's server does: an echo for WebSockets, a slow answer, or a quick one.
async fn answer(
    tasks: Tasks,
    mut request: Request<Incoming>,
) -> Result<Response<client::Body>, Infallible> {
    if request.uri().path() == "/slow" {
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    if !websocket::is_upgrade(request.headers()) {
        let version = Bytes::from(format!("{:?}", request.version()));
        let mut response = Response::new(client::Body::from(version));
        if ["/going-on", "/collected", "/last"].contains(&request.uri().path()) {
            response.extensions_mut().insert(GoesOn);
        }
        // As an application around the node may do, which reads the answer first.
        match request.uri().path() {
            "/collected" => drop(response.headers_mut().insert("content-length", 8.into())),
            "/last" => drop(response.headers_mut().insert("connection", "close".parse().unwrap())),
            _ => {}
        }
        return Ok(response);
    }
    let upgrade = hyper::upgrade::on(&mut request);
    let (parts, _) = request.into_parts();
    let accepted = websocket::accept(&parts);
    if accepted.is_ok() {
        tasks.spawn(Span::none(), async move {
            let io = TokioIo::new(upgrade.await.unwrap());
            echo(Socket::new(io, Bytes::new(), Reader::new(1024))).await;
        });
    }
    Ok(accepted.unwrap_or_else(Response::from))
}

async fn echo(mut socket: Socket<TokioIo<hyper::upgrade::Upgraded>>) {
    while let client::Incoming::Message(message) = poll_fn(|cx| socket.poll_next(cx)).await {
        socket.push(client::frame::binary(message.as_bytes()));
        poll_fn(|cx| socket.poll_flush(cx)).await.unwrap();
    }
    let _ = timeout(SOON, poll_fn(|cx| socket.poll_shutdown(cx))).await;
}

fn start(limits: Limits) -> (SocketAddr, Tasks) {
    let tasks = Tasks::default();
    let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = listener.local_addr().unwrap();
    let (serving, spawned) = (tasks.clone(), tasks.clone());
    tasks.spawn(Span::none(), async move {
        let service = service_fn(move |request| answer(spawned.clone(), request));
        serve(listener, service, None, &Slots::new(16), &serving, limits).await;
    });
    (addr, tasks)
}

/// Sends `request` as it is, and returns all that comes until the connection ends.
async fn raw(addr: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let _ = timeout(SOON, stream.read_to_end(&mut answer)).await.expect("the server hangs up");
    String::from_utf8_lossy(&answer).into_owned()
}

fn client(http2: bool) -> Client<HttpConnector, Empty<Bytes>> {
    Client::builder(TokioExecutor::new()).http2_only(http2).build_http()
}

#[tokio::test]
async fn both_versions_are_spoken_on_one_port() {
    let (addr, tasks) = start(Limits::default());
    for (http2, version) in [(false, "HTTP/1.1"), (true, "HTTP/2.0")] {
        let client = client(http2);
        for _ in 0..3 {
            let response = client.get(format!("http://{addr}/").parse().unwrap()).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), version);
        }
    }
    timeout(SOON, tasks.shutdown(SOON)).await.unwrap();
}

#[tokio::test]
async fn a_websocket_is_served_by_its_own_task() {
    let (addr, tasks) = start(Limits::default());
    let (mut socket, _) = connect_async(format!("ws://{addr}/chat")).await.unwrap();
    use futures_util::{SinkExt, StreamExt};
    socket.send(Message::text("hi")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::binary("hi"));
    socket.close(None).await.unwrap();
    assert!(matches!(socket.next().await, Some(Ok(Message::Close(_)))));
    assert!(socket.next().await.is_none());
    drop(socket);
    timeout(SOON, tasks.shutdown(SOON)).await.unwrap();
}

#[tokio::test]
async fn a_bad_upgrade_is_refused_with_a_sentence() {
    let (addr, _tasks) = start(Limits::default());
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\n\
                   Upgrade: websocket\r\nSec-WebSocket-Version: 8\r\n\r\n";
    let answer = raw(addr, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
    assert!(answer.ends_with("only version 13 of WebSocket is spoken here\n"), "{answer}");
    let error = connect_async(format!("ws://{addr}")).await.map(drop);
    assert!(!matches!(error, Err(tungstenite::Error::Http(_))));
}

#[tokio::test]
async fn heads_that_are_too_big_are_refused() {
    let (addr, _tasks) = start(Limits::default());
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n", "x".repeat(17 * 1024));
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "a: b\r\n".repeat(65));
    for head in [long, many] {
        let answer = raw(addr, head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 431 ") || answer.is_empty(), "{answer}");
    }
    let fits = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nA: {}\r\n{}\r\n",
        "x".repeat(15 * 1024),
        "a: b\r\n".repeat(60)
    );
    assert!(raw(addr, fits.as_bytes()).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn who_says_too_little_is_hung_up_on() {
    let limits = Limits { head_patience: Duration::from_millis(100), ..Limits::default() };
    let (addr, _tasks) = start(limits);
    for beginning in ["", "P", "PRI", "GET", "GET / HTTP/1.1\r\nHost:", "POST"] {
        let answer = raw(addr, beginning.as_bytes()).await;
        assert!(!answer.contains("200"), "{beginning:?}: {answer}");
    }
}

#[tokio::test]
async fn who_asked_over_http2_may_ask_again_later() {
    let limits = Limits { head_patience: Duration::from_millis(100), ..Limits::default() };
    let (addr, tasks) = start(limits);
    let io = TokioIo::new(TcpStream::connect(addr).await.unwrap());
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tasks.spawn(Span::none(), async move { drop(connection.await) });
    for _ in 0..3 {
        let request = Request::get(format!("http://{addr}/")).body(Empty::<Bytes>::new()).unwrap();
        assert_eq!(client.send_request(request).await.unwrap().status(), StatusCode::OK);
        tokio::time::sleep(limits.head_patience * 2).await;
    }
}

#[tokio::test]
async fn answers_that_go_on_take_turns_with_others_on_one_connection() {
    let (addr, tasks) = start(Limits::default());
    let ask = |path, more| format!("GET {path} HTTP/1.1\r\nHost: a\r\n{more}\r\n");
    let requests = ["/going-on", "/", "/going-on", "/slow", "/going-on"];
    let mut ahead = requests.map(|path| ask(path, "")).concat();
    ahead += &ask("/going-on", "Connection: close\r\n");
    let answer = raw(addr, ahead.as_bytes()).await;
    let bodies: Vec<_> = answer.split("\r\n\r\nHTTP/1.1 200 OK\r\n").collect();
    assert_eq!(answer.matches("HTTP/1.1 200 OK\r\n").count(), 6, "{answer}");
    assert_eq!(answer.matches("\r\n\r\n8\r\nHTTP/1.1\r\n0\r\n\r\n").count(), 4, "{answer}");
    assert_eq!(answer.matches("\r\n\r\nHTTP/1.1HTTP/1.1 200").count(), 2, "{bodies:?}");
    assert!(answer.ends_with("0\r\n\r\n"), "{answer}");
    timeout(SOON, tasks.shutdown(SOON)).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_in_chunks_is_not_lent() {
    let (addr, _tasks) = start(Limits::default());
    let old = "GET /going-on HTTP/1.0\r\nHost: a\r\n\r\n";
    let answer = raw(addr, old.as_bytes()).await;
    assert!(answer.ends_with("\r\n\r\nHTTP/1.0"), "{answer}");
    let posted = "POST /going-on HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
                  Content-Length: 2\r\n\r\nhi";
    let answer = raw(addr, posted.as_bytes()).await;
    assert!(answer.ends_with("\r\n\r\nHTTP/1.1"), "{answer}");
    let collected = "GET /collected HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2)
        + "GET /collected HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = raw(addr, collected.as_bytes()).await;
    assert_eq!(answer.matches("content-length: 8\r\n").count(), 3, "{answer}");
    assert_eq!(answer.matches("\r\n\r\nHTTP/1.1HTTP/1.1 200 OK\r\n").count(), 2, "{answer}");
    assert!(answer.ends_with("\r\n\r\nHTTP/1.1"), "{answer}");
}

#[tokio::test]
async fn what_is_announced_to_be_the_last_answer_is_the_last() {
    let (addr, _tasks) = start(Limits::default());
    let request = "GET /last HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2);
    let answer = raw(addr, request.as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK\r\n").count(), 1, "{answer}");
    assert!(answer.ends_with("\r\n\r\n8\r\nHTTP/1.1\r\n0\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn garbage_does_no_harm() {
    let limits = Limits { head_patience: Duration::from_millis(100), ..Limits::default() };
    let (addr, _tasks) = start(limits);
    let garbage: [&[u8]; 7] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a client hello\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\xff\xff\xff\xff\xff\xff\xff",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
        b"PRI garbage that is not HTTP/2 at all, not even a little",
        b"\0\0\0\0\0\0\0\0\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    ];
    for bytes in garbage {
        assert!(!raw(addr, bytes).await.contains("200 OK"));
    }
    let response = client(false).get(format!("http://{addr}/").parse().unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn requests_under_way_are_answered_at_shutdown() {
    let (addr, tasks) = start(Limits::default());
    for http2 in [false, true] {
        // Idle connections must not hold the shutdown up.
        let response = client(http2).get(format!("http://{addr}/").parse().unwrap());
        assert!(response.await.is_ok());
    }
    let slow: Vec<_> = [false, true]
        .into_iter()
        .map(|http2| client(http2).get(format!("http://{addr}/slow").parse().unwrap()))
        .collect();
    let slow = futures_util::future::join_all(slow);
    let shutdown = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        timeout(SOON, tasks.shutdown(SOON)).await.expect("the server ends");
    };
    let (answers, ()) = tokio::join!(slow, shutdown);
    for answer in answers {
        assert_eq!(answer.unwrap().status(), StatusCode::OK);
    }
    assert!(TcpStream::connect(addr).await.is_err());
}
