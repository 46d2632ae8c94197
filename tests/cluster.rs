//! Processes that become one cluster: how fast they find each other, and how fast they notice that
//! one is gone.
//!
//! Times are those of the processes' own logs, so that they do not depend on when a test reads them.
//! `ROUNDS=20` repeats what is measured as often, and `NODES=10` takes so many processes instead of
//! three; the worst cases are printed (`--nocapture`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::time::Duration;

use rustix::process::Signal;
use support::{
    Chat, Client, Mark, Place, Publisher, Received, Sequence, Stamp, alone, limit, rounds, within,
};

/// How soon a process is back, and how soon a death is noticed.
const JOIN: Duration = Duration::from_millis(1500);
const DEATH: Duration = Duration::from_secs(2);
/// How soon it is noticed that a process stops because it was told to.
const STOP: Duration = Duration::from_millis(600);

/// Goal: processes that are told nothing but their HTTP port are one cluster soon after the last
/// start, three within 1 s, five within 1.5 s and ten within 2 s; and a killed one is missed by all
/// within 2 s.
///
/// Method: again and again, kill one either at once or after a while, when the others know it well;
/// another one each time.
#[tokio::test]
async fn processes_become_one_cluster_and_miss_the_one_that_is_killed() {
    let _alone = alone().await;
    let nodes = nodes();
    let formed_within = match nodes {
        ..=3 => Duration::from_secs(1),
        4..=5 => Duration::from_millis(1500),
        _ => Duration::from_secs(2),
    };
    let (mut joins, mut deaths) = (Vec::new(), [Vec::new(), Vec::new()]);
    for round in 0..rounds(5) {
        let place = Place::new("many");
        // The default cluster: its secret, and so its members, are those of this test.
        let spawn = |_| Chat::spawn(&place, &["--http", "127.0.0.1:0"]);
        let mut chats: Vec<_> = (0..nodes).map(spawn).collect();
        let started = Stamp::now();
        for chat in &chats {
            let joined = chat.sees(nodes, Mark::default()).await.since(started);
            assert!(joined <= limit(formed_within), "{joined:?}");
            joins.push(joined);
        }
        let is_late = round % 2 == 1;
        if is_late {
            tokio::time::sleep(Duration::from_secs(4)).await;
        }
        let mut victim = chats.remove(round % nodes);
        let marks: Vec<_> = chats.iter().map(Chat::mark).collect();
        let killed = victim.kill().await;
        for (chat, mark) in chats.iter().zip(marks) {
            let missed = chat.sees(nodes - 1, mark).await.since(killed);
            assert!(missed <= limit(DEATH), "{missed:?}");
            deaths[usize::from(is_late)].push(missed);
        }
    }
    let [early, late] = deaths.map(spread);
    let joined = spread(joins);
    println!("{nodes} nodes, {} rounds: joined {joined}; missed {early}, later {late}", rounds(5));
}

/// How many processes there are.
fn nodes() -> usize {
    std::env::var("NODES").map_or(3, |nodes| nodes.parse().unwrap())
}

/// The median and the worst of times.
fn spread(mut times: Vec<Duration>) -> String {
    times.sort();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    format!("p50 {median:?}, most {:?}", times.last().copied().unwrap_or_default())
}

/// Goal: who has another cluster name, or another secret, stays alone. Both sides are warned of it,
/// once a minute.
///
/// Method: let both dial us again and again, by naming us as a seed, for longer than it takes one
/// of ours to join.
#[tokio::test]
async fn a_stranger_does_not_join_and_both_are_warned_once() {
    let _alone = alone().await;
    let (place, elsewhere) = (Place::new("ours"), Place::new("theirs"));
    let ours = [Chat::join(&place).await, Chat::join(&place).await];
    for chat in &ours {
        chat.sees(2, Mark::default()).await;
    }
    let marks = [ours[0].mark(), ours[1].mark()];
    let (seed, secret) = (ours[0].node(), place.secret());
    let common = ["--http", "127.0.0.1:0", "--seed", &seed];
    let other_name = [&common[..], &["--cluster", "x", "--secret", secret.to_str().unwrap()]];
    let other_secret = [&common[..], &["--cluster", place.cluster()]];
    let strangers = [
        Chat::start(&place, &other_name.concat()).await,
        Chat::start(&elsewhere, &other_secret.concat()).await,
    ];
    tokio::time::sleep(Duration::from_secs(3)).await;
    let third = Chat::join(&place).await;
    third.sees(3, Mark::default()).await;
    for (chat, mark) in ours.iter().zip(marks) {
        chat.sees(3, mark).await;
        assert!(warnings(chat.since(mark)).len() <= 1, "{:#?}", chat.since(mark));
    }
    for stranger in &strangers {
        let said = warnings(stranger.since(Mark::default()));
        assert_eq!(said.len(), 1, "{said:#?}");
        assert!(said[0].contains("no handshake with nodes of another secret"), "{said:#?}");
    }
}

/// The warnings and errors of a log, but for those of beacons, which other tests of this machine forge.
fn warnings(mut said: Vec<String>) -> Vec<String> {
    said.retain(|line| line.contains(" WARN ") || line.contains(" ERROR "));
    said.retain(|line| !line.contains("beacons are ignored"));
    said
}

