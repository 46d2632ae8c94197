//! What an operator decides on one node holds on all of them.

use std::num::NonZeroUsize;

use super::*;
use crate::proto::{Closures, Detachment, DropCause, Presence, TailLimits};

const WITHDRAWN: Ending = Ending::Dropped(DropCause::Withdrawn);

/// Two nodes, a client on each that reads the topic, and what both are attached by.
fn begin() -> (Nodes, [AttachmentKey; 2]) {
    let mut nodes = Nodes::new([1, 2]);
    let one = nodes.attach(1);
    let now = nodes.now;
    let two = nodes.get(2).attach(None, other(), "/a", &Holder::default(), now).key;
    nodes.settle();
    nodes.get(1).join(session(), &topic(), now).unwrap();
    nodes.get(2).join(other(), &topic(), now).unwrap();
    nodes.get(2).set_ready(other(), now);
    nodes.settle();
    (nodes, [one, two])
}

fn other() -> SessionId {
    SessionId::from_bits(8)
}

fn publish(nodes: &mut Nodes, text: &str) -> MessageId {
    let now = nodes.now;
    let id = nodes.get(1).publish(&topic(), Recipients::Everyone, text.into(), now).unwrap();
    nodes.settle();
    id
}

fn withdraw(nodes: &mut Nodes, on: u64, id: MessageId, from: Recipients) -> Result<(), Refused> {
    let now = nodes.now;
    let withdrawn = nodes.get(on).withdraw(&topic(), id, from, now);
    nodes.settle();
    withdrawn
}

/// What a client is given and says to have, as text.
fn read(nodes: &mut Nodes, on: u64, key: AttachmentKey) -> Vec<String> {
    let core = nodes.get(on);
    let batch = core.read(key, ALL);
    assert_eq!(batch.gaps, []);
    let texts = batch.entries.iter().map(|entry| entry.message().as_text().unwrap().to_owned());
    let texts = texts.collect();
    if let Some(mark) = nodes.get(on).mark(key) {
        nodes.get(on).acknowledge(key, mark);
    }
    nodes.settle();
    texts
}

/// Goal: who has a message that is taken back keeps it, all others never get it, and it is over.
#[test]
fn a_message_that_is_taken_back_reaches_nobody_more() {
    let (mut nodes, [one, two]) = begin();
    let (first, wrong, last) =
        (publish(&mut nodes, "a"), publish(&mut nodes, "wrong"), publish(&mut nodes, "b"));
    assert_eq!(read(&mut nodes, 1, one), ["a", "wrong", "b"]);
    let watch = nodes.get(1).watch_settled(wrong);
    withdraw(&mut nodes, 2, wrong, Recipients::Everyone).unwrap();
    assert_eq!(nodes.get(1).poll_verdicts(), [(watch, Verdict::Settled(Some(WITHDRAWN)))]);
    for core in nodes.cores.values() {
        let fate = Fate::Ended { topic: topic(), ending: WITHDRAWN };
        assert_eq!(core.fate(wrong), fate, "on {}", core.id());
        assert_eq!((core.accounting().stored.pending, core.accounting().unaccounted()), (3, 0));
    }
    assert_eq!(read(&mut nodes, 2, two), ["a", "b"]);
    nodes.pass(Duration::from_secs(10), Duration::from_millis(100));
    for core in nodes.cores.values() {
        let stored = core.accounting().stored;
        assert_eq!((stored.acknowledged, stored.dropped.withdrawn, stored.pending), (2, 1, 0));
        assert_eq!(core.accounting().unaccounted(), 0);
        assert!(matches!(core.fate(wrong), Fate::Ended { ending: WITHDRAWN, .. }));
        assert!(matches!(core.fate(last), Fate::Ended { ending: Ending::Acknowledged, .. }));
    }
    let watch = nodes.get(1).watch_settled(wrong);
    assert_eq!(nodes.get(1).poll_verdicts(), [(watch, Verdict::Settled(Some(WITHDRAWN)))]);
    let late = withdraw(&mut nodes, 1, first, Recipients::Everyone);
    assert_eq!(late, Err(Refused::NoMessage), "it is gone, as all have it");
}

