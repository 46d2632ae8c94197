//! Event streams as others read them: the reader from npm, and Chromium's own.
//!
//! Whatever a text says, it is one event, with this very text; nothing in it ends the event, begins
//! another, or is taken for a field; wherever the stream is cut into pieces.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{io, net::SocketAddr};

use serde_json::Value;
use support::{Place, alone, publish, serve, spawn};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// What is published, and what is read, where that is not the same: a reader takes every line end for
/// a line feed.
const TEXTS: [(&str, Option<&str>); 52] = [
    ("plain", None),
    ("", None),
    (" ", None),
    ("   three in front, two behind  ", None),
    ("\t", None),
    ("\n", None),
    ("\n\n\n", None),
    ("\r", Some("\n")),
    ("\r\r", Some("\n\n")),
    ("\r\n", Some("\n")),
    ("\n\r", Some("\n\n")),
    ("\r\n\r\n", Some("\n\n")),
    ("a\nb", None),
    ("a\rb", Some("a\nb")),
    ("a\r\nb", Some("a\nb")),
    ("a\n b\n  c", None),
    (" a\n\n b", None),
    ("ends in a line feed\n", None),
    ("ends in two\n\n", None),
    ("ends in a carriage return\r", Some("ends in a carriage return\n")),
    ("data:forged", None),
    ("data: forged", None),
    ("data", None),
    ("\n\ndata:forged\n\n", None),
    ("\r\rdata:forged\r\r", Some("\n\ndata:forged\n\n")),
    ("\r\n\r\ndata:forged\r\n\r\n", Some("\n\ndata:forged\n\n")),
    ("a\n\nevent:forged\ndata:forged\n\n", None),
    ("event: forged", None),
    ("a\nevent: forged\ndata: forged", None),
    ("id:7", None),
    ("a\nid:7", None),
    ("a\n\nid:7\n\n", None),
    ("id:\0", None),
    ("a\nid", None),
    ("retry:1", None),
    ("a\n\nretry:1\n\n", None),
    (":", None),
    (":comment\n:another", None),
    ("\n:", None),
    ("\0", None),
    ("a\0\nb\0", None),
    ("\u{feff}", None),
    ("\u{feff}data:forged", None),
    ("a\n\u{feff}\n\u{feff}b", None),
    ("\u{2028}data:forged\u{2029}", None),
    ("\u{85}data:forged\u{0b}\u{0c}", None),
    ("\u{1f600}\u{e9}|\u{10ffff}", None),
    ("e\u{301}\u{200d}\u{202e}\u{fffd}", None),
    ("a|X", None),
    ("3|abc5|forged", None),
    ("{\"a\": \"b\\n\\nc\"}", None),
    ("the end", None),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_is_one_event_whatever_it_says_and_however_it_is_cut() {
    let _alone = alone().await;
    if !support::has_stock_clients() {
        return;
    }
    let place = Place::new("sse");
    let node = place.node().route("/chat/{room}", publish).start().await.unwrap();
    let http = serve(&node);
    let cut = cut_into_bytes(http).await;
    let texts = place.dir().join("texts.json");
    let published: Vec<&str> = TEXTS.iter().map(|(text, _)| *text).collect();
    std::fs::write(&texts, serde_json::to_string(&published).unwrap()).unwrap();
    let target = format!("http://{http}/chat/a");
    let framed = "X-Atmosphere-TrackMessageSize=true";
    let urls = [http, cut]
        .map(|at| [format!("http://{at}/chat/a"), format!("http://{at}/chat/a?{framed}")]);
    let mut args = vec!["events.mjs", texts.to_str().unwrap(), &target];
    args.extend(urls.as_flattened().iter().map(String::as_str));
    let chromium = support::chromium();
    if let Some(chromium) = &chromium {
        args.extend(["--chromium", chromium]);
    }
    let output = support::node_js(&args).output().await.unwrap();
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{why}");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let readers = told["readers"].as_array().unwrap();
    assert_eq!(readers.len(), if chromium.is_some() { 8 } else { 4 });
    for reader in readers {
        check(reader);
    }
}

/// What one reader saw.
fn check(reader: &Value) {
    let is_framed = reader["url"].as_str().unwrap().contains('?');
    let events = reader["events"].as_array().unwrap();
    let who = format!("{} at {}", reader["name"], reader["url"]);
    for ((text, seen), event) in TEXTS.iter().zip(events) {
        let seen = seen.unwrap_or(text);
        let expected = match is_framed {
            true => format!("{}|{seen}", seen.encode_utf16().count()),
            false => seen.to_owned(),
        };
        assert_eq!(event["data"], expected, "{who} of {text:?}");
        assert_eq!(event["kind"], "message", "{who} of {text:?}");
        // It is a position, or nothing yet.
        let id = event["id"].as_str().unwrap();
        assert!(id.is_empty() || id.len() > 8, "{who} of {text:?}: {id:?}");
    }
    assert_eq!(events.len(), TEXTS.len(), "{who}");
    assert_eq!((&reader["opened"], &reader["failed"]), (&1.into(), &0.into()), "{who}");
    assert_ne!(events[events.len() - 1]["id"], "", "{who} knows where it is");
}

/// Where the same is served as at `http`, but that each byte of a stream is a chunk of its own.
async fn cut_into_bytes(http: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let node = TcpStream::connect(http).await.unwrap();
            client.set_nodelay(true).unwrap();
            let (mut from_client, to_client) = client.into_split();
            let (from_node, mut to_node) = node.into_split();
            spawn(async move {
                let _ = tokio::io::copy(&mut from_client, &mut to_node).await; // It may break off.
            });
            spawn(async move {
                let _ = relay(BufReader::new(from_node), to_client).await; // It may break off, too.
            });
        }
    });
    addr
}

/// Relays answers, one after the other.
async fn relay(mut node: BufReader<OwnedReadHalf>, mut client: OwnedWriteHalf) -> io::Result<()> {
    loop {
        let (mut length, mut is_chunked) = (0, false);
        loop {
            let line = read_line(&mut node).await?;
            client.write_all(line.as_bytes()).await?;
            let lower = line.to_lowercase();
            is_chunked |= lower.starts_with("transfer-encoding: chunked");
            if let Some(value) = lower.strip_prefix("content-length: ") {
                length = value.trim_end().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        if is_chunked {
            cut_chunks(&mut node, &mut client).await?;
        }
        let mut body = vec![0; length];
        node.read_exact(&mut body).await?;
        client.write_all(&body).await?;
    }
}

/// Relays a body in chunks, as chunks of one byte each.
async fn cut_chunks(
    node: &mut BufReader<OwnedReadHalf>,
    client: &mut OwnedWriteHalf,
) -> io::Result<()> {
    loop {
        let size = usize::from_str_radix(read_line(node).await?.trim_end(), 16).unwrap();
        let mut chunk = vec![0; size + 2];
        node.read_exact(&mut chunk).await?;
        for &byte in &chunk[..size] {
            client.write_all(&[b'1', b'\r', b'\n', byte, b'\r', b'\n']).await?;
        }
        if size == 0 {
            return client.write_all(b"0\r\n\r\n").await;
        }
    }
}

async fn read_line(node: &mut BufReader<OwnedReadHalf>) -> io::Result<String> {
    let mut line = String::new();
    match node.read_line(&mut line).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(line),
    }
}
