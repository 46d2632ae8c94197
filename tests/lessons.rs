//! What users of Atmosphere suffered, each with the thread that tells of it, and what is so here.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use exosphere::{
    Close, Handler, Message, Node, NodeId, Session, SessionId, TopicName,
    proto::{Budget, Core, Detachment, Holder, Limits, Recipients},
};
use serde_json::Value;
use support::{
    Client, PATIENCE, Place, Sequence, Stream, now, publish, sees, serve, spawn, until, within,
};
use tokio::sync::mpsc;

const ROOM: &str = "/chat/room";

async fn chat(place: &Place) -> Node {
    place.node().route("/chat/{room}", publish).start().await.unwrap()
}

/// Waits until so many sessions read the room.
async fn joined(node: &Node, count: usize) {
    let topic = node.topic(ROOM).unwrap();
    until("all have joined", || topic.members().len() == count).await;
}

/// A message that is published while a client connects comes with the first or not at all: what
/// follows the first has no hole.
///
/// <https://github.com/Atmosphere/atmosphere/issues/1176>
#[tokio::test]
async fn issue_1176_nothing_falls_between_connecting_and_publishing() {
    const CLIENTS: usize = 40;
    const AFTER: u64 = 200;
    let node = chat(&Place::new("lesson-1176")).await;
    let (http, topic) = (serve(&node), node.topic(ROOM).unwrap());
    let (stop, mut stopped) = mpsc::channel::<()>(1);
    let publishing = spawn(async move {
        let mut number = 0_u64;
        while stopped.try_recv().is_err() {
            topic.publish(number.to_string()).await.unwrap();
            number += 1;
            tokio::task::yield_now().await;
        }
    });
    let client = async |http: SocketAddr| {
        let mut client = Client::bare(http, ROOM).await;
        let first = client.text().await.parse::<u64>().unwrap();
        for number in first + 1..first + AFTER {
            assert_eq!(client.text().await, number.to_string());
        }
    };
    for _ in 0..CLIENTS {
        within(PATIENCE, "a client has its share", client(http)).await;
    }
    let _ = stop.send(()).await; // It may have failed already, which is found next.
    within(PATIENCE, "the publisher stops", publishing).await.unwrap();
}

/// What is published between an abrupt drop and the reconnect is there when the client is back.
///
/// <https://github.com/Atmosphere/atmosphere/issues/1674>
#[tokio::test]
async fn issue_1674_what_comes_while_a_client_is_cut_off_waits_for_it() {
    let node = chat(&Place::new("lesson-1674")).await;
    let (http, topic) = (serve(&node), node.topic(ROOM).unwrap());
    let mut client = Client::new(http, ROOM).await;
    joined(&node, 1).await;
    let id = client.id.clone();
    let (mut sequence, mut published) = (Sequence::default(), 0_u64);
    for _ in 0..20 {
        topic.publish(published.to_string()).await.unwrap();
        published += 1;
        while sequence.len() < published {
            sequence.take(client.text().await.parse().unwrap());
        }
        client.cut();
        for _ in 0..5 {
            topic.publish(published.to_string()).await.unwrap();
            published += 1;
        }
        client = Client::resume(http, ROOM, &id).await;
    }
    while sequence.len() < published {
        sequence.take(client.text().await.parse().unwrap());
    }
}