/// Goal: what is taken back from some is for the others still, and nobody waits for those.
#[test]
fn a_message_is_taken_back_from_one_session_and_reaches_the_others() {
    let (mut nodes, [one, two]) = begin();
    let id = publish(&mut nodes, "m");
    let watch = nodes.get(2).watch_settled(id);
    withdraw(&mut nodes, 1, id, Recipients::only([session()])).unwrap();
    assert_eq!(nodes.get(2).poll_verdicts(), []);
    assert_eq!(read(&mut nodes, 1, one), [""; 0]);
    assert_eq!(read(&mut nodes, 2, two), ["m"]);
    assert!(matches!(nodes.get(2).poll_verdicts()[..], [(key, _)] if key == watch));
    nodes.pass(Duration::from_secs(10), Duration::from_millis(100));
    for core in nodes.cores.values() {
        let stored = core.accounting().stored;
        assert_eq!((stored.acknowledged, stored.dropped.total()), (1, 0));
    }
    let id = publish(&mut nodes, "m");
    for session in [session(), other()] {
        withdraw(&mut nodes, 2, id, Recipients::only([session])).unwrap();
    }
    assert!(matches!(nodes.get(1).fate(id), Fate::Pending(_)), "it may be for who joins");
    let many = (100..1_100).map(SessionId::from_bits);
    let refused = withdraw(&mut nodes, 2, id, Recipients::only(many));
    assert_eq!(refused, Err(Refused::TooManyRecipients { named: 1_002 }));
}

/// Goal: it is taken back also where that is heard of before the message is, and where both are
/// heard of in a snapshot, before and after the message was there.
#[test]
fn a_message_is_taken_back_in_whatever_order_that_is_heard_of() {
    let (mut nodes, _) = begin();
    let state = nodes.get(1).replica().state_of(session()).unwrap();
    let (node, now) = (|bits| NodeId::from_bits(bits), nodes.now);
    let id = MessageId::new(node(4), Seq::FIRST);
    let (to, message) = (Recipients::Everyone, Message::from("m"));
    let published = Op::Published { topic: topic(), to: to.clone(), message, cause: None };
    let withdrawn = Op::Withdrawn { topic: topic(), id, from: to };
    let withdrawn = || (MessageId::new(node(5), Seq::FIRST), withdrawn.clone());
    let fresh = || {
        let mut replica = Replica::new(node(1), Limits::default().log);
        let claimed = Op::SessionClaimed(state.clone());
        replica.apply(MessageId::new(node(6), Seq::FIRST), claimed, now);
        replica
    };
    let is_withdrawn = |replica: &Replica| {
        let key = replica.topics().find(&topic()).unwrap();
        let log = &replica.topics().get(key).log;
        (log.is_withdrawn(id), log.find(id).unwrap().message().len()) == (true, 0)
    };
    let mut early = fresh();
    early.apply(withdrawn().0, withdrawn().1, now);
    let mut told = fresh();
    tell(&early, &mut told, now);
    for replica in [&mut early, &mut told] {
        replica.apply(id, published.clone(), now);
        assert!(is_withdrawn(replica));
    }
    for had_message in [false, true] {
        let mut told = fresh();
        if had_message {
            told.apply(id, published.clone(), now);
        }
        tell(&early, &mut told, now);
        assert!(is_withdrawn(&told), "had the message: {had_message}");
    }
}

/// Tells all that one replica knows to another.
fn tell(from: &Replica, to: &mut Replica, now: Instant) {
    let frames = crate::proto::snapshot::frames_of(from, 1, to.applied());
    let parts = frames.iter().map(|frame| match Frame::decode(&frame.to_bytes()).unwrap() {
        Frame::Snapshot { part, .. } => part,
        other => panic!("{other:?} is no part"),
    });
    assert!(to.restore(from.known(), parts.collect(), now));
}

