//! Handlers in a simulated cluster: see `exosphere::sim`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use exosphere::{
    Close, CloseReason, Detachment, Handler, Message, Principal, Session,
    sim::{Client, Cluster},
};

const ROOM: &str = "/chat/lobby";

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Publishes what clients push, after some thought.
#[derive(Clone, Default)]
struct Chat {
    thinks_for: Duration,
    begun: Arc<AtomicUsize>,
    done: Arc<AtomicUsize>,
}

impl Chat {
    fn new(thinks_for: Duration) -> Self {
        Self { thinks_for, ..Self::default() }
    }

    fn begun(&self) -> usize {
        self.begun.load(Ordering::Relaxed)
    }

    fn done(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }
}

impl Handler for Chat {
    async fn message(&self, session: &Session, message: Message) -> Result<(), Close> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(self.thinks_for).await;
        session.publish(session.path().as_str(), message).await?;
        self.done.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

fn cluster(seed: u64, chat: &Chat) -> Cluster {
    let chat = chat.clone();
    Cluster::builder(seed).route("/chat/{room}", move || chat.clone()).start().unwrap()
}

fn texts(client: &Client) -> Vec<String> {
    client.received().iter().map(|message| message.as_text().unwrap().to_owned()).collect()
}

#[test]
fn what_a_handler_says_in_a_partition_comes_once_that_is_healed() {
    for seed in 0..30 {
        let chat = Chat::new(seconds(5));
        let cluster = cluster(seed, &chat);
        let clients = [0, 1, 2].map(|node| cluster.client(node, ROOM));
        cluster.run_for(seconds(1));
        clients[0].push("hello");
        cluster.run_for(seconds(1));
        assert_eq!((chat.begun(), chat.done()), (1, 0), "seed {seed}");
        cluster.partition(0, 1);
        cluster.partition(0, 2);
        cluster.run_for(seconds(30));
        assert_eq!(texts(&clients[0]), ["hello"], "seed {seed}");
        cluster.heal();
        cluster.run_for(seconds(30));
        for client in &clients {
            assert_eq!(texts(client), ["hello"], "seed {seed}");
            assert_eq!((client.gaps(), client.expired()), (0, 0), "seed {seed}");
        }
        assert_eq!((clients[0].acknowledged(), clients[0].unacknowledged()), (1, 0));
        assert_eq!((chat.begun(), chat.done()), (2, 2), "seed {seed}: once on each side");
        assert_eq!(cluster.accounting().unaccounted(), 0, "seed {seed}");
    }
}

#[test]
fn who_is_cut_off_one_way_hears_nothing_and_is_heard() {
    let cluster = cluster(1, &Chat::default());
    let (ana, bob) = (cluster.client(0, ROOM), cluster.client(1, ROOM));
    cluster.run_for(seconds(1));
    cluster.cut(0, 1);
    cluster.cut(2, 1); // Or it would hear by way of that.
    let said = [cluster.topic(0, ROOM).unwrap(), cluster.topic(1, ROOM).unwrap()];
    cluster.run(said[0].publish("of ana's node")).unwrap();
    cluster.run(said[1].publish("of bob's node")).unwrap();
    cluster.run_for(Duration::from_millis(400)); // Sooner than any loss of a link is noticed.
    assert_eq!(texts(&ana), ["of ana's node", "of bob's node"]);
    assert_eq!(texts(&bob), ["of bob's node"]);
    cluster.heal();
    cluster.run_for(seconds(1));
    assert_eq!(texts(&bob), ["of bob's node", "of ana's node"]);
}

#[test]
fn a_push_whose_handler_dies_with_its_node_is_handled_by_another() {
    for seed in 0..30 {
        let chat = Chat::new(seconds(5));
        let cluster = cluster(seed, &chat);
        let clients = [0, 1].map(|node| cluster.client(node, ROOM));
        cluster.run_for(seconds(1));
        clients[0].push("hello");
        cluster.run_for(seconds(1));
        assert_eq!((chat.begun(), clients[0].acknowledged()), (1, 1), "seed {seed}");
        cluster.crash(0);
        cluster.run_for(seconds(60));
        assert_eq!((chat.begun(), chat.done()), (2, 1), "seed {seed}");
        cluster.restart(0);
        cluster.run_for(seconds(10));
        let late = cluster.topic(0, ROOM).unwrap();
        cluster.run(late.publish("I am back")).unwrap();
        cluster.run_for(seconds(1));
        for client in &clients {
            assert_eq!(texts(client), ["hello", "I am back"], "seed {seed}");
        }
    }
}

#[test]
fn a_client_goes_on_elsewhere_with_what_it_missed() {
    let cluster = cluster(2, &Chat::default());
    let (ana, bob) = (cluster.client(0, ROOM), cluster.client(1, ROOM));
    cluster.run_for(seconds(1));
    ana.disconnect();
    cluster.run_for(seconds(1));
    assert!(!ana.is_connected());
    (0..5).for_each(|number| bob.push(number.to_string()));
    cluster.run_for(seconds(60));
    assert!(ana.received().is_empty());
    let session = ana.session();
    ana.connect(2);
    cluster.run_for(seconds(1));
    assert_eq!(texts(&ana), ["0", "1", "2", "3", "4"]);
    assert_eq!((ana.session(), ana.is_connected()), (session, true));
    ana.close();
    cluster.run_for(seconds(1));
    assert_eq!(cluster.topic(1, ROOM).unwrap().members(), [bob.session().unwrap()]);
}

#[test]
fn who_is_apart_for_too_long_is_given_up_by_the_other_side() {
    let cluster = cluster(3, &Chat::default());
    let (ana, bob) = (cluster.client(0, ROOM), cluster.client(1, ROOM));
    cluster.run_for(seconds(1));
    cluster.partition(0, 1);
    cluster.partition(0, 2);
    cluster.run_for(seconds(100));
    cluster.heal();
    cluster.run_for(seconds(10));
    assert_eq!((ana.expired(), bob.expired()), (0, 0));
    cluster.partition(0, 1);
    cluster.partition(0, 2);
    cluster.run_for(seconds(180));
    cluster.heal();
    cluster.run_for(seconds(10));
    assert_eq!((ana.expired(), bob.expired()), (1, 1));
    bob.push("welcome");
    cluster.run_for(seconds(1));
    assert_eq!(texts(&ana), ["welcome"]);
}

/// What came to whom, in a run with a bit of everything.
fn run(seed: u64) -> Vec<Vec<String>> {
    let cluster = cluster(seed, &Chat::new(Duration::from_millis(3)));
    let clients = [0, 1, 2, 0].map(|node| cluster.client(node, ROOM));
    cluster.run_for(seconds(1));
    for round in 0..20 {
        for (at, client) in clients.iter().enumerate() {
            client.push(format!("{at} {round}"));
        }
        cluster.run_for(Duration::from_millis(150));
        match round {
            5 => cluster.partition(0, 1),
            8 => cluster.cut(1, 2),
            12 => cluster.heal(),
            14 => cluster.crash(2),
            _ => {}
        }
    }
    cluster.run_for(seconds(60));
    clients.iter().map(texts).collect()
}

#[test]
fn a_run_is_had_again_with_its_seed() {
    let runs: Vec<_> = (0..20).map(run).collect();
    for (seed, before) in runs.iter().enumerate() {
        assert!(run(seed as u64) == *before, "seed {seed}");
        for texts in before {
            let mut sorted = texts.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!((texts.len(), sorted.len()), (80, 80), "seed {seed}: each came once");
        }
    }
    assert!(runs.iter().any(|other| *other != runs[0]), "seeds make no difference");
}

#[test]
fn a_handler_knows_who_a_client_is_wherever_it_goes() {
    let who = || {
        async |session: Session, _: Message| -> Result<(), Close> {
            let name = session.principal().map_or("nobody", Principal::as_str).to_owned();
            session.send(name).await?;
            Ok(())
        }
    };
    let cluster = Cluster::builder(11).route(ROOM, who).start().unwrap();
    let ana = cluster.client_as(Principal::new("ana").unwrap(), 0, ROOM);
    let bob = cluster.client(0, ROOM);
    for client in [&ana, &bob] {
        client.push("who");
    }
    cluster.run_for(seconds(1));
    let session = ana.session();
    cluster.crash(0);
    cluster.run_for(seconds(5));
    for client in [&ana, &bob] {
        client.push("who");
    }
    cluster.run_for(seconds(5));
    assert_eq!((texts(&ana), texts(&bob)), (vec!["ana".into(); 2], vec!["nobody".into(); 2]));
    assert_eq!(ana.session(), session);
}

/// Writes down how its sessions end.
#[derive(Clone, Default)]
struct Ends(Arc<Mutex<Vec<CloseReason>>>);

impl Handler for Ends {
    async fn message(&self, _: &Session, _: Message) -> Result<(), Close> {
        Ok(())
    }

