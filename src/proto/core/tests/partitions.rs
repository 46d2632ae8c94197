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

/// How many sessions a node takes for its own.
fn owned_by(nodes: &mut Nodes, id: u64) -> usize {
    let core = nodes.get(id);
    core.replica().sessions().filter(|session| session.claim.node == core.id()).count()
}
