//! Several nodes that gossip, over channels instead of connections, in paused time.

mod licensed;

use super::{forge::*, *};
use crate::proto::MemberState;

/// The nodes of a test, and what carries their messages.
#[derive(Clone, Default)]
struct Net {
    nodes: Arc<Mutex<BTreeMap<SocketAddr, Arc<Gossip>>>>,
    cut: Arc<Mutex<BTreeSet<SocketAddr>>>,
    refused: Arc<Mutex<Vec<Refusal>>>,
    tasks: Tasks,
}

impl Net {
    /// Starts a node, whose tasks are those of the whole net unless it is given its own.
    async fn start(&self, id: u64, tasks: &Tasks) -> Arc<Gossip> {
        let (node, addr) = member(id);
        let (outgoing, sent) = mpsc::channel(256);
        let gossip = Arc::new(
            Gossip::start(node, "chat", addr, &Announcement::default(), outgoing, tasks).await,
        );
        self.nodes.lock().insert(addr, gossip.clone());
        self.tasks.spawn(debug_span!("net"), self.clone().carry((node, addr), sent));
        gossip
    }

    /// Starts nodes 1 to `count`, all of which meet the first, which does not meet itself.
    async fn start_all(&self, count: u64) -> Vec<Arc<Gossip>> {
        let mut all = Vec::new();
        for id in 1..=count {
            let node = self.start(id, &self.tasks).await;
            node.meet(member(1).1);
            all.push(node);
        }
        for node in &all {
            sees(node, &(1..=count).collect::<Vec<_>>()).await;
        }
        all
    }

    async fn carry(self, from: Member, mut sent: mpsc::Receiver<(SocketAddr, Bytes)>) {
        while let Some((to, bytes)) = sent.recv().await {
            let cut = self.cut.lock().contains(&from.1) || self.cut.lock().contains(&to);
            let to = self.nodes.lock().get(&to).cloned();
            if let Some(to) = to.filter(|_| !cut)
                && let Err(refusal) = to.handle(from.1, from.0, bytes)
                && refusal != Refusal::Busy
            {
                self.refused.lock().push(refusal);
            }
        }
    }
}

/// Waits until `node` sees just these members.
async fn sees(node: &Gossip, ids: &[u64]) {
    let expected: BTreeMap<_, _> = ids.iter().map(|id| member(*id)).collect();
    let mut members = node.members();
    let seen = members.wait_for(|members| *members == expected);
    let seen = timeout(Duration::from_secs(10), seen).await;
    assert!(seen.is_ok(), "{:?} instead of {expected:?}", node.members().borrow());
}

fn now() -> Instant {
    clock::now()
}

#[tokio::test(start_paused = true)]
async fn nodes_that_meet_one_learn_of_all() {
    let (net, start) = (Net::default(), now());
    net.start_all(5).await;
    let took = now() - start;
    assert!(took < Duration::from_millis(1500), "{took:?}");
    assert_eq!(*net.refused.lock(), [], "what chitchat says must pass the check");
}