/// Goal: what is taken back costs nobody a gap, also if it goes at a limit.
#[test]
fn nobody_is_told_of_a_gap_where_something_was_taken_back() {
    let (mut nodes, [one, _]) = begin();
    let id = publish(&mut nodes, "m");
    withdraw(&mut nodes, 1, id, Recipients::Everyone).unwrap();
    nodes.pass(Limits::default().log.unread_for * 2, Duration::from_secs(1));
    for core in nodes.cores.values() {
        assert_eq!(core.accounting().stored.dropped.withdrawn, 1);
    }
    publish(&mut nodes, "next");
    assert_eq!(read(&mut nodes, 1, one), ["next"]);
}

/// Goal: a closed topic has no sessions and takes none, and what was published before arrives.
#[test]
fn a_topic_that_is_closed_is_left_by_all_and_opened_again_on_any_node() {
    let (mut nodes, [one, two]) = begin();
    publish(&mut nodes, "before");
    let now = nodes.now;
    nodes.get(2).set_closed(&topic(), true, now).unwrap();
    nodes.settle();
    let refused = nodes.get(1).publish(&topic(), Recipients::Everyone, "m".into(), now);
    assert_eq!(refused, Err(Refused::TopicClosed));
    assert_eq!(nodes.get(1).join(session(), &topic(), now), Err(Refused::TopicClosed));
    nodes.start(3);
    assert!(nodes.get(3).is_closed(&topic()), "who comes later hears of it");
    assert_eq!(read(&mut nodes, 1, one), ["before"]);
    assert_eq!(read(&mut nodes, 2, two), ["before"]);
    nodes.pass(Duration::from_secs(10), Duration::from_millis(100));
    for core in nodes.cores.values() {
        assert!(core.replica().topics().find(&topic()).is_none(), "on {}", core.id());
    }
    let now = nodes.now;
    nodes.get(3).set_closed(&topic(), false, now).unwrap();
    nodes.settle();
    nodes.get(1).join(session(), &topic(), now).unwrap();
    publish(&mut nodes, "after");
    assert_eq!(read(&mut nodes, 1, one), ["after"]);
}

/// Goal: who joined a topic on a node that had not heard that it was closed leaves it all the same,
/// also if its node is dead by then.
#[test]
fn who_joins_where_a_topic_is_not_known_to_be_closed_leaves_it() {
    for dies in [false, true] {
        let (mut nodes, _) = begin();
        let now = nodes.now;
        nodes.get(1).leave(session(), &topic(), now).unwrap();
        nodes.pass(Duration::from_secs(10), Duration::from_millis(100));
        let now = nodes.now;
        nodes.get(2).set_closed(&topic(), true, now).unwrap();
        nodes.get(1).join(session(), &topic(), now).unwrap();
        match dies {
            // Its last words are heard, but not its answer to what it heard last.
            true => {
                let one = nodes.get(1);
                let frames = one.poll_transmit(NodeId::from_bits(2), Lane::Journal, 1 << 20, now);
                for frame in frames {
                    let frame = Frame::decode(&frame.to_bytes()).unwrap();
                    nodes.get(2).handle_frame(NodeId::from_bits(1), frame, now);
                }
                nodes.kill(1);
            }
            false => nodes.settle(),
        }
        nodes.pass(Duration::from_secs(10), Duration::from_millis(100));
        for core in nodes.cores.values() {
            assert!(core.replica().session(session()).is_some());
            let key = core.replica().topics().find(&topic());
            let members = key.map(|key| core.replica().topics().get(key).members.len());
            assert_eq!(members.unwrap_or_default(), 0, "dies: {dies}, on {}", core.id());
        }
    }
}

