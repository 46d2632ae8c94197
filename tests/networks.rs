//! Chats on several hosts: how they find each other on a network, and what becomes of them when it breaks.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![cfg(target_os = "linux")]

mod support;

use std::{future::Future, time::Duration};

use support::{Chat, Client, Hosts, Mark, Place, Stamp, Switch, alone, limit, post};

/// How soon nodes know that a part of them cannot be reached.
const PARTITION: Duration = Duration::from_millis(2_500);

/// How soon they are one cluster again, once they can be.
const HEAL: Duration = Duration::from_secs(2);

/// Runs a test in a network of its own, on a thread of its own, which nothing else runs on.
#[expect(clippy::disallowed_methods, reason = "the tests are no node")]
fn on_hosts<F: Future<Output = ()>>(
    hosts: usize,
    name: &'static str,
    test: impl FnOnce(Hosts, Place) -> F + Send + 'static,
) {
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _alone = runtime.block_on(alone());
        let Some(hosts) = Hosts::enter(hosts) else {
            return;
        };
        runtime.block_on(test(hosts, Place::new(name)));
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Waits until all see so many nodes since their marks. Returns how long after `since` the last did.
async fn all_see(chats: &[&Chat], members: usize, marks: &[Mark], since: Stamp) -> Duration {
    let mut longest = Duration::ZERO;
    for (chat, &mark) in chats.iter().zip(marks) {
        longest = longest.max(chat.sees(members, mark).await.since(since));
    }
    longest
}

/// A chat on each of so many hosts, which find each other as `more` says. Returns once they have.
async fn one_on_each(hosts: &Hosts, count: usize, place: &Place, more: &[&str]) -> Vec<Chat> {
    let mut chats = Vec::new();
    for host in 0..count {
        let node = format!("{}:5701", Hosts::ip(host));
        chats.push(hosts.chat(host, 8080, place, &[&["--node", &node], more].concat()).await);
    }
    let all: Vec<_> = chats.iter().collect();
    all_see(&all, count, &vec![Mark::default(); count], Stamp::now()).await;
    chats
}

fn marks(chats: &[&Chat]) -> Vec<Mark> {
    chats.iter().map(|chat| chat.mark()).collect()
}

/// What a client of each chat gets of what is posted to the first of them.
async fn a_message_comes_to_all(chats: &[&Chat]) {
    let mut clients = Vec::new();
    for chat in chats {
        clients.push(Client::bare(chat.http(), "/chat/hosts").await);
    }
    let answer = post(chats[0].http(), "/chat/hosts", b"hello").await;
    assert_eq!(answer.status, 200);
    for client in &mut clients {
        assert_eq!(client.text().await, "hello");
    }
}

#[test]
fn two_processes_on_each_of_three_hosts_find_each_other_by_multicast() {
    on_hosts(3, "multicast", async |hosts, place| {
        let mut chats = Vec::new();
        for host in 0..3 {
            for process in 0..2 {
                let node = format!("{}:{}", Hosts::ip(host), 5701 + process);
                let args = ["--node", &node, "--multicast"];
                chats.push(hosts.chat(host, 8080 + process, &place, &args).await);
            }
        }
        let chats: Vec<_> = chats.iter().collect();
        all_see(&chats, 6, &[Mark::default(); 6], Stamp::now()).await;
        a_message_comes_to_all(&chats).await;
    });
}

#[test]
fn nodes_that_have_a_name_together_find_each_other_by_it() {
    on_hosts(3, "names", async |hosts, place| {
        hosts.name(&place, "nodes.test", &[0, 1, 2]);
        let chats = one_on_each(&hosts, 3, &place, &["--dns", "nodes.test:5701"]).await;
        let chats: Vec<_> = chats.iter().collect();
        a_message_comes_to_all(&chats).await;
    });
}

/// Goal: a cluster that its network splits is two, and one again once it can be.
#[test]
fn a_cluster_is_split_and_heals_when_a_cable_is_moved_to_another_switch() {
    on_hosts(3, "split", async |hosts, place| {
        let chats = one_on_each(&hosts, 3, &place, &["--multicast"]).await;
        let chats: Vec<_> = chats.iter().collect();
        let (mut worst_split, mut worst_heal) = (Duration::ZERO, Duration::ZERO);
        for _ in 0..support::rounds(2) {
            let (before, cut) = (marks(&chats), Stamp::now());
            hosts.move_to(2, Switch::Second);
            let split = all_see(&chats[..2], 2, &before, cut).await;
            let split = split.max(all_see(&chats[2..], 1, &before[2..], cut).await);
            assert!(split <= limit(PARTITION), "{split:?}");
            let (before, mended) = (marks(&chats), Stamp::now());
            hosts.move_to(2, Switch::First);
            let heal = all_see(&chats, 3, &before, mended).await;
            assert!(heal <= limit(HEAL), "{heal:?}");
            (worst_split, worst_heal) = (worst_split.max(split), worst_heal.max(heal));
        }
        println!("worst: split seen after {worst_split:?}, healed after {worst_heal:?}");
        a_message_comes_to_all(&chats).await;
    });
}

/// Goal: who is not heard is given up, though it hears all, and is back once it is heard.
#[test]
fn who_is_not_heard_is_no_member_until_it_is() {
    on_hosts(3, "one-way", async |hosts, place| {
        let chats = one_on_each(&hosts, 3, &place, &["--multicast"]).await;
        let chats: Vec<_> = chats.iter().collect();
        let (before, cut) = (marks(&chats), Stamp::now());
        hosts.silence(2, 0);
        hosts.silence(2, 1);
        let given_up = all_see(&chats[..2], 2, &before, cut).await;
        let (before, mended) = (marks(&chats[..2]), Stamp::now());
        hosts.hear_again(2, 0);
        hosts.hear_again(2, 1);
        let back = all_see(&chats[..2], 3, &before, mended).await;
        println!("given up after {given_up:?}, back after {back:?}");
        a_message_comes_to_all(&chats).await;
    });
}

/// Goal: a line that is full is no death.
#[test]
fn nodes_stay_members_on_a_line_that_is_full() {
    on_hosts(2, "slow", async |hosts, place| {
        hosts.slow_down(0, 2_000);
        hosts.slow_down(1, 2_000);
        let chats = one_on_each(&hosts, 2, &place, &["--multicast"]).await;
        let chats: Vec<_> = chats.iter().collect();
        let mut reader = Client::bare(chats[1].http(), "/chat/hosts").await;
        let before = marks(&chats);
        let long = "x".repeat(64 << 10);
        // Some seconds of what the line can carry.
        for number in 0..24 {
            let text = format!("{number} {long}");
            let answer = post(chats[0].http(), "/chat/hosts", text.as_bytes()).await;
            assert_eq!(answer.status, 200);
        }
        for number in 0..24 {
            let text = reader.text().await;
            assert!(text.starts_with(&format!("{number} ")), "{number}: {:.20}", text);
        }
        for (chat, mark) in chats.iter().zip(before) {
            let deaths = chat.since(mark).into_iter().filter(|line| line.contains(" died"));
            assert_eq!(deaths.collect::<Vec<_>>(), Vec::<String>::new());
        }
    });
}
