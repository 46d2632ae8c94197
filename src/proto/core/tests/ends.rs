//! What a handler is told at the end of a session: once, and why.

use super::*;
use crate::proto::{Detachment, Presence, Session};

/// What handlers are told on all nodes until nothing more comes.
fn told(nodes: &mut Nodes) -> Vec<(u64, CloseReason)> {
    let kept = Limits::default().session_kept;
    nodes.pass(kept + Duration::from_secs(5), Duration::from_secs(1));
    let mut told = Vec::new();
    for core in nodes.cores.values_mut() {
        while let Some(event) = core.poll_event() {
            if let Event::SessionEnded { reason, .. } = event {
                told.push((core.id().to_bits(), reason));
            }
        }
    }
    told
}

fn presence(nodes: &mut Nodes, id: u64) -> Option<Presence> {
    let known: Option<&Session> = nodes.get(id).replica().session(session());
    known.map(|known| known.presence)
}

#[test]
fn a_client_that_does_not_come_back_is_given_up_for_why_it_was_gone() {
    for why in [Detachment::Left, Detachment::Lost, Detachment::NodeLeft, Detachment::Violation] {
        let mut nodes = Nodes::new([1, 2]);
        let key = nodes.attach(1);
        let (now, kept) = (nodes.now, Limits::default().session_kept);
        nodes.get(1).detach(key, why, kept, now);
        nodes.settle();
        assert_eq!(presence(&mut nodes, 2), Some(Presence::Detached(why)), "the others know it");
        assert_eq!(told(&mut nodes), [(1, CloseReason::Abandoned(why))]);
    }
}

#[test]
fn why_a_client_was_gone_before_it_came_back_is_forgotten() {
    let mut nodes = Nodes::new([1, 2]);
    let key = nodes.attach(1);
    let (now, kept) = (nodes.now, Limits::default().session_kept);
    nodes.get(1).detach(key, Detachment::Violation, kept, now);
    nodes.settle();
    let key = nodes.attach(2);
    assert_eq!(presence(&mut nodes, 1), Some(Presence::Attached));
    let now = nodes.now;
    nodes.get(2).detach(key, Detachment::Left, kept, now);
    nodes.settle();
    assert_eq!(told(&mut nodes), [(2, CloseReason::Abandoned(Detachment::Left))]);
}

/// Goal: the death of a node is why a client is gone that was there, and not why one is that was gone
/// before.
#[test]
fn a_client_whose_node_died_is_given_up_for_that() {
    for (before, expected) in
        [(None, Detachment::NodeDied), (Some(Detachment::Left), Detachment::Left)]
    {
        let mut nodes = Nodes::new([1, 2]);
        let key = nodes.attach(1);
        if let Some(why) = before {
            let (now, kept) = (nodes.now, Limits::default().session_kept);
            nodes.get(1).detach(key, why, kept, now);
            nodes.settle();
        }
        nodes.kill(1);
        assert_eq!(told(&mut nodes), [(2, CloseReason::Abandoned(expected))]);
    }
}

#[test]
fn nobody_is_looked_after_who_came_back_or_is_over() {
    for comes_back in [true, false] {
        let mut nodes = Nodes::new([1]);
        let key = nodes.attach(1);
        let (now, other) = (nodes.now, SessionId::from_bits(8));
        nodes.get(1).attach(None, other, "/a", &Holder::default(), now);
        for session in [session(), other] {
            nodes.get(1).join(session, &topic(), now).unwrap();
        }
        nodes.publish(1);
        nodes.get(1).leave(other, &topic(), now).unwrap();
        let is_being_left = |nodes: &mut Nodes| {
            let topics = nodes.get(1).replica().topics();
            topics.get(topics.find(&topic()).unwrap()).is_being_left()
        };
        assert!(is_being_left(&mut nodes));
        match comes_back {
            true => nodes.get(1).join(other, &topic(), now).unwrap(),
            false => nodes.get(1).close(other, CloseReason::Application, now),
        }
        assert!(!is_being_left(&mut nodes), "comes back: {comes_back}");
        nodes.receive(1, key);
    }
}
