//! A client that does not keep up is told of a gap, or closed, as the node is set.

use std::num::NonZeroUsize;

use super::*;
use crate::proto::{Detachment, Presence, SlowConsumers};

/// A node that keeps ten messages of a topic, and a client that has had the first of them.
fn begin(slow_consumers: SlowConsumers) -> (Nodes, AttachmentKey) {
    let mut nodes = Nodes::new([]);
    let log = LogLimits { messages: NonZeroUsize::new(10).unwrap(), ..Limits::default().log };
    let limits = Limits { log, slow_consumers, ..Limits::default() };
    nodes.add(Core::new(NodeId::from_bits(1), limits));
    let key = nodes.attach(1);
    let now = nodes.now;
    nodes.get(1).join(session(), &topic(), now).unwrap();
    nodes.publish(1);
    assert_eq!(nodes.receive(1, key), 1);
    (nodes, key)
}

fn publish_many(nodes: &mut Nodes) {
    (0..20).for_each(|_| nodes.publish(1));
}

fn is_ended(nodes: &mut Nodes, key: AttachmentKey) -> bool {
    let ended = nodes.get(1).poll_event();
    matches!(ended, Some(Event::AttachmentEnded { key: told, why: Ended::Slow }) if told == key)
}

#[test]
fn who_does_not_keep_up_is_told_of_a_gap_if_that_is_the_policy() {
    let (mut nodes, key) = begin(SlowConsumers::Gap);
    publish_many(&mut nodes);
    nodes.pass(Duration::from_secs(1), Duration::from_millis(100));
    assert!(nodes.get(1).poll_event().is_none());
    let batch = nodes.get(1).read(key, ALL);
    assert_eq!((batch.gaps.len(), batch.entries.len()), (1, 10));
    assert_eq!(nodes.get(1).deliveries().slow, 1);
}

#[test]
fn who_was_away_was_not_too_slow() {
    let (mut nodes, key) = begin(SlowConsumers::Gap);
    let now = nodes.now;
    nodes.get(1).detach(key, Detachment::Lost, Duration::from_secs(60), now);
    publish_many(&mut nodes);
    let key = nodes.attach(1);
    assert_eq!(nodes.get(1).read(key, ALL).gaps.len(), 1);
    assert_eq!(nodes.get(1).deliveries().slow, 0);
}

#[test]
fn who_does_not_keep_up_is_closed_if_that_is_the_policy_and_then_told_of_the_gap() {
    let (mut nodes, key) = begin(SlowConsumers::Close);
    publish_many(&mut nodes);
    let batch = nodes.get(1).read(key, ALL);
    assert!(batch.is_empty() && !batch.more, "it is told of nothing before it is closed");
    nodes.pass(Duration::from_millis(200), Duration::from_millis(100));
    assert!(is_ended(&mut nodes, key));
    let presence = nodes.get(1).replica().session(session()).map(|known| known.presence);
    assert_eq!(presence, Some(Presence::Detached(Detachment::Slow)));
    let key = nodes.attach(1);
    nodes.pass(Duration::from_secs(1), Duration::from_millis(100));
    assert!(nodes.get(1).poll_event().is_none(), "who has just come back is not slow");
    let batch = nodes.get(1).read(key, ALL);
    assert_eq!((batch.gaps.len(), batch.entries.len()), (1, 10));
    publish_many(&mut nodes);
    nodes.pass(Duration::from_millis(200), Duration::from_millis(100));
    assert!(is_ended(&mut nodes, key), "who goes on like that is");
    assert_eq!(nodes.get(1).deliveries().slow, 2);
}

#[test]
fn who_keeps_up_is_not_closed_whatever_is_dropped() {
    let (mut nodes, key) = begin(SlowConsumers::Close);
    for _ in 0..5 {
        for _ in 0..9 {
            nodes.publish(1);
        }
        assert_eq!(
            nodes.get(1).read(key, ALL).entries.len(),
            9,
            "it has them, and does not say so"
        );
        nodes.pass(Duration::from_millis(200), Duration::from_millis(100));
        assert!(nodes.get(1).poll_event().is_none());
    }
}
