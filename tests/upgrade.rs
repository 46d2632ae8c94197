//! A cluster that is upgraded one node after the other, under load.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use exosphere::{
    Node, Pace,
    client::{Client, Event},
    proto::wire::ProtocolRange,
};
use support::{PATIENCE, Place, publish, spawn, within};
use tokio::sync::watch;

const PATH: &str = "/chat/upgrade";

/// How many clients push, and get what all push.
const CLIENTS: usize = 6;

/// How often each pushes.
const EVERY: Duration = Duration::from_millis(5);

/// A node of some version that serves clients.
async fn start(place: &Place, protocol: ProtocolRange, listener: TcpListener) -> Node {
    let url = format!("http://{}", listener.local_addr().unwrap());
    let builder = place.node().route("/chat/{room}", publish).public_url(url).protocol(protocol);
    let node = builder.start().await.unwrap();
    let served = node.clone();
    spawn(async move { served.serve_listener(listener).await.unwrap() });
    node
}

/// Waits until a node sees three, which can speak this version together.
async fn sees_three(node: &Node, protocol: u16) {
    let seen = async {
        let mut members = node.members();
        loop {
            let roster = members.current();
            if roster.members().len() == 3 && roster.protocol() == protocol {
                return;
            }
            members.changed().await.unwrap();
        }
    };
    within(PATIENCE, "three nodes of the same version", seen).await;
}

/// What a client has of each publisher, and the longest that it got nothing.
struct Got {
    of: BTreeMap<usize, Vec<u64>>,
    longest: Duration,
    moves: usize,
}

/// Pushes until it is told to stop. Returns how many it pushed, all of which are acknowledged.
async fn push(publisher: usize, client: &Client, stop: &watch::Receiver<bool>) -> u64 {
    let mut number = 0;
    let mut waiting = Vec::new();
    while !*stop.borrow() {
        waiting.push(client.begin_push(format!("{publisher} {number}")).await.unwrap());
        number += 1;
        tokio::time::sleep(EVERY).await; // The load: nothing is waited for.
    }
    for pushed in waiting {
        within(PATIENCE, "an acknowledgement", pushed).await.unwrap();
    }
    number
}

/// Gets what is pushed until it has all of what each publisher says at last that it pushed.
#[expect(clippy::disallowed_methods, reason = "a test that measures")]
async fn get(mut client: Client, totals: watch::Receiver<Option<Vec<u64>>>) -> Got {
    let mut got = Got { of: BTreeMap::new(), longest: Duration::ZERO, moves: 0 };
    let mut last = None;
    let mut totals_changed = totals.clone();
    loop {
        let has_all = totals.borrow().as_ref().is_some_and(|totals| {
            let has = |at: usize| got.of.get(&at).map_or(0, |numbers| numbers.len() as u64);
            totals.iter().enumerate().all(|(at, &total)| has(at) >= total)
        });
        if has_all {
            return got;
        }
        let is_over = totals.borrow().is_some();
        let event = tokio::select! {
            event = client.next() => event.expect("the session goes on"),
            changed = totals_changed.changed() => {
                changed.unwrap();
                continue;
            }
            // What is missing is told by who compares.
            () = tokio::time::sleep(PATIENCE / 2), if is_over => return got,
        };
        match event {
            Event::Message(received) => {
                let text = received.message.as_text().unwrap();
                let (publisher, number) = text.split_once(' ').unwrap();
                let numbers = got.of.entry(publisher.parse().unwrap()).or_default();
                numbers.push(number.parse().unwrap());
                let now = tokio::time::Instant::now();
                got.longest = got.longest.max(now - last.replace(now).unwrap_or(now));
            }
            Event::Moved { .. } => got.moves += 1,
            Event::Gap { .. } | Event::Expired { .. } | Event::Ended { .. } => {
                panic!("{event:?}")
            }
            _ => {}
        }
    }
}

/// Goal: a cluster is upgraded to a version that says more, node by node, while its clients push and
/// listen: none of them misses anything, gets it twice or in another order, and none is told of a gap.
///
/// Method: the next version is this one with an array more in every frame, and a frame of a kind that is
/// not known here in every batch. While both are there, all know that only the old one is spoken by all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_upgrade_loses_and_repeats_nothing() {
    let place = Place::new("upgrade");
    let (mut nodes, mut addrs) = (Vec::<Node>::new(), Vec::<SocketAddr>::new());
    for _ in 0..3 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        addrs.push(listener.local_addr().unwrap());
        nodes.push(start(&place, ProtocolRange::OURS, listener).await);
    }
    sees_three(&nodes[0], ProtocolRange::OURS.max).await;

    let (stopped, stop) = watch::channel(false);
    let (said, totals) = watch::channel(None);
    let (mut pushing, mut getting) = (Vec::new(), Vec::new());
    let urls = |at: usize| (0..3).map(move |turn| (at + turn) % 3);
    let urls = |at: usize| urls(at).map(|node| format!("ws://{}{PATH}", addrs[node]));
    for at in 0..CLIENTS {
        let listener = Client::builder(urls(at)).connect().await.unwrap();
        getting.push(spawn(get(listener, totals.clone())));
    }
    // Only now, as everybody is to get all.
    for at in 0..CLIENTS {
        let pusher = Client::builder(urls(at)).push_only().connect().await.unwrap();
        let stop = stop.clone();
        // Kept until the end: a session that ends may take with it what is not handled yet.
        pushing.push(spawn(async move { (push(at, &pusher, &stop).await, pusher) }));
    }
    for at in 0..3 {
        within(PATIENCE, "the node drains", nodes[at].drain(Pace::default())).await;
        let listener = TcpListener::bind(addrs[at]).unwrap();
        nodes[at] = start(&place, ProtocolRange::NEXT, listener).await;
        let protocol = if at == 2 { ProtocolRange::NEXT.max } else { ProtocolRange::OURS.max };
        for node in &nodes {
            sees_three(node, protocol).await;
        }
    }
    stopped.send_replace(true);
    let (mut counts, mut pushers) = (Vec::new(), Vec::new());
    for pushing in pushing {
        let (count, pusher) = within(PATIENCE, "all is acknowledged", pushing).await.unwrap();
        counts.push(count);
        pushers.push(pusher);
    }
    said.send_replace(Some(counts.clone()));
    let (mut longest, mut moves) = (Duration::ZERO, 0);
    for getting in getting {
        let got = within(PATIENCE, "all is received", getting).await.unwrap();
        for (publisher, &count) in counts.iter().enumerate() {
            let numbers = got.of.get(&publisher).map_or(&[][..], Vec::as_slice);
            let wrong = (0..count).zip(numbers).find(|(expected, number)| expected != *number);
            let is_whole = wrong.is_none() && numbers.len() as u64 == count;
            assert!(is_whole, "{} of {count} of publisher {publisher}: {wrong:?}", numbers.len());
        }
        (longest, moves) = (longest.max(got.longest), moves + got.moves);
    }
    assert!(moves >= CLIENTS, "{moves} moves");
    let pushed: u64 = counts.iter().sum();
    println!(
        "{pushed} pushed, each received once by {CLIENTS}; {moves} moves; longest silence {longest:?}"
    );
    for node in nodes {
        node.shutdown().await;
    }
}