    async fn disconnect(&self, _: &Session, reason: CloseReason) {
        self.0.lock().unwrap().push(reason);
    }
}

#[test]
fn a_handler_is_told_once_why_a_client_is_gone_for_good() {
    type Gone = fn(&Cluster, &Client);
    let ways: [(Gone, CloseReason); 3] = [
        (|_, client| client.close(), CloseReason::Client),
        (|_, client| client.disconnect(), CloseReason::Abandoned(Detachment::Lost)),
        (
            |cluster, client| {
                cluster.crash(0);
                client.disconnect();
            },
            CloseReason::Abandoned(Detachment::NodeDied),
        ),
    ];
    for (go, expected) in ways {
        let ends = Ends::default();
        let told = ends.clone();
        let cluster = Cluster::builder(7).route(ROOM, move || ends.clone()).start().unwrap();
        let client = cluster.client(0, ROOM);
        cluster.run_for(seconds(1));
        go(&cluster, &client);
        cluster.run_for(seconds(100));
        let by_then = told.0.lock().unwrap().clone();
        let is_waited_for = expected != CloseReason::Client;
        assert!(by_then.is_empty() == is_waited_for, "{expected:?}: {by_then:?}");
        cluster.run_for(seconds(60));
        assert_eq!(*told.0.lock().unwrap(), [expected]);
    }
}
