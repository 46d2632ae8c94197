//! The stock clients from npm, and the chat's page in Chromium, on two nodes.
//!
//! On a machine without Node, Chromium or the packages (`bash tests/all.sh` installs them) they are
//! skipped, loudly; where CI is set, that is a failure.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::path::Path;

use support::{Chat, Mark, Place, alone};

async fn two(name: &str) -> [Chat; 2] {
    let place = Place::new(name);
    let chats = [Chat::join(&place).await, Chat::join(&place).await];
    for chat in &chats {
        chat.sees(2, Mark::default()).await;
    }
    chats
}

/// Runs a driver, which must say that all is well.
async fn run(driver: &str, args: &[&str]) {
    let output = support::node_js(&[&[driver], args].concat()).output().await.unwrap();
    let (said, why) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{driver}: {said}");
    assert!(output.status.success(), "{driver}: {said}{why}");
}

#[tokio::test]
async fn both_generations_of_atmosphere_js_exchange_10_000_messages_across_nodes() {
    let _alone = alone().await;
    if !support::has_stock_clients() {
        return;
    }
    let [a, b] = two("exchange").await;
    let path = "/chat/exchange";
    run("exchange.mjs", &[&a.url(path), &b.url(path), "10000"]).await;
}

#[tokio::test]
async fn atmosphere_js_gets_what_it_missed_after_a_reconnect() {
    let _alone = alone().await;
    if !support::has_stock_clients() {
        return;
    }
    let [a, b] = two("reconnect").await;
    let path = "/chat/reconnect";
    run("reconnect.mjs", &[&a.url(path), &b.url(path)]).await;
}

#[tokio::test]
async fn exosphere_js_loses_nothing_alone_and_as_a_plugin_of_each_atmosphere_js() {
    let _alone = alone().await;
    if !support::has_stock_clients() {
        return;
    }
    let [a, b] = two("script").await;
    let path = "/chat/script";
    run("exosphere.mjs", &[&a.url(path), &b.url(path), "1000"]).await;
}

/// Goal: the guarantees of the script do not depend on what it is connected by, nor on which node gets
/// which request, also when one of two nodes is killed under traffic.
#[tokio::test]
async fn exosphere_js_loses_nothing_by_requests_that_any_node_gets_one_of_which_is_killed() {
    let _alone = alone().await;
    if !support::has_stock_clients() {
        return;
    }
    let [a, b] = two("requests").await;
    let path = "/chat/requests";
    run("requests.mjs", &[&a.url(path), &b.url(path), "500"]).await;
    let killed = b.pid().to_string();
    run("requests.mjs", &[&a.url(path), &b.url(path), "500", "--kill", &killed]).await;
}

/// Goal: who knows one node only is sent to another one, and misses nothing, while that one drains.
#[tokio::test]
async fn exosphere_js_is_sent_to_another_node_by_one_that_drains() {
    let _alone = alone().await;
    if !support::has_stock_clients() {
        return;
    }
    let [mut a, b] = two("drain").await;
    let path = "/chat/drain";
    run("drain.mjs", &[&a.url(path), &a.pid().to_string(), &b.url(path)]).await;
    assert!(a.ended().await.success());
}

/// Goal: a page that is loaded again, opened twice, and cut off misses nothing and is told nothing
/// twice, whatever it is connected by. `CYCLES` says how often over a WebSocket; each takes about two
/// seconds.
#[tokio::test]
async fn a_page_goes_on_where_it_was_when_it_is_loaded_again_opened_twice_or_cut_off() {
    let _alone = alone().await;
    let (true, Some(chromium)) = (support::has_stock_clients(), support::chromium()) else {
        return;
    };
    let [a, b] = two("cycles").await;
    let cycles = std::env::var("CYCLES").map_or(15, |cycles| cycles.parse::<u32>().unwrap());
    let (seconds, cycles) = ((60 + 6 * cycles).to_string(), cycles.to_string());
    for (by, cycles) in [("websocket", &*cycles), ("sse", "5"), ("long-polling", "5")] {
        let args = ["--cycles", cycles, "--by", by, "--seconds", &seconds, "--chromium", &chromium];
        run("cycles.mjs", &[&[&*a.url(""), &*b.url("")], &args[..]].concat()).await;
    }
}

#[tokio::test]
async fn the_page_chats_across_two_nodes_in_chromium() {
    let _alone = alone().await;
    let (true, Some(chromium)) = (support::has_stock_clients(), support::chromium()) else {
        return;
    };
    let [a, b] = two("page").await;
    let shots = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("screenshots");
    let shots = shots.to_str().unwrap();
    run("page.mjs", &[&a.url(""), &b.url(""), shots, "--chromium", &chromium]).await;
}