#[tokio::test]
async fn who_is_told_to_stop_is_missed_at_once_and_its_clients_go_elsewhere() {
    let _alone = alone().await;
    let place = Place::new("stop");
    let mut worst = Duration::ZERO;
    for _ in 0..rounds(3) {
        let mut chats =
            [Chat::join(&place).await, Chat::join(&place).await, Chat::join(&place).await];
        for chat in &chats {
            chat.sees(3, Mark::default()).await;
        }
        let client = Client::new(chats[2].http(), "/chat/room").await;
        let marks = [chats[0].mark(), chats[1].mark()];
        let told = Stamp::now();
        chats[2].signal(Signal::TERM);
        assert_eq!(client.closed().await, 1001);
        for (chat, mark) in chats.iter().zip(marks) {
            let seen = chat.sees(2, mark).await.since(told);
            assert!(seen <= limit(STOP), "{seen:?}");
            worst = worst.max(seen);
        }
        assert!(chats[2].ended().await.success());
        let ended = Stamp::now().since(told);
        assert!(ended < limit(Duration::from_secs(3)), "it took {ended:?} to end");
    }
    println!("worst of {}: a stop is seen after {worst:?}", rounds(3));
}

#[tokio::test]
async fn a_node_that_is_killed_and_started_in_its_old_place_is_back_at_once() {
    let _alone = alone().await;
    let place = Place::new("again");
    let (first, mut second) = (Chat::join(&place).await, Chat::join(&place).await);
    let mut mark = Mark::default();
    let mut worst = Duration::ZERO;
    for _ in 0..rounds(3) {
        second.sees(2, Mark::default()).await;
        first.sees(2, mark).await;
        let (node, http) = (second.node(), second.http().to_string());
        mark = first.mark();
        second.kill().await;
        let secret = place.secret();
        let args = ["--http", &http, "--node", &node, "--cluster", place.cluster()];
        let started = Stamp::now();
        let secret = ["--secret", secret.to_str().unwrap()];
        second = Chat::start(&place, &[&args[..], &secret].concat()).await;
        worst = worst.max(second.sees(2, Mark::default()).await.since(started));
        worst = worst.max(first.sees(2, mark).await.since(started));
        let said = first.since(mark);
        assert!(!said.iter().any(|line| line.contains("Members [3]")), "{said:#?}");
    }
    println!("worst of {}: back after {worst:?}", rounds(3));
    assert!(worst <= limit(JOIN), "{worst:?}");
}

/// Goal: a node that stood still for five seconds, so that the others gave it up, is a member again
/// when it goes on, and no client of any node has lost a message.
#[tokio::test]
async fn a_node_that_stood_still_is_a_member_again_and_nothing_is_lost() {
    let _alone = alone().await;
    let place = Place::new("still");
    let chats = [Chat::join(&place).await, Chat::join(&place).await, Chat::join(&place).await];
    for chat in &chats {
        chat.sees(3, Mark::default()).await;
    }
    let path = "/chat/room";
    let mut on_moving = Client::new(chats[1].http(), path).await;
    let mut on_still = Client::new(chats[2].http(), path).await;
    let publisher = Publisher::start(chats[0].http(), path, Duration::from_millis(5)).await;
    let mut sequences = [Sequence::default(), Sequence::default()];
    receive(&mut on_moving, &mut sequences[0], 100, chats[1].http(), path).await;
    receive(&mut on_still, &mut sequences[1], 100, chats[2].http(), path).await;

    let marks = chats.each_ref().map(Chat::mark);
    chats[2].signal(Signal::STOP);
    let stood = tokio::time::sleep(Duration::from_secs(5));
    chats[0].sees(2, marks[0]).await;
    chats[1].sees(2, marks[1]).await;
    stood.await;
    let marks = chats.each_ref().map(Chat::mark);
    chats[2].signal(Signal::CONT);
    let went_on = Stamp::now();
    for (chat, mark) in chats[..2].iter().zip(marks) {
        let back = chat.sees(3, mark).await.since(went_on);
        println!("a member again after {back:?}");
    }
    let published = publisher.stop().await;
    for (n, client) in [&mut on_moving, &mut on_still].into_iter().enumerate() {
        receive(client, &mut sequences[n], published, chats[n + 1].http(), path).await;
    }
    println!("{published} published, {sequences:?}");
}

/// Receives until there are `count` numbers, coming back if the node says so.
async fn receive(
    client: &mut Client,
    sequence: &mut Sequence,
    count: u64,
    http: std::net::SocketAddr,
    path: &str,
) {
    let all = async {
        while sequence.len() < count {
            match client.next().await {
                Received::Text(text) => sequence.take(text.parse().unwrap()),
                Received::Gone | Received::Closed(1001, _) => {
                    *client = Client::resume(http, path, &client.id).await;
                }
                other => panic!("{other:?} after {sequence:?}"),
            }
        }
    };
    within(Duration::from_secs(30), "all messages arrive", all).await;
}