/// A client that was connected for long is as well off as one that has just come: the time for
/// which what it misses is kept begins when it is gone.
///
/// <https://github.com/Atmosphere/atmosphere/issues/2117>
#[test]
fn issue_2117_a_session_is_kept_from_when_its_client_is_gone() {
    const ALL: Budget = Budget { messages: usize::MAX, bytes: usize::MAX };
    let kept = Limits::default().session_kept;
    let (start, session) = (now(), SessionId::from_bits(7));
    let mut core = Core::new(NodeId::from_bits(1), Limits::default());
    let room = TopicName::parse(ROOM).unwrap();
    let key = core.attach(None, session, ROOM, &Holder::default(), start).key;
    core.join(session, &room, start).unwrap();
    let read = |core: &mut Core, key, text: &str| {
        let batch = core.read(key, ALL);
        let texts: Vec<_> = batch.entries.iter().map(|it| it.message().as_text()).collect();
        assert_eq!(texts, [Some(text)]);
        let mark = core.mark(key).unwrap();
        core.acknowledge(key, mark);
    };
    let send = |core: &mut Core, text: &str, now| {
        core.publish(&room, Recipients::Everyone, text.into(), now).unwrap();
    };

    let later = start + 30 * kept;
    core.handle_timeout(later);
    send(&mut core, "while it is there", later);
    read(&mut core, key, "while it is there");
    core.detach(key, Detachment::Lost, kept, later);
    send(&mut core, "while it is away", later);
    let back = later + kept - Duration::from_secs(1);
    core.handle_timeout(back);
    let attached =
        core.attach(Some(session), SessionId::from_bits(8), ROOM, &Holder::default(), back);
    assert!(attached.resumed);
    read(&mut core, attached.key, "while it is away");

    core.detach(attached.key, Detachment::Lost, kept, back);
    core.handle_timeout(back + kept);
    let late =
        core.attach(Some(session), SessionId::from_bits(9), ROOM, &Holder::default(), back + kept);
    assert!(!late.resumed, "it was away for too long");
}

/// A handler that hands out the sessions that it is told of, and what they say.
#[derive(Clone)]
struct Recorder(mpsc::UnboundedSender<(Session, Option<String>)>);

impl Handler for Recorder {
    async fn ready(&self, session: &Session) -> Result<(), Close> {
        self.0.send((session.clone(), None)).unwrap();
        Ok(session.join(session.path().as_str()).await?)
    }

    async fn message(&self, session: &Session, message: Message) -> Result<(), Close> {
        let text = message.as_text().map(str::to_owned);
        self.0.send((session.clone(), text)).unwrap();
        Ok(())
    }
}

/// A session is not its connection: over another one, to another node or by POST, it is the same,
/// and what came meanwhile is its own.
///
/// <https://github.com/Atmosphere/atmosphere/issues/2444>
#[tokio::test]
async fn issue_2444_a_session_is_the_same_over_any_connection() {
    let place = Place::new("lesson-2444");
    let (told, mut tells) = mpsc::unbounded_channel();
    let start = || place.node().route("/chat/{room}", Recorder(told.clone())).start();
    let nodes = [start().await.unwrap(), start().await.unwrap()];
    sees(&nodes[0], 2).await;
    let http = [serve(&nodes[0]), serve(&nodes[1])];
    let mut next = async || within(PATIENCE, "the handler is told", tells.recv()).await.unwrap();

    let mut client = Client::new(http[0], ROOM).await;
    let (session, _) = next().await;
    joined(&nodes[0], 1).await;
    for round in 0..6 {
        let id = client.id.clone();
        assert_eq!(session.id().to_string(), id);
        client.cut();
        nodes[0].topic(ROOM).unwrap().publish(format!("to all {round}")).await.unwrap();
        session.send(format!("to it {round}")).await.unwrap();
        let header = format!("X-Atmosphere-tracking-id: {id}");
        let posted = format!("posted {round}");
        let answer = support::request(http[1], "POST", ROOM, &[&header], posted.as_bytes()).await;
        assert_eq!(answer.status, 200);
        let (from, text) = next().await;
        assert_eq!((from.id(), text), (session.id(), Some(posted)));

        client = Client::resume(http[round % 2], ROOM, &id).await;
        let mut missing = vec![format!("to all {round}"), format!("to it {round}")];
        while !missing.is_empty() {
            let text = client.text().await; // What it had not acknowledged may come again.
            missing.retain(|it| *it != text);
        }
    }
}

