//! Requests that are malformed, or that two readers could read differently (request smuggling): each
//! has its defined answers, nothing is published that was not asked for, no answer has a header that
//! the request made up, and the node goes on.
//!
//! A row is the bytes of a connection, the statuses of all answers that come on it before the node
//! ends it, and what is published. In the bytes, `{H}` is the right `Host`, `{P}` the beginning of a
//! POST to the room, `{W}` the headers of a right upgrade, `{S}` a whole request that publishes
//! `forged`, and `{E}` a last request, which is answered by 404. After 101, the code of the close
//! counts as a status.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::net::SocketAddr;

use support::{Client, PATIENCE, Place, frame, post, publish, serve, within};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const MIB: usize = 1 << 20;

/// What is wrong, the bytes, the statuses, and what is published.
type Row = (&'static str, &'static str, &'static [u16], &'static [&'static str]);

const LENGTHS: &[Row] = &[
    ("two lengths", "{P}Content-Length: 0\r\nContent-Length: 90\r\n\r\n{S}", &[400], &[]),
    (
        "two lengths, the same",
        "{P}Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi{E}",
        &[200, 404],
        &["hi"],
    ),
    ("a list of lengths", "{P}Content-Length: 0, 90\r\n\r\n{S}", &[400], &[]),
    ("a length below zero", "{P}Content-Length: -1\r\n\r\n{S}", &[400], &[]),
    ("a length with a sign", "{P}Content-Length: +6\r\n\r\nforged", &[400], &[]),
    ("a length in hex", "{P}Content-Length: 0x6\r\n\r\nforged", &[400], &[]),
    ("a length and more", "{P}Content-Length: 6;x\r\n\r\nforged", &[400], &[]),
    ("a length in two parts", "{P}Content-Length: 6 6\r\n\r\nforged", &[400], &[]),
    ("no length", "{P}Content-Length:\r\n\r\nforged", &[400], &[]),
    (
        "a length beyond 64 bits",
        "{P}Content-Length: 18446744073709551622\r\n\r\nforged",
        &[400],
        &[],
    ),
    ("a length beyond the limit", "{P}Content-Length: 1048577\r\n\r\nforged", &[413], &[]),
    (
        "a body of GET",
        "GET /nowhere HTTP/1.1\r\n{H}Content-Length: 6\r\n\r\nforged{E}",
        &[404, 404],
        &[],
    ),
];

const CODINGS: &[Row] = &[
    (
        "CL.TE",
        "{P}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n{S}",
        &[200],
        &["hi"],
    ),
    (
        "TE.CL",
        "{P}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n2\r\nhi\r\n0\r\n\r\n{S}",
        &[200],
        &["hi"],
    ),
    (
        "TE.CL, a length of 0",
        "{P}Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n2\r\nhi\r\n0\r\n\r\n{S}",
        &[200],
        &["hi"],
    ),
    ("chunked is not last", "{P}Transfer-Encoding: chunked, identity\r\n\r\n{S}", &[400], &[]),
    ("identity", "{P}Transfer-Encoding: identity\r\n\r\n{S}", &[400], &[]),
    ("an unknown coding", "{P}Transfer-Encoding: xchunked\r\n\r\n{S}", &[400], &[]),
    ("gzip", "{P}Transfer-Encoding: gzip, chunked\r\n\r\n6\r\nforged\r\n0\r\n\r\n{S}", &[501], &[]),
    (
        "chunked twice",
        "{P}Transfer-Encoding: chunked, chunked\r\n\r\n6\r\nforged\r\n0\r\n\r\n{S}",
        &[501],
        &[],
    ),
    (
        "two headers of coding",
        "{P}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n{S}",
        &[400],
        &[],
    ),
    ("a coding, and a space", "{P}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n{S}", &[400], &[]),
    ("a coding, folded", "{P}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n{S}", &[400], &[]),
    ("a coding behind a tab", "{P}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n{S}", &[400], &[]),
    ("a coding in quotes", "{P}Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n{S}", &[400], &[]),
    (
        "a coding in HTTP/1.0",
        "POST /chat/room HTTP/1.0\r\n{H}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{S}",
        &[400],
        &[],
    ),
];

const CHUNKS: &[Row] = &[
    (
        "a chunk extension",
        "{P}Transfer-Encoding: chunked\r\n\r\n2;a=b\r\nhi\r\n0\r\n\r\n{E}",
        &[200, 404],
        &["hi"],
    ),
    (
        "a chunk extension with a line feed",
        "{P}Transfer-Encoding: chunked\r\n\r\n6;\nforged\r\n0\r\n\r\n{S}",
        &[400],
        &[],
    ),
    (
        "a chunk size that ends in a line feed",
        "{P}Transfer-Encoding: chunked\r\n\r\n6\nforged\r\n0\r\n\r\n{S}",
        &[400],
        &[],
    ),
    (
        "a chunk size beyond 64 bits",
        "{P}Transfer-Encoding: chunked\r\n\r\n10000000000000006\r\nforged\r\n0\r\n\r\n{S}",
        &[400],
        &[],
    ),
    (
        "a chunk size below zero",
        "{P}Transfer-Encoding: chunked\r\n\r\n-6\r\nforged\r\n0\r\n\r\n{S}",
        &[400],
        &[],
    ),
    (
        "a chunk size with a prefix",
        "{P}Transfer-Encoding: chunked\r\n\r\n0x6\r\nforged\r\n0\r\n\r\n{S}",
        &[400],
        &[],
    ),
    (
        "no chunk size",
        "{P}Transfer-Encoding: chunked\r\n\r\n\r\nforged\r\n0\r\n\r\n{S}",
        &[400],
        &[],
    ),
    (
        "a chunk longer than its size",
        "{P}Transfer-Encoding: chunked\r\n\r\n3\r\nforged\r\n0\r\n\r\n{S}",
        &[400],
        &[],
    ),
    (
        "trailers",
        "{P}Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nHost: evil\r\nContent-Length: 9\r\n\r\n{E}",
        &[200, 404],
        &["hi"],
    ),
];

const HEADS: &[Row] = &[
    ("a folded header", "{P}X-A: b\r\n c\r\nContent-Length: 6\r\n\r\nforged", &[400], &[]),
    (
        "lines that end in a line feed",
        "GET /nowhere HTTP/1.1\nHost: 127.0.0.1\nConnection: close\n\n",
        &[404],
        &[],
    ),
    ("a carriage return in a header", "{P}X-A: b\rContent-Length: 6\r\n\r\nforged", &[400], &[]),
    ("a carriage return in the first line", "POST /chat/room\r HTTP/1.1\r\n{H}\r\n", &[400], &[]),
    ("a NUL in a header", "{P}X-A: b\0c\r\n\r\n", &[400], &[]),
    ("a NUL in the path", "POST /chat/\0 HTTP/1.1\r\n{H}\r\n", &[400], &[]),
    ("a space in a name", "{P}X A: b\r\n\r\n", &[400], &[]),
    ("no name", "{P}: b\r\n\r\n", &[400], &[]),
    ("no colon", "{P}X-A\r\n\r\n", &[400], &[]),
    ("two spaces", "POST  /chat/room HTTP/1.1\r\n{H}Content-Length: 6\r\n\r\nforged", &[400], &[]),
    ("HTTP/0.9", "GET /chat/room\r\n\r\n", &[400], &[]),
    ("HTTP/1.2", "POST /chat/room HTTP/1.2\r\n{H}Content-Length: 6\r\n\r\nforged", &[400], &[]),
    ("HTTP/3.0", "POST /chat/room HTTP/3.0\r\n{H}Content-Length: 6\r\n\r\nforged", &[400], &[]),
    (
        "a method in lower case",
        "post /chat/room HTTP/1.1\r\n{H}Connection: close\r\nContent-Length: 6\r\n\r\nforged",
        &[405],
        &[],
    ),
    ("TRACE", "TRACE /chat/room HTTP/1.1\r\n{H}X-Forged: 1\r\n\r\n{E}", &[405, 404], &[]),
    ("CONNECT", "CONNECT evil:80 HTTP/1.1\r\n{H}Connection: close\r\n\r\n{S}", &[400], &[]),
    (
        "another method in a header",
        "GET /nowhere HTTP/1.1\r\n{H}X-HTTP-Method-Override: POST\r\n\r\n{E}",
        &[404, 404],
        &[],
    ),
];

const TARGETS: &[Row] = &[
    ("no host", "POST /chat/room HTTP/1.1\r\nContent-Length: 6\r\n\r\nforged", &[400], &[]),
    ("two hosts", "{P}Host: evil\r\nContent-Length: 6\r\n\r\nforged", &[400], &[]),
    (
        "another host",
        "POST /chat/room HTTP/1.1\r\nHost: evil\r\nConnection: close\r\nContent-Length: 6\r\n\r\nforged",
        &[403],
        &[],
    ),
    (
        "another host in the target",
        "POST http://evil/chat/room HTTP/1.1\r\n{H}Content-Length: 6\r\n\r\nforged",
        &[400],
        &[],
    ),
    (
        "another host behind the right one",
        "POST http://evil/chat/room HTTP/1.1\r\nHost: evil\r\nX-Forwarded-Host: 127.0.0.1\r\nConnection: close\r\nContent-Length: 6\r\n\r\nforged",
        &[403],
        &[],
    ),
    (
        "the same host in the target",
        "POST http://{A}/chat/room HTTP/1.1\r\n{H}Content-Length: 2\r\n\r\nhi{E}",
        &[200, 404],
        &["hi"],
    ),
    (
        "an escape that is none",
        "POST /chat/%zz HTTP/1.1\r\n{H}Connection: close\r\nContent-Length: 6\r\n\r\nforged",
        &[400],
        &[],
    ),
    (
        "half an escape",
        "POST /chat/room% HTTP/1.1\r\n{H}Connection: close\r\nContent-Length: 6\r\n\r\nforged",
        &[400],
        &[],
    ),
    (
        "a slash that is escaped",
        "POST /chat%2froom HTTP/1.1\r\n{H}Connection: close\r\nContent-Length: 6\r\n\r\nforged",
        &[400],
        &[],
    ),
    (
        "a way up",
        "POST /chat/%2e%2e HTTP/1.1\r\n{H}Connection: close\r\nContent-Length: 6\r\n\r\nforged",
        &[400],
        &[],
    ),
    (
        "line ends in the path",
        "GET /chat/a%0d%0aX-Forged:%201 HTTP/1.1\r\n{H}\r\n{E}",
        &[400, 404],
        &[],
    ),
    (
        "two origins",
        "{P}Origin: http://{A}\r\nOrigin: http://evil\r\nContent-Length: 6\r\n\r\nforged",
        &[400],
        &[],
    ),
];

const PARAMETERS: &[Row] = &[
    (
        "a host",
        "POST /chat/room?Host={A} HTTP/1.1\r\nHost: evil\r\nConnection: close\r\nContent-Length: 6\r\n\r\nforged",
        &[403],
        &[],
    ),
    (
        "an origin",
        "POST /chat/room?Origin=http://{A} HTTP/1.1\r\n{H}Origin: http://evil\r\nConnection: close\r\nContent-Length: 6\r\n\r\nforged",
        &[403],
        &[],
    ),
    (
        "a length",
        "POST /chat/room?Content-Length=0&Transfer-Encoding=chunked HTTP/1.1\r\n{H}Content-Length: 2\r\n\r\nhi{E}",
        &[200, 404],
        &["hi"],
    ),
    (
        "an upgrade",
        "GET /chat/room?Upgrade=websocket&Connection=Upgrade HTTP/1.1\r\n{H}\r\n{E}",
        &[200, 404],
        &[],
    ),
    (
        "a body",
        "GET /chat/room?X-Atmosphere-Post-Body=forged HTTP/1.1\r\n{H}\r\n{E}",
        &[200, 404],
        &[],
    ),
    (
        "line ends in an id",
        "POST /chat/room?X-Atmosphere-tracking-id=%0d%0aX-Forged:%201 HTTP/1.1\r\n{H}Content-Length: 2\r\n\r\nhi{E}",
        &[200, 404],
        &["hi"],
    ),
    (
        "line ends in a transport",
        "GET /chat/room?X-Atmosphere-Transport=sse%0d%0aX-Forged:%201 HTTP/1.1\r\n{H}\r\n{E}",
        &[200, 404],
        &[],
    ),
    (
        "line ends in a callback",
        "GET /chat/room?X-Atmosphere-Transport=jsonp&jsonpTransport=a%0d%0aX-Forged:%201 HTTP/1.1\r\n{H}\r\n{E}",
        &[400, 404],
        &[],
    ),
    (
        "line ends in a position",
        "GET /chat/room?X-Exosphere-Position=%0d%0aX-Forged:%201 HTTP/1.1\r\n{H}\r\n{E}",
        &[400, 404],
        &[],
    ),
    (
        "a NUL in a last event",
        "GET /nowhere HTTP/1.1\r\n{H}Accept: text/event-stream\r\nLast-Event-ID: a\0b\r\n\r\n",
        &[400],
        &[],
    ),
];

const UPGRADES: &[Row] = &[
    (
        "no connection",
        "GET /chat/room HTTP/1.1\r\n{H}Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n{E}",
        &[200, 404],
        &[],
    ),
    (
        "no upgrade",
        "GET /chat/room HTTP/1.1\r\n{H}Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n{E}",
        &[200, 404],
        &[],
    ),
    (
        "another upgrade",
        "GET /chat/room HTTP/1.1\r\n{H}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n{E}",
        &[200, 404],
        &[],
    ),
    (
        "a short key",
        "GET /chat/room HTTP/1.1\r\n{H}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: c2hvcnQ=\r\n\r\n{E}",
        &[400, 404],
        &[],
    ),
    (
        "two keys",
        "GET /chat/room HTTP/1.1\r\n{H}{W}Sec-WebSocket-Key: AGhlIHNhbXBsZSBub25jZQ==\r\n\r\n{E}",
        &[400, 404],
        &[],
    ),
    (
        "version 12",
        "GET /chat/room HTTP/1.1\r\n{H}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 12\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n{E}",
        &[426, 404],
        &[],
    ),
    ("HTTP/1.0", "GET /chat/room HTTP/1.0\r\n{H}{W}\r\n", &[426], &[]),
    (
        "a body",
        "GET /chat/room HTTP/1.1\r\n{H}{W}Connection: close\r\nContent-Length: 6\r\n\r\nforged",
        &[400],
        &[],
    ),
    (
        "a body in chunks",
        "GET /chat/room HTTP/1.1\r\n{H}{W}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        &[400],
        &[],
    ),
    ("a request before the 101", "GET /chat/room HTTP/1.1\r\n{H}{W}\r\n{S}", &[101, 1002], &[]),
    (
        "a frame before the 101",
        "GET /chat/room HTTP/1.1\r\n{H}{W}\r\n{F}",
        &[101, 1000],
        &["early"],
    ),
    (
        "a request before a 501",
        "GET /chat/room?X-Exosphere-Postman=9 HTTP/1.1\r\n{H}{W}\r\n{E}",
        &[501, 404],
        &[],
    ),
];

#[tokio::test]
async fn a_request_that_can_be_read_in_two_ways_is_answered_in_one() {
    let place = Place::new("smuggling");
    let node = place.node().route("/chat/{room}", publish).start().await.unwrap();
    let http = serve(&node);
    let mut client = Client::new(http, "/chat/room").await;
    let tables = [LENGTHS, CODINGS, CHUNKS, HEADS, TARGETS, PARAMETERS, UPGRADES];
    let mut wrong = Vec::new();
    for (what, bytes, statuses, published) in tables.into_iter().flatten() {
        let answers = exchange(http, &spelled(bytes, http)).await;
        let found: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        if found != *statuses {
            wrong.push(format!("{what}: {found:?} and not {statuses:?}: {answers:?}"));
        }
        for answer in &answers {
            assert!(!answer.head.to_lowercase().contains("\nx-forged"), "{what}: {answer:?}");
        }
        assert_eq!(post(http, "/chat/room", what.as_bytes()).await.status, 200, "{what}");
        let mut texts = vec![client.text().await];
        while texts.last().is_some_and(|text| text != what) {
            texts.push(client.text().await);
        }
        texts.pop();
        if texts != *published {
            wrong.push(format!("{what}: published {texts:?} and not {published:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let count: usize = tables.iter().map(|table| table.len()).sum();
    assert!(count >= 60, "{count} requests");
}

/// What is too long, one by one.
#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let place = Place::new("heads");
    let node = place.node().route("/chat/{room}", publish).start().await.unwrap();
    let http = serve(&node);
    let mut client = Client::new(http, "/chat/room").await;
    let begin = format!("POST /chat/room HTTP/1.1\r\nHost: {http}\r\n");
    let end = "Content-Length: 6\r\n\r\nforged";
    let chunked = format!("{begin}Transfer-Encoding: chunked\r\n\r\n");
    let x = |count| "x".repeat(count);
    for (what, bytes, status) in [
        ("65 headers", format!("{begin}{}{end}", "X-A: b\r\n".repeat(63)), 431),
        ("a header of 20,000 bytes", format!("{begin}X-A: {}\r\n{end}", x(20_000)), 431),
        ("a name of 20,000 bytes", format!("{begin}{}: b\r\n{end}", x(20_000)), 431),
        ("20,000 bytes of query", format!("POST /chat/room?{} HTTP/1.1\r\n", x(20_000)), 431),
        ("70,000 bytes of path", format!("POST /chat/{} HTTP/1.1\r\n", x(70_000)), 431),
        ("20,000 bytes of method", x(20_000), 431),
        (
            "a chunk extension of 20,000 bytes",
            format!("{chunked}6;{}\r\nforged\r\n0\r\n\r\n", x(20_000)),
            400,
        ),
        ("a chunk beyond the limit", format!("{chunked}fffffffe\r\n{}", x(MIB + 1)), 413),
        (
            "1,000,000 bytes of trailers",
            format!("{chunked}0\r\n{}\r\n", format!("X-A: {}\r\n", x(993)).repeat(1000)),
            400,
        ),
    ] {
        let answers = exchange(http, bytes.as_bytes()).await;
        let found: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(found, [status], "{what}");
        assert_eq!(post(http, "/chat/room", what.as_bytes()).await.status, 200, "{what}");
        assert_eq!(client.text().await, what);
    }
    let answers = exchange(
        http,
        format!("{begin}Connection: close\r\n{}{end}", "X-A: b\r\n".repeat(61)).as_bytes(),
    )
    .await;
    assert_eq!(answers[0].status, 200, "64 headers are not too many");
    assert_eq!(client.text().await, "forged");
}

/// The bytes of a row.
fn spelled(bytes: &str, http: SocketAddr) -> Vec<u8> {
    let early = [frame(0x81, b"early"), frame(0x88, &1000_u16.to_be_bytes())].concat();
    let text = bytes
        .replace("{S}", "{P}Content-Length: 6\r\n\r\nforged")
        .replace("{P}", "POST /chat/room HTTP/1.1\r\n{H}")
        .replace("{E}", "GET /nowhere HTTP/1.1\r\n{H}Connection: close\r\n\r\n")
        .replace(
            "{W}",
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        )
        .replace("{H}", "Host: {A}\r\n")
        .replace("{A}", &http.to_string());
    match text.strip_suffix("{F}") {
        Some(text) => [text.as_bytes(), &early].concat(),
        None => text.into_bytes(),
    }
}

/// An answer, or a close.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
}

/// Sends these bytes, and takes all answers until the node ends the connection.
async fn exchange(http: SocketAddr, bytes: &[u8]) -> Vec<Answer> {
    let mut stream = TcpStream::connect(http).await.unwrap();
    let mut received = Vec::new();
    let exchange = async {
        let (mut reading, mut writing) = stream.split();
        // Who is refused may be so before all was sent.
        let write = writing.write_all(bytes);
        let _ = tokio::join!(reading.read_to_end(&mut received), write);
    };
    let what = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
    within(PATIENCE, &format!("the end of {what:?}"), exchange).await;
    read_answers(&received)
}

fn read_answers(mut rest: &[u8]) -> Vec<Answer> {
    let mut answers = Vec::new();
    while let Some(end) = rest.windows(4).position(|four| four == b"\r\n\r\n") {
        let head = String::from_utf8(rest[..end + 2].to_vec()).unwrap();
        rest = &rest[end + 4..];
        let status = head.strip_prefix("HTTP/1.").and_then(|head| head[2..5].parse().ok());
        let status = status.unwrap_or_else(|| panic!("{head:?}"));
        let lower = head.to_lowercase();
        let length = lower.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length = length.map_or(0, |length| length.parse().unwrap());
        answers.push(Answer { status, head });
        if status == 101 {
            answers.extend(read_close(rest));
            return answers;
        }
        rest = &rest[length..];
    }
    assert!(rest.is_empty(), "{:?} after {answers:?}", String::from_utf8_lossy(rest));
    answers
}

/// The close among the frames of a node, none of which is long.
fn read_close(mut frames: &[u8]) -> Option<Answer> {
    while let [first, length, rest @ ..] = frames {
        let (payload, rest) = rest.split_at(usize::from(*length));
        if *first == 0x88 {
            let status = u16::from_be_bytes([payload[0], payload[1]]);
            return Some(Answer { status, head: String::new() });
        }
        frames = rest;
    }
    None
}
