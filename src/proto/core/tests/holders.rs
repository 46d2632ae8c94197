//! Sessions belong to somebody, wherever they go.

use super::*;
use crate::{
    id::{BrowserId, Principal},
    proto::Detachment,
};

fn holder(name: &str, browser: Option<u128>) -> Holder {
    Holder::new(Principal::new(name).ok(), browser.map(BrowserId::from_bits))
}

/// What an attachment comes to on a node: the session, and whether it existed.
fn attach(nodes: &mut Nodes, node: u64, fresh: u128, holder: &Holder) -> (SessionId, bool) {
    let (fresh, now) = (SessionId::from_bits(fresh), nodes.now);
    let attached = nodes.get(node).attach(Some(session()), fresh, "/a", holder, now);
    nodes.settle();
    (attached.session, attached.resumed)
}

#[test]
fn a_stranger_gets_a_session_of_its_own_and_disturbs_nobody() {
    let mut nodes = Nodes::new([1, 2]);
    let alice = holder("alice", Some(1));
    let fresh = session().to_bits();
    assert_eq!(attach(&mut nodes, 1, fresh, &alice), (session(), false));
    let strangers = [
        Holder::default(),
        holder("bob", Some(1)),
        holder("alice", Some(2)),
        holder("alice", None),
    ];
    for (node, fresh, stranger) in
        (100..).zip(&strangers).flat_map(|(fresh, who)| [(1, fresh, who), (2, fresh + 100, who)])
    {
        let own = (SessionId::from_bits(fresh), false);
        assert_eq!(attach(&mut nodes, node, fresh, stranger), own, "{stranger:?} on {node}");
        assert!(nodes.get(node).replica().session_of(session(), "/a", stranger).is_none());
    }
    let claim = nodes.get(2).replica().session(session()).unwrap().claim;
    assert_eq!((claim.node, claim.epoch.next()), (NodeId::from_bits(1), Epoch::new(2)));
    assert!(nodes.get(1).poll_event().is_none(), "its connection goes on");
    assert_eq!(attach(&mut nodes, 2, 300, &alice), (session(), true));
}

/// Goal: whose a session is outlives its node, and is known to who came later.
#[test]
fn a_session_belongs_to_the_same_wherever_it_goes() {
    let mut nodes = Nodes::new([1, 2]);
    let (alice, bob) = (holder("alice", None), holder("bob", None));
    attach(&mut nodes, 1, session().to_bits(), &alice);
    nodes.kill(1);
    nodes.pass(Duration::from_secs(2), Duration::from_millis(100));
    nodes.start(3);
    nodes.pass(Duration::from_secs(2), Duration::from_millis(100));
    assert_eq!(attach(&mut nodes, 3, 100, &bob), (SessionId::from_bits(100), false));
    assert_eq!(attach(&mut nodes, 3, 200, &alice), (session(), true));
}

#[test]
fn a_node_that_is_full_has_room_for_sessions_that_are_there_and_the_askers_own() {
    let limits = Limits { sessions: 1, ..Limits::default() };
    let mut core = Core::new(NodeId::from_bits(1), limits);
    let (alice, bob) = (holder("alice", None), holder("bob", None));
    let now = Nodes::new([]).now;
    core.attach(None, session(), "/a", &alice, now);
    assert!(core.has_room_for_session(Some(session()), "/a", &alice));
    assert!(!core.has_room_for_session(Some(session()), "/a", &bob));
    assert!(!core.has_room_for_session(Some(session()), "/b", &alice));
}

/// Goal: whoever is away for the longest gives way first, and nobody who is there.
#[test]
fn the_longest_gone_is_given_up_first() {
    let mut core = Core::new(NodeId::from_bits(1), Limits::default());
    let (alice, mut now) = (holder("alice", None), Nodes::new([]).now);
    let keys = (1..=3)
        .map(|number| core.attach(None, SessionId::from_bits(number), "/a", &alice, now).key);
    let keys: Vec<_> = keys.collect();
    for key in [keys[1], keys[0]] {
        now += Duration::from_secs(1);
        core.detach(key, Detachment::Lost, Duration::from_secs(30), now);
    }
    for left in [&[1, 3][..], &[3], &[3]] {
        core.give_up_longest_gone(now);
        let sessions: Vec<_> = core.sessions_after(None).map(|it| it.id.to_bits()).collect();
        assert_eq!(sessions, left);
    }
}