/// A client that is slower than what is published is told of everything: what a socket does not
/// take waits in the log.
///
/// <https://github.com/Atmosphere/atmosphere/issues/2264>
#[tokio::test]
async fn issue_2264_nothing_is_dropped_under_load() {
    const PUBLISHERS: usize = 3;
    const EACH: usize = 3_000;
    let node = chat(&Place::new("lesson-2264")).await;
    let http = serve(&node);
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(Client::new(http, ROOM).await);
    }
    joined(&node, clients.len()).await;
    let filler = "x".repeat(1_000);
    let publishing = (0..PUBLISHERS).map(|publisher| {
        let (topic, filler) = (node.topic(ROOM).unwrap(), filler.clone());
        spawn(async move {
            for number in 0..EACH {
                topic.publish(format!("{publisher} {number} {filler}")).await.unwrap();
            }
        })
    });
    for publishing in publishing.collect::<Vec<_>>() {
        publishing.await.unwrap(); // And nobody has read anything yet.
    }
    for client in &mut clients {
        let mut heard = [0; PUBLISHERS];
        for _ in 0..PUBLISHERS * EACH {
            let text = client.text().await;
            let mut words = text.split(' ').map(|word| word.parse::<usize>());
            let (Some(Ok(publisher)), Some(Ok(number))) = (words.next(), words.next()) else {
                panic!("{text:?}")
            };
            assert_eq!(number, heard[publisher], "of publisher {publisher}");
            heard[publisher] += 1;
        }
    }
}

/// Messages that say the same are messages of their own, and a client that comes back is told of all
/// that it missed, not of the last.
///
/// <https://github.com/Atmosphere/atmosphere/issues/658>
#[tokio::test]
async fn issue_658_equal_messages_are_not_the_same_one() {
    let node = chat(&Place::new("lesson-658")).await;
    let (http, topic) = (serve(&node), Arc::new(node.topic(ROOM).unwrap()));
    let mut ids = Vec::new();
    let mut query = String::new();
    for round in 0..5_usize {
        let path = format!("{ROOM}?X-Exosphere-Postman=1{query}");
        let mut client = Client::bare(http, &path).await;
        let hello: Value = serde_json::from_str(&client.text().await).unwrap();
        joined(&node, 1).await;
        if round == 0 {
            topic.publish("same").await.unwrap();
        }
        while ids.len() < 1 + 3 * round {
            let frame: Value = serde_json::from_str(&client.text().await).unwrap();
            match frame["mark"].as_u64() {
                Some(mark) => client.send(format!("{{\"confirm\":{mark}}}")).await,
                None => {
                    assert_eq!(frame["message"], "same", "{frame}");
                    let id = frame["id"].as_str().unwrap().parse::<exosphere::MessageId>().unwrap();
                    if ids.last().is_none_or(|last| *last < id) {
                        ids.push(id); // Otherwise it was not confirmed in time, and comes again.
                    }
                }
            }
        }
        let session = hello["session"].as_str().unwrap();
        query = format!("&X-Atmosphere-tracking-id={session}");
        client.cut();
        for _ in 0..3 {
            topic.publish("same").await.unwrap();
        }
    }
    assert_eq!(ids.len(), 13);
}

/// What comes with one poll of a client as stock ones do it, heartbeats apart.
async fn poll(http: SocketAddr, session: &str) -> (String, Vec<String>) {
    let target = format!(
        "{ROOM}?X-Atmosphere-tracking-id={session}&X-Atmosphere-Framework=5.0.7\
         &X-Atmosphere-Transport=long-polling&X-Atmosphere-TrackMessageSize=true&X-atmo-protocol=true"
    );
    let mut answer = Stream::open(http, &target, &["Connection: close"]).await;
    let (id, mut texts) = (answer.id(), Vec::new());
    while let Some(text) = answer.framed().await {
        texts.extend((text != "X").then_some(text));
    }
    (id, texts)
}

