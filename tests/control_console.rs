//! The console of Tower Control, in Chromium, on a live cluster with many clients.
//!
//! On a machine without Node, Chromium or the packages (`bash tests/all.sh` installs them) it is
//! skipped, loudly; where CI is set, that is a failure.

#![cfg(feature = "control")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use exosphere::Builder;
use support::{Chat, Mark, Place, Tower, alone, publish, shout, signed};

/// Goal: an operator sees what is there, and steers it, on every page, in both themes, on a wide screen
/// and on a phone; what clients say stays text; a node that is killed is shown as gone within 3 s.
///
/// `CLIENTS` says how many clients there are.
#[tokio::test]
async fn an_operator_sees_and_steers_a_live_cluster_in_a_browser() {
    let _alone = alone().await;
    let (true, Some(chromium)) = (support::has_stock_clients(), support::chromium()) else {
        return;
    };
    let place = Place::new("console");
    let (mut chats, mut controls) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let mut chat = Chat::join_with(&place, &["--control", "127.0.0.1:0"]).await;
        controls.push(chat.control().await);
        chats.push(chat);
    }
    for chat in &chats {
        chat.sees(3, Mark::default()).await;
    }
    let clients = std::env::var("CLIENTS").unwrap_or_else(|_| "60".to_owned());
    let shots =
        Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("screenshots/console");
    let [a, b, c] = &chats[..] else { unreachable!("three were started") };
    let (urls, pids) =
        ([a.url(""), b.url(""), c.url("")], [b.pid(), c.pid()].map(|it| it.to_string()));
    let args = [&*urls[0], &urls[1], &urls[2], &controls[0], &controls[2], &pids[0], &pids[1]];
    let more = [shots.to_str().unwrap(), "--clients", &clients, "--chromium", &chromium];
    let output = support::node_js(&[&["console.mjs"], &args[..], &more].concat()).output().await;
    let output = output.unwrap();
    let [said, why] = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it));
    println!("{said}");
    assert!(output.status.success(), "{said}{why}");
}

/// Goal: what operators change of nodes and messages, they change from the console's pages, and clients of
/// other nodes see it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_changes_nodes_and_messages_in_a_browser() {
    let _alone = alone().await;
    let (true, Some(chromium)) = (support::has_stock_clients(), support::chromium()) else {
        return;
    };
    let place = Place::new("steering");
    let reloads = Arc::new(AtomicUsize::new(0));
    let plan = |builder: Builder| {
        let reloads = Arc::clone(&reloads);
        let known = |filter: &str| match filter {
            "debug" => Ok(()),
            _ => Err("no such filter".to_owned()),
        };
        let builder = builder.route("/chat/{room}", publish).handler("shout", shout);
        let builder = builder.filter("ask", "/chat/*", signed("?"));
        let builder = builder.filter("exclaim", "/chat/*", signed("!"));
        builder.on_log_filter("info", known).on_reload(move || {
            reloads.fetch_add(1, Ordering::Relaxed);
            Ok(())
        })
    };
    let [a, b, c] = Tower::three(&place, plan).await;
    let control =
        format!("http://{}/?token={}", a.control, support::encoded("the token of admins"));
    let urls = [&b, &c].map(|tower| format!("http://{}", tower.http));
    let leaving = c.node.id().to_string();
    let args = ["steering.mjs", &urls[0], &urls[1], &control, &leaving, "--chromium", &chromium];
    let output = support::node_js(&args).output().await.unwrap();
    let [said, why] = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it));
    println!("{said}");
    assert!(output.status.success(), "{said}{why}");
    assert_eq!(reloads.load(Ordering::Relaxed), 3);
    for node in [&a.node, &b.node] {
        let limits = node.limits();
        assert_eq!((limits.topic_messages, limits.heartbeat), (50, Duration::from_secs(7)));
        assert_eq!(node.report().log_filter.as_deref(), Some("debug"));
        assert_eq!(node.statistics(), None);
    }
}
