//! The cases of Autobahn, the test suite of WebSockets, against a node.
//!
//! They are run by `kosoku`, from PyPI. On a machine without it (`bash tests/all.sh` installs it)
//! they are skipped, loudly; where CI is set, that is a failure.
//!
//! Left out are group 9, whose messages are larger than a node takes, and the groups 12 and 13, which
//! are about compression: that is not offered (see README.md).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{collections::BTreeMap, io, net::SocketAddr, path::Path, time::Duration};

use exosphere::{Close, Message, Session};
use serde_json::Value;
use support::{Place, limit, spawn, within};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// How long all cases may take. Some of them wait for a second whether more comes.
const CASES_PATIENCE: Duration = Duration::from_secs(180);

/// How many cases there are, so that none is left out by mistake.
const CASES: usize = 247;

/// The verdicts with which a case is passed: the RFC leaves some things open, and some cases only
/// want to know what happens.
const PASSED: [&str; 3] = ["OK", "NON-STRICT", "INFORMATIONAL"];

/// The first byte of a ping.
const PING: u8 = 0x89;

/// What is said comes back to who said it: text as text, and bytes as bytes.
async fn echo(session: Session, message: Message) -> Result<(), Close> {
    session.send(message).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_passes_every_case_of_autobahn() {
    let Some(kosoku) = support::kosoku() else { return };
    let node = Place::new("autobahn").node().route("/echo", echo).start().await.unwrap();
    let http = support::serve(&node);
    let http = without_pings(http).await;
    let outdir = tempfile::tempdir().unwrap();
    let mut command = tokio::process::Command::new(kosoku);
    command.args(["-x", "9.*", "-x", "12.*", "-x", "13.*", "-o"]).arg(outdir.path());
    command.arg(format!("ws://{http}/echo")).kill_on_drop(true);
    let output = within(limit(CASES_PATIENCE), "all cases", command.output()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}{}", String::from_utf8_lossy(&output.stderr));
    let verdicts = verdicts(&outdir.path().join("index.json"));
    let mut counts = BTreeMap::<_, usize>::new();
    for (case, verdict) in &verdicts {
        *counts.entry(verdict).or_default() += 1;
        let is_passed = verdict.iter().all(|it| PASSED.contains(&it.as_str()));
        assert!(is_passed, "case {case}: {verdict:?}");
    }
    println!("{} cases: {counts:?}", verdicts.len());
    assert_eq!(verdicts.len(), CASES);
    assert!(output.status.success(), "{said}");
}

/// Where the same is served as at `http`, but for the node's pings.
async fn without_pings(http: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let node = TcpStream::connect(http).await.unwrap();
            client.set_nodelay(true).unwrap();
            node.set_nodelay(true).unwrap();
            let (mut from_client, to_client) = client.into_split();
            let (from_node, mut to_node) = node.into_split();
            spawn(async move {
                let _ = tokio::io::copy(&mut from_client, &mut to_node).await; // It may break off.
                let _ = to_node.shutdown().await;
            });
            spawn(async move {
                let _ = relay(from_node, to_client).await; // It may break off, too.
            });
        }
    });
    addr
}

/// Relays the head of a response, and then frames that are no pings.
async fn relay(node: OwnedReadHalf, mut client: OwnedWriteHalf) -> io::Result<()> {
    let mut node = BufReader::new(node);
    let mut line = Vec::new();
    while line != b"\r\n" {
        line.clear();
        if node.read_until(b'\n', &mut line).await? == 0 {
            break;
        }
        client.write_all(&line).await?;
    }
    loop {
        let mut frame = vec![0; 2];
        node.read_exact(&mut frame).await?;
        let more = match frame[1] {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        frame.resize(2 + more, 0);
        node.read_exact(&mut frame[2..]).await?;
        let long = frame[2..].iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        let length = if more > 0 { long } else { frame[1].into() };
        let head = frame.len();
        frame.resize(head + length, 0);
        node.read_exact(&mut frame[head..]).await?;
        if frame[0] != PING {
            client.write_all(&frame).await?;
        }
    }
}

/// For each case, what became of what was said, and of the close.
fn verdicts(report: &Path) -> BTreeMap<String, [String; 2]> {
    let report: Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    let agents = report.as_object().unwrap();
    let cases = agents.values().flat_map(|cases| cases.as_object().unwrap());
    let verdict = |case: &Value, of: &str| case[of].as_str().unwrap().to_owned();
    cases
        .map(|(name, case)| {
            (name.clone(), [verdict(case, "behavior"), verdict(case, "behaviorClose")])
        })
        .collect()
}