/// Between two polls a client is there still: its topic names it, also on the node that it never was
/// on, and a burst that is published to it alone meanwhile is its own to the last message.
///
/// There, a topic whose only client was between two polls was empty, and so destroyed with what it
/// had kept: who looked it up found nobody to publish to.
///
/// <https://github.com/Atmosphere/atmosphere/issues/2063>
#[tokio::test]
async fn issue_2063_who_is_between_two_polls_is_there() {
    const BURST: u64 = 5;
    let place = Place::new("lesson-2063");
    let (node, other) = (chat(&place).await, chat(&place).await);
    sees(&node, 2).await;
    let (http, topic) = (serve(&node), other.topic(ROOM).unwrap());
    let (id, _handshake) = poll(http, "0").await;
    joined(&other, 1).await;
    let (mut sequence, mut published) = (Sequence::default(), 0_u64);
    for _ in 0..20 {
        for _ in 0..BURST {
            let found: Vec<_> = topic.members().iter().map(ToString::to_string).collect();
            assert_eq!(found, [id.as_str()]);
            topic.publish_to(topic.members(), published.to_string()).await.unwrap();
            published += 1;
            tokio::task::yield_now().await;
        }
        let (_, texts) = poll(http, &id).await;
        texts.iter().for_each(|text| sequence.take(text.parse().unwrap()));
    }
    while sequence.len() < published {
        let (_, texts) = poll(http, &id).await;
        texts.iter().for_each(|text| sequence.take(text.parse().unwrap()));
    }
    assert_eq!(sequence.duplicates(), 0, "who polls again has what it was answered");
}

/// Many threads publish to one topic at once while its clients come and go, and nothing is mislaid
/// or changes its order.
///
/// There, what one thread added for a client was lost when another fetched or cleared what was kept
/// for it, or added the first message, at that moment.
///
/// <https://github.com/Atmosphere/atmosphere/issues/2262>
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn issue_2262_publishing_at_once_mislays_nothing() {
    const PUBLISHERS: usize = 8;
    const CLIENTS: usize = 6;
    const EACH: u64 = 500;
    let node = chat(&Place::new("lesson-2262")).await;
    let http = serve(&node);
    let listening = (0..CLIENTS).map(|client| match client % 2 {
        0 => spawn(come_and_go(http, PUBLISHERS, EACH)),
        _ => spawn(poll_and_poll(http, PUBLISHERS, EACH)),
    });
    let listening: Vec<_> = listening.collect();
    joined(&node, CLIENTS).await;
    let publishing = (0..PUBLISHERS).map(|publisher| {
        let topic = node.topic(ROOM).unwrap();
        spawn(async move {
            for number in 0..EACH {
                topic.publish(format!("{publisher} {number}")).await.unwrap();
                tokio::task::yield_now().await;
            }
        })
    });
    for publishing in publishing.collect::<Vec<_>>() {
        publishing.await.unwrap();
    }
    for listening in listening {
        within(4 * PATIENCE, "a client has everything", listening).await.unwrap();
    }
}

/// Reads until everything of every publisher came, each in order, over many connections.
async fn come_and_go(http: SocketAddr, publishers: usize, each: u64) {
    const STAYS_FOR: u64 = 150;
    let mut client = Client::new(http, ROOM).await;
    let id = client.id.clone();
    let mut sequences: Vec<_> = (0..publishers).map(|_| Sequence::default()).collect();
    let mut has = 0;
    while has < publishers as u64 * each {
        let leaves_at = has + STAYS_FOR;
        while has < leaves_at.min(publishers as u64 * each) {
            has = take(&mut sequences, &client.text().await);
        }
        client.cut();
        client = Client::resume(http, ROOM, &id).await;
    }
}

/// The same, by polls.
async fn poll_and_poll(http: SocketAddr, publishers: usize, each: u64) {
    let (id, _handshake) = poll(http, "0").await;
    let mut sequences: Vec<_> = (0..publishers).map(|_| Sequence::default()).collect();
    let mut has = 0;
    while has < publishers as u64 * each {
        let (_, texts) = poll(http, &id).await;
        for text in texts {
            has = take(&mut sequences, &text);
        }
    }
}

/// Takes what a publisher published. Returns how many messages there are by now.
fn take(sequences: &mut [Sequence], text: &str) -> u64 {
    let (publisher, number) = text.split_once(' ').unwrap();
    sequences[publisher.parse::<usize>().unwrap()].take(number.parse().unwrap());
    sequences.iter().map(Sequence::len).sum()
}