#[test]
fn there_is_an_end_to_how_many_topics_are_closed() {
    let mut nodes = Nodes::new([1]);
    let now = nodes.now;
    let mut set = |at: usize, is_closed| {
        let topic = TopicName::parse(&format!("/{at}")).unwrap();
        nodes.get(1).set_closed(&topic, is_closed, now)
    };
    for at in 0..Closures::MAX {
        set(at, true).unwrap();
    }
    assert_eq!(set(Closures::MAX, true), Err(Refused::TooManyClosed));
    set(7, true).unwrap();
    set(7, false).unwrap();
    set(Closures::MAX, true).unwrap();
}

/// Goal: clients connect anew, on whichever node they are, and their sessions go on.
#[test]
fn clients_are_told_to_connect_anew_from_any_node() {
    let (mut nodes, [one, two]) = begin();
    let now = nodes.now;
    let ended = |nodes: &mut Nodes, on: u64| {
        std::iter::from_fn(|| nodes.get(on).poll_event())
            .map(|event| match event {
                Event::AttachmentEnded { key, why: Ended::Resumed } => key,
                other => panic!("{other:?}"),
            })
            .collect::<Vec<_>>()
    };
    nodes.get(2).resume(&TopicName::private(session()), now).unwrap();
    nodes.settle();
    assert_eq!((ended(&mut nodes, 1), ended(&mut nodes, 2)), (vec![one], vec![]));
    for core in nodes.cores.values() {
        let presence = core.replica().session(session()).unwrap().presence;
        assert_eq!(presence, Presence::Detached(Detachment::Resumed));
    }
    publish(&mut nodes, "m");
    let one = nodes.attach(1);
    assert_eq!(read(&mut nodes, 1, one), ["m"]);
    nodes.get(1).resume(&topic(), now).unwrap();
    nodes.settle();
    assert_eq!((ended(&mut nodes, 1), ended(&mut nodes, 2)), (vec![one], vec![two]));
    let nobody = TopicName::private(SessionId::from_bits(99));
    assert_eq!(nodes.get(1).resume(&nobody, now), Err(Refused::NoSession));
}

/// Goal: a node that keeps a message for a client of its own learns of a snapshot that it was taken back,
/// though who tells it keeps that message no more.
#[test]
fn what_was_taken_back_is_told_by_who_keeps_it_no_more() {
    let tail = TailLimits { stable_ops: 1, ..TailLimits::default() };
    let mut nodes = Nodes::new([1]);
    let log = LogLimits { messages: NonZeroUsize::MIN, ..LogLimits::default() };
    for id in [2, 3] {
        nodes.add(Core::new(NodeId::from_bits(id), Limits { tail, log, ..Limits::default() }));
    }
    let key = nodes.attach(1);
    let now = nodes.now;
    nodes.get(1).join(session(), &topic(), now).unwrap();
    nodes.get(1).set_ready(session(), now);
    nodes.settle();
    let wrong = publish(&mut nodes, "wrong");

    let mut apart = nodes.cores.remove(&NodeId::from_bits(1)).unwrap();
    apart.handle_link_down(NodeId::from_bits(2));
    apart.handle_link_down(NodeId::from_bits(3));
    for id in [2, 3] {
        nodes.get(id).handle_link_down(apart.id());
        nodes.get(id).handle_dead(apart.id(), now);
    }
    withdraw(&mut nodes, 2, wrong, Recipients::Everyone).unwrap();
    nodes.get(2).publish(&topic(), Recipients::Everyone, "right".into(), now).unwrap();
    nodes.pass(Duration::from_secs(20), Duration::from_secs(1));

    let two = nodes.cores.remove(&NodeId::from_bits(2)).unwrap();
    nodes.cores.clear();
    nodes.add(two);
    nodes.add(apart);
    let batch = nodes.get(1).read(key, ALL);
    let texts: Vec<_> = batch.entries.iter().map(|entry| entry.message().as_text()).collect();
    assert_eq!(texts, [Some("right")], "the other was taken back");
}
