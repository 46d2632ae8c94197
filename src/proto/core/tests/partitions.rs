//! Two sides of a partition that meet again.

use super::*;
use crate::proto::TailLimits;

/// Goal: a node that hears at once of thousands of its sessions that the other side has claimed takes
/// them back one after the other, however many there are.
///
/// Method: more sessions than fit on the stack if each was handled within the one before, of which a
/// snapshot tells.
#[test]
fn however_many_sessions_are_taken_back_at_once_they_are_one_after_the_other() {
    const SESSIONS: u128 = 4_000;
    let tail = TailLimits { stable_ops: 1, ..TailLimits::default() };
    let mut nodes = Nodes::new([]);
    for id in [1, 2] {
        nodes.add(Core::new(NodeId::from_bits(id), Limits { tail, ..Limits::default() }));
    }
    let now = nodes.now;
    for id in 0..SESSIONS {
        nodes.get(1).attach(None, SessionId::from_bits(id), "/a", &Holder::default(), now);
    }
    nodes.settle();
    let (one, other) = (NodeId::from_bits(1), NodeId::from_bits(2));
    for (id, peer) in [(1, other), (2, one)] {
        nodes.get(id).handle_link_down(peer);
        nodes.get(id).handle_dead(peer, now);
    }
    nodes.pass(Duration::from_secs(20), Duration::from_secs(1));
    assert_eq!(owned_by(&mut nodes, 2), SESSIONS as usize, "it takes the other for dead");

    let now = nodes.now;
    let have = [1, 2].map(|id| nodes.get(id).replica().applied().clone());
    for (id, peer, have) in [(1, other, &have[1]), (2, one, &have[0])] {
        nodes.get(id).handle_live(peer, now);
        nodes.get(id).handle_link_up(peer, have.clone(), now);
    }
    nodes.settle();
    assert_eq!(owned_by(&mut nodes, 1), SESSIONS as usize, "their clients are there");
    assert_eq!(owned_by(&mut nodes, 2), 0);
}

/// Goal: what was dropped in a topic that nobody was known to be in is told, when it turns out that
/// somebody was, though that topic was forgotten meanwhile.
///
/// Method: two nodes that have never met; the topic of the one is forgotten before a client of the other
/// is heard of, or only after, so that it is told by a snapshot of either kind of topic.
#[test]
fn what_a_forgotten_topic_has_lost_is_told() {
    let unread_for = Duration::from_secs(2);
    for is_opened_again in [false, true] {
        let mut nodes = Nodes::new([1]);
        let tail = TailLimits { stable_ops: 1, ..TailLimits::default() };
        let log = LogLimits { unread_for, ..LogLimits::default() };
        let now = nodes.now;
        let key = nodes.attach(1);
        nodes.get(1).join(session(), &topic(), now).unwrap();
        nodes.get(1).set_ready(session(), now);

        let mut apart = Core::new(NodeId::from_bits(2), Limits { tail, log, ..Limits::default() });
        apart.publish(&topic(), Recipients::Everyone, Message::from("m"), now).unwrap();
        let elsewhere = TopicName::parse("/elsewhere").unwrap();
        for _ in 0..2 {
            apart.publish(&elsewhere, Recipients::Everyone, Message::from("m"), now).unwrap();
        }
        nodes.now = now + 2 * unread_for;
        apart.handle_timeout(nodes.now);
        assert!(apart.replica().topics().find(&topic()).is_none(), "it is forgotten");
        if is_opened_again {
            apart.publish(&topic(), Recipients::Everyone, Message::from("n"), nodes.now).unwrap();
        }
        nodes.add(apart);

        let batch = nodes.get(1).read(key, ALL);
        assert_eq!(batch.entries.len(), usize::from(is_opened_again));
        assert_eq!(batch.gaps.len(), 1, "opened again: {is_opened_again}");
    }
}

/// Goal: what was dropped as had by all, in a topic that was forgotten since, is counted as dropped once
/// somebody is heard of who did not have it.
#[test]
fn what_all_had_in_a_forgotten_topic_is_counted_anew() {
    let mut nodes = Nodes::new([1]);
    let now = nodes.now;
    nodes.attach(1);
    nodes.get(1).join(session(), &topic(), now).unwrap();

    let mut apart = Core::new(NodeId::from_bits(2), Limits::default());
    apart.publish(&topic(), Recipients::Everyone, Message::from("m"), now).unwrap();
    nodes.now = now + 2 * LogLimits::default().floor;
    apart.handle_timeout(nodes.now);
    assert!(apart.replica().topics().find(&topic()).is_none(), "it is forgotten");
    assert_eq!(apart.accounting().stored.acknowledged, 1);
    nodes.add(apart);

    for tally in [nodes.get(2).accounting().stored, nodes.get(2).accounting().published] {
        assert_eq!((tally.acknowledged, tally.dropped.unheard), (0, 1));
        assert_eq!(tally.unaccounted(), 0);
    }
}

/// How many sessions a node takes for its own.
fn owned_by(nodes: &mut Nodes, id: u64) -> usize {
    let core = nodes.get(id);
    core.replica().sessions().filter(|session| session.claim.node == core.id()).count()
}