#[tokio::test(start_paused = true)]
async fn a_node_alone_sees_itself() {
    let net = Net::default();
    let node = net.start(7, &net.tasks).await;
    sees(&node, &[7]).await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_is_seen_by_all_within_two_seconds() {
    let net = Net::default();
    let nodes = net.start_all(5).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    let crash = now();
    net.cut.lock().insert(member(5).1);
    for node in &nodes[..4] {
        sees(node, &[1, 2, 3, 4]).await;
    }
    let took = now() - crash;
    assert!(took < Duration::from_secs(2), "{took:?}");
    net.cut.lock().clear();
    for node in &nodes {
        sees(node, &[1, 2, 3, 4, 5]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_leaves_is_gone_at_once() {
    let net = Net::default();
    let nodes = net.start_all(5).await;
    let left = now();
    nodes[4].leave().await;
    for node in &nodes[..4] {
        sees(node, &[1, 2, 3, 4]).await;
    }
    let took = now() - left;
    assert!(took <= GOSSIP_INTERVAL * 2, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn leaving_takes_two_rounds_even_if_nobody_listens() {
    let net = Net::default();
    let nodes = net.start_all(2).await;
    net.cut.lock().insert(member(2).1);
    let left = now();
    nodes[1].leave().await;
    assert_eq!(now() - left, GOSSIP_INTERVAL * 2);
    let alone = net.start(9, &net.tasks).await;
    let left = now();
    alone.leave().await;
    assert_eq!(now(), left);
}

/// Goal: a process that was stopped does not declare the others dead when it goes on.
///
/// Method: let the time jump, which stops all nodes alike, and watch one of them.
#[tokio::test(start_paused = true)]
async fn who_was_stopped_does_not_declare_the_others_dead() {
    let net = Net::default();
    let nodes = net.start_all(3).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    let mut members = nodes[0].members();
    members.mark_unchanged();
    tokio::time::advance(Duration::from_secs(30)).await;
    let changed = timeout(Duration::from_secs(10), members.changed()).await;
    assert!(changed.is_err(), "{:?}", members.borrow());
}

#[tokio::test(start_paused = true)]
async fn gossip_ends_with_its_tasks() {
    let net = Net::default();
    let tasks = Tasks::default();
    let node = net.start(1, &tasks).await;
    let start = now();
    tasks.shutdown(Duration::from_secs(5)).await;
    assert!(now() - start < Duration::from_secs(1));
    node.meet(member(2).1);
    node.leave().await;
}

/// Goal: none of the messages that are known to harm chitchat reaches it.
///
/// Method: as a member, send each to a node, then see that it still gossips and says new things.
#[tokio::test(start_paused = true)]
async fn what_harms_chitchat_is_refused_and_it_lives_on() {
    let net = Net::default();
    let nodes = net.start_all(2).await;
    let (from, addr) = member(2);
    let own = [about(1, 0), bare(u64::MAX)].concat();
    let back = [about(2, 0), entry("a", "", 1 << 30), bare(1)].concat();
    let bomb = zstd_block(&vec![0; 65_529]).repeat(1600);
    for (attack, refusal) in [
        // Nine bytes that are answered with all that is known.
        (message(0, &[digest(&[]), text("c")]), Refusal::Anonymous),
        (message(0, &[digest(&[(2, 9)]), text("c")]), Refusal::OtherCluster),
        // The next change of our own state would fail an assertion.
        (message(2, &[plain_delta(&own)]), Refusal::AboutUs),
        (message(1, &[digest(&[(2, 1)]), zstd_delta(&own)]), Refusal::AboutUs),
        // Applying it would fail an assertion.
        (message(2, &[plain_delta(&back)]), Refusal::Malformed),
        // A hundred megabytes of operations.
        (message(2, &[bomb, vec![0]]), Refusal::Oversized),
        // A member that would be dead for ever.
        (message(0, &[digest(&[(2, u64::MAX)]), text("chat")]), Refusal::Absurd),
    ] {
        assert!(attack.len() <= MAX_MESSAGE_BYTES);
        assert_eq!(nodes[0].handle(addr, from, attack.into()), Err(refusal));
    }
    net.start(3, &net.tasks).await.meet(member(1).1);
    sees(&nodes[0], &[1, 2, 3]).await;
    nodes[0].leave().await;
    sees(&nodes[1], &[2, 3]).await;
}

/// Goal: members that do not exist cannot make digests so long that chitchat fails.
#[tokio::test(start_paused = true)]
async fn invented_members_are_bounded() {
    let net = Net::default();
    let nodes = net.start_all(2).await;
    let (from, addr) = member(2);
    let mut refused = 0;
    for batch in 0..100 {
        let mut invented: Vec<_> = (0..50).map(|id| (1000 + batch * 50 + id, 9)).collect();
        invented.push((2, 9));
        let syn = message(0, &[digest(&invented), text("chat")]);
        match nodes[0].handle(addr, from, syn.into()) {
            Ok(()) => {}
            Err(refusal) => {
                assert_eq!(refusal, Refusal::TooManyMembers);
                refused += 1;
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(refused >= 90, "{refused}");
    net.start(3, &net.tasks).await;
    nodes[0].leave().await;
    sees(&nodes[1], &[2]).await;
}

#[tokio::test(start_paused = true)]
async fn a_flood_is_refused_and_not_kept() {
    let net = Net::default();
    let nodes = net.start_all(2).await;
    let (from, addr) = member(2);
    let syn = Bytes::from(message(0, &[digest(&[(2, 9)]), text("chat")]));
    let busy = (0..1000).filter(|_| nodes[0].handle(addr, from, syn.clone()).is_err()).count();
    assert!(busy >= 1000 - MAX_WAITING, "{busy}");
}

#[tokio::test(start_paused = true)]
async fn nobody_speaks_in_our_name() {
    let net = Net::default();
    let nodes = net.start_all(2).await;
    let syn = message(0, &[digest(&[(1, 9)]), text("chat")]);
    let (own, addr) = member(1);
    assert_eq!(nodes[0].handle(addr, own, syn.into()), Err(Refusal::Impostor));
}

/// Goal: members that have long been dead are forgotten, and make room for others.
///
/// Method: invent as many as there may be, and others after more than the ten minutes of grace.
#[tokio::test(start_paused = true)]
async fn the_dead_make_room_in_the_end() {
    let net = Net::default();
    let node = net.start(1, &net.tasks).await;
    let (from, addr) = member(2);
    let syn = |first: u64| {
        let mut invented: Vec<_> = (first..first + 300).map(|id| (id, 9)).collect();
        invented.push((2, 9));
        Bytes::from(message(0, &[digest(&invented), text("chat")]))
    };
    assert_eq!(node.handle(addr, from, syn(1000)), Ok(()));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(node.handle(addr, from, syn(2000)), Err(Refusal::TooManyMembers));
    tokio::time::sleep(Duration::from_secs(10 * 60)).await;
    assert_eq!(node.handle(addr, from, syn(2000)), Ok(()));
}

/// Goal: what a node says of itself, at first and later, is known to all, who left and why.
#[tokio::test(start_paused = true)]
async fn what_a_member_announces_is_known_to_all() {
    let net = Net::default();
    let nodes = net.start_all(5).await;
    let drains = Announcement {
        state: MemberState::Draining,
        role: Some("edge".into()),
        ..Announcement::default()
    };
    nodes[1].announce(&drains).await;
    for node in &nodes {
        let mut news = node.news();
        let told =
            news.wait_for(|news| news.told.get(&member(2).0).is_some_and(|it| **it == drains));
        assert!(timeout(Duration::from_secs(2), told).await.is_ok(), "{:?}", node.news().borrow());
        assert_eq!(node.news().borrow().told[&member(3).0], Arc::default());
    }
    nodes[1].leave().await;
    let mut news = nodes[0].news();
    let left = news.wait_for(|news| news.left.contains(&member(2).0));
    assert!(timeout(Duration::from_secs(2), left).await.is_ok());
    assert!(!nodes[0].news().borrow().told.contains_key(&member(2).0));
}
