//! Pushes, and who tells the handler of them.

use super::*;
use crate::{
    id::{Cause, PushKey},
    proto::{Acknowledgement, Detachment, Level, Push},
};

fn key(number: u64) -> PushKey {
    PushKey::Counted { epoch: 9, number }
}

impl Nodes {
    fn push(&mut self, id: u64, attachment: AttachmentKey, number: u64) -> Push {
        let now = self.now;
        let pushed = self.get(id).push(attachment, &key(number), &Message::from("p"), now);
        self.settle();
        pushed
    }

    /// The pushes that node `id` is to tell the handler of, and does.
    fn begun(&mut self, id: u64) -> Vec<PushKey> {
        let (now, core) = (self.now, self.get(id));
        let mut begun = Vec::new();
        while let Some(event) = core.poll_event() {
            if let Event::Pushed { session, .. } = event
                && let Some((key, _)) = core.begin_push(session.id, now)
            {
                begun.push(key);
            }
        }
        begun
    }

    fn finish(&mut self, id: u64, number: u64) {
        let now = self.now;
        self.get(id).finish_push(session(), &key(number), now);
        self.settle();
    }

    fn acknowledged(&mut self, id: u64, attachment: AttachmentKey) -> Vec<(PushKey, Level, usize)> {
        let told = self.get(id).read(attachment, ALL).acknowledged.into_iter();
        told.map(|Acknowledgement { key, level, nodes }| (key, level, nodes)).collect()
    }
}

#[test]
fn a_push_is_stored_acknowledged_and_handled_once() {
    let mut nodes = Nodes::new([1, 2]);
    let attachment = nodes.attach(1);
    assert_eq!(nodes.push(1, attachment, 1), Push::Accepted);
    assert_eq!(nodes.acknowledged(1, attachment), [(key(1), Level::Replicated, 2)]);
    assert_eq!(nodes.push(1, attachment, 1), Push::Accepted, "it was sent again");
    assert_eq!(nodes.acknowledged(1, attachment), [(key(1), Level::Replicated, 2)]);
    assert_eq!(nodes.begun(1), [key(1)]);
    assert_eq!(nodes.begun(2), []);
    nodes.finish(1, 1);
    assert_eq!(nodes.push(1, attachment, 1), Push::Accepted);
    assert_eq!(nodes.begun(1), []);
    for core in nodes.cores.values() {
        assert!(core.replica().inbox(session()).unwrap().is_idle());
    }
}

#[test]
fn who_is_alone_acknowledges_at_once_and_who_lost_its_peer_after_a_while() {
    let mut nodes = Nodes::new([1]);
    let attachment = nodes.attach(1);
    nodes.push(1, attachment, 1);
    assert_eq!(nodes.acknowledged(1, attachment), [(key(1), Level::Local, 1)]);
    nodes.start(2);
    nodes.kill(2);
    nodes.push(1, attachment, 2);
    assert_eq!(nodes.acknowledged(1, attachment), []);
    nodes.pass(Duration::from_secs(3), Duration::from_millis(100));
    assert_eq!(nodes.acknowledged(1, attachment), [(key(2), Level::Local, 1)]);
}

/// Goal: for a peer that has left for good nobody waits.
#[test]
fn nobody_waits_for_a_peer_that_has_left() {
    let mut nodes = Nodes::new([1, 2]);
    let attachment = nodes.attach(1);
    nodes.get(2).say_goodbye();
    nodes.settle();
    nodes.kill(2);
    nodes.push(1, attachment, 1);
    assert_eq!(nodes.acknowledged(1, attachment), [(key(1), Level::Local, 1)]);
}

/// Goal: who sends the same again and again does not fill the memory while nothing can be stored.
#[test]
fn a_client_is_not_read_from_while_too_much_of_it_is_not_stored() {
    let mut nodes = Nodes::new([1, 2]);
    let attachment = nodes.attach(1);
    let now = nodes.now;
    let core = nodes.get(1);
    let mut push = || core.push(attachment, &key(1), &Message::from("p"), now);
    let taken = (0..10_000).take_while(|_| push() == Push::Accepted).count();
    assert!(taken < 2_000, "{taken}");
    assert_eq!(push(), Push::Later);
    nodes.settle();
    assert!(nodes.get(1).poll_wakes().contains(&attachment));
    assert_eq!(nodes.acknowledged(1, attachment).len(), taken);
    assert_eq!(nodes.push(1, attachment, 1), Push::Accepted);
}

#[test]
fn a_push_that_was_not_handled_is_handled_by_the_next_owner() {
    for client_comes_back in [false, true] {
        let mut nodes = Nodes::new([1, 2]);
        let attachment = nodes.attach(1);
        nodes.push(1, attachment, 1);
        nodes.push(1, attachment, 2);
        assert_eq!(nodes.begun(1), [key(1), key(2)]);
        nodes.finish(1, 1);
        if client_comes_back {
            nodes.attach(2);
            let now = nodes.now;
            assert!(nodes.get(1).begin_push(session(), now).is_none());
        } else {
            nodes.kill(1);
        }
        assert_eq!(nodes.begun(2), [key(2)]);
        nodes.finish(2, 2);
        assert!(nodes.get(2).replica().inbox(session()).unwrap().is_idle());
    }
}

#[test]
fn what_a_handler_did_before_its_node_died_is_not_done_again() {
    let mut nodes = Nodes::new([1, 2]);
    let attachment = nodes.attach(1);
    nodes.push(1, attachment, 1);
    let publish = |nodes: &mut Nodes, id, index| {
        let cause = Some(Cause::new(session(), key(1), index));
        let (now, core) = (nodes.now, nodes.get(id));
        let message = Message::from("effect");
        let id = core.publish_because(&topic(), Recipients::Everyone, message, cause, now).unwrap();
        nodes.settle();
        id
    };
    let first = publish(&mut nodes, 1, 0);
    nodes.kill(1);
    assert_eq!(nodes.begun(2), [key(1)]);
    assert_eq!(publish(&mut nodes, 2, 0), first);
    assert_ne!(publish(&mut nodes, 2, 1), first);
}

/// Goal: pushes are handled in their order, also by a node that lost the session and has it again.
///
/// Method: the handler of the first node takes its time, and asks for more after each push.
#[test]
fn who_has_a_session_again_goes_on_with_the_first_push() {
    let mut nodes = Nodes::new([1, 2]);
    let attachment = nodes.attach(1);
    for number in 1..=3 {
        nodes.push(1, attachment, number);
    }
    let now = nodes.now;
    let next = |nodes: &mut Nodes| nodes.get(1).begin_push(session(), now).map(|(key, _)| key);
    assert_eq!(next(&mut nodes), Some(key(1)));
    nodes.finish(1, 1);
    nodes.attach(2);
    assert_eq!(next(&mut nodes), None, "the other node tells its handler");
    nodes.attach(1);
    assert_eq!(next(&mut nodes), Some(key(2)));
    assert_eq!(next(&mut nodes), Some(key(3)));
}

/// Goal: a node that joins late does not wait for ever for a node that nobody remembers.
#[test]
fn what_follows_a_node_that_was_never_heard_of_waits_for_a_while_only() {
    let mut nodes = Nodes::new([1, 2]);
    let stranger = MessageId::new(NodeId::from_bits(7), Seq::new(3));
    let id = MessageId::new(
        NodeId::from_bits(2),
        nodes.get(2).replica().applied().get(NodeId::from_bits(2)),
    );
    let op = Op::Follows { after: stranger };
    let encoded = Encoded::op(id, &op);
    let now = nodes.now;
    let frame = Frame::Operation { id, op, encoded };
    nodes.get(1).handle_frame(NodeId::from_bits(2), frame, now);
    assert!(!nodes.get(1).replica().applied().covers(id));
    nodes.pass(Duration::from_secs(20), Duration::from_millis(500));
    assert!(nodes.get(1).replica().applied().covers(id));
}

/// Goal: who re-runs a handler says that what it does comes after what was done before.
#[test]
fn what_was_done_before_comes_first_for_all() {
    let mut nodes = Nodes::new([1, 2, 3]);
    let attachment = nodes.attach(1);
    nodes.push(1, attachment, 1);
    nodes.attach(2);
    let effect = |nodes: &mut Nodes, id| {
        let (now, cause) = (nodes.now, Some(Cause::new(session(), key(1), 0)));
        let message = Message::from("effect");
        nodes.get(id).publish_because(&topic(), Recipients::Everyone, message, cause, now).unwrap()
    };
    let first = effect(&mut nodes, 1); // Its handler has not noticed that the session has moved.
    nodes.settle();
    let two = NodeId::from_bits(2);
    let before = nodes.get(2).replica().applied().get(two);
    assert_eq!(effect(&mut nodes, 2), first);
    assert_eq!(nodes.get(2).replica().applied().get(two), before.next());
}

/// Goal: what is done about a push comes, for everybody, after what was done about those before it,
/// whoever did that.
#[test]
fn what_another_node_handled_comes_first_for_all() {
    let mut nodes = Nodes::new([1, 2]);
    let attachment = nodes.attach(2);
    nodes.push(2, attachment, 1);
    nodes.push(2, attachment, 2);
    nodes.finish(1, 1); // It has taken the other for dead, and knows better by now.
    let two = NodeId::from_bits(2);
    let before = nodes.get(2).replica().applied().get(two);
    assert_eq!(nodes.begun(2), [key(2)]);
    assert_eq!(nodes.get(2).replica().applied().get(two), before.next());
    nodes.push(2, attachment, 1);
    assert_eq!(nodes.get(2).replica().applied().get(two), before.next(), "that is said already");
}

/// Goal: who hears what a push led to has heard of the push, and can note it.
///
/// Method: the push was accepted by a node that did not know that it had lost the session.
#[test]
fn what_accepted_a_push_comes_before_what_it_led_to_for_all() {
    let mut nodes = Nodes::new([1, 2]);
    nodes.attach(2);
    let id = MessageId::new(NodeId::from_bits(9), Seq::FIRST);
    let op = Op::Accepted { session: session(), key: key(1), message: Message::from("p") };
    let (encoded, now) = (Encoded::op(id, &op), nodes.now);
    let frame = Frame::Operation { id, op, encoded };
    nodes.get(2).handle_frame(NodeId::from_bits(1), frame, now);
    let two = NodeId::from_bits(2);
    let before = nodes.get(2).replica().applied().get(two);
    assert_eq!(nodes.begun(2), [key(1)]);
    assert_eq!(nodes.get(2).replica().applied().get(two), before.next());
}

/// Goal: a client does not overtake itself that comes back to a node which has not heard of all that
/// was acknowledged to it.
///
/// Method: a client comes back with its third push. Its second is heard of later, or never.
#[test]
fn a_push_waits_for_those_before_that_are_on_their_way() {
    for is_heard_of in [true, false] {
        let mut nodes = Nodes::new([1, 2]);
        let attachment = nodes.attach(1);
        nodes.push(1, attachment, 1);
        let attachment = nodes.attach(2);
        assert_eq!(nodes.push(2, attachment, 3), Push::Later);
        nodes.get(2).poll_wakes();
        if is_heard_of {
            let id = MessageId::new(NodeId::from_bits(9), Seq::FIRST);
            let message = Message::from("p");
            let op = Op::Accepted { session: session(), key: key(2), message };
            let (encoded, now) = (Encoded::op(id, &op), nodes.now);
            let frame = Frame::Operation { id, op, encoded };
            nodes.get(2).handle_frame(NodeId::from_bits(1), frame, now);
        } else {
            nodes.pass(Duration::from_secs(2), Duration::from_millis(100));
            assert_eq!(nodes.push(2, attachment, 3), Push::Later);
            nodes.get(2).poll_wakes();
            nodes.pass(Duration::from_secs(2), Duration::from_millis(100));
        }
        assert!(nodes.get(2).poll_wakes().contains(&attachment), "heard of: {is_heard_of}");
        assert_eq!(nodes.push(2, attachment, 3), Push::Accepted);
    }
}

#[test]
fn a_session_ends_once_all_its_pushes_are_handled() {
    let mut nodes = Nodes::new([1, 2]);
    let attachment = nodes.attach(1);
    nodes.push(1, attachment, 1);
    let now = nodes.now;
    nodes.get(1).close_from(attachment, now);
    nodes.settle();
    assert_eq!(nodes.begun(1), [key(1)]);
    nodes.finish(1, 1);
    for core in nodes.cores.values() {
        assert!(core.replica().session(session()).is_none());
    }
}

/// Goal: a node that is about to leave begins nothing whose outcome would be refused.
#[test]
fn who_is_about_to_leave_tells_no_handler() {
    let mut nodes = Nodes::new([1, 2]);
    let attachment = nodes.attach(1);
    nodes.push(1, attachment, 1);
    nodes.get(1).begin_leaving();
    assert_eq!(nodes.begun(1), []);
    nodes.kill(1);
    assert_eq!(nodes.begun(2), [key(1)]);
}

/// Goal: a session ends that waited for a push, also where another node's handler was told of it.
#[test]
fn a_session_ends_once_another_node_has_handled_its_pushes() {
    let mut nodes = Nodes::new([1, 2]);
    let attachment = nodes.attach(1);
    nodes.push(1, attachment, 1);
    let now = nodes.now;
    nodes.get(1).close_from(attachment, now);
    nodes.finish(2, 1); // It has taken the other for dead, and knows better by now.
    nodes.pass(Duration::from_secs(2), Duration::from_millis(100));
    assert_eq!(nodes.begun(1), []);
    for core in nodes.cores.values() {
        assert!(core.replica().session(session()).is_none());
    }
}

/// Goal: a node does not forget a dead one before it has heard what that did: it may have to look
/// after sessions of it.
///
/// Method: what a dead node did follows what another did, of which nobody has heard.
#[test]
fn a_node_of_which_something_is_put_off_is_not_forgotten() {
    let limits = Limits { dead_kept: Duration::from_secs(12), ..Limits::default() };
    let mut nodes = Nodes::new([2]);
    nodes.add(Core::new(NodeId::from_bits(1), limits));
    nodes.start(3);
    nodes.kill(3);
    let [three, stranger] = [3, 9].map(NodeId::from_bits);
    let hear = |nodes: &mut Nodes, seq, op: Op| {
        let (id, now) = (MessageId::new(three, Seq::new(seq)), nodes.now);
        let encoded = Encoded::op(id, &op);
        let frame = Frame::Operation { id, op, encoded };
        nodes.get(1).handle_frame(NodeId::from_bits(2), frame, now);
    };
    hear(&mut nodes, 0, Op::Follows { after: MessageId::new(stranger, Seq::FIRST) });
    nodes.pass(Duration::from_secs(14), Duration::from_millis(500));
    assert!(!nodes.get(1).replica().is_retired(three));
    nodes.pass(Duration::from_secs(20), Duration::from_millis(500));
    assert!(nodes.get(1).replica().is_retired(three), "in the end it is");
}

/// Goal: who waited for a client in vain, and then for a handler, does not end the session that has
/// gone to another node meanwhile.
#[test]
fn who_was_about_to_give_up_a_client_does_not_once_it_is_elsewhere() {
    let (second, step) = (Duration::from_secs(1), Duration::from_millis(100));
    let mut nodes = Nodes::new([1, 2]);
    let attachment = nodes.attach(1);
    nodes.push(1, attachment, 1);
    assert_eq!(nodes.begun(1), [key(1)]);
    let now = nodes.now;
    nodes.get(1).detach(attachment, Detachment::Lost, second, now);
    nodes.pass(2 * second, step);
    let there = nodes.attach(2);
    let now = nodes.now;
    nodes.get(2).detach(there, Detachment::Lost, 60 * second, now);
    nodes.settle();
    nodes.finish(1, 1);
    for core in nodes.cores.values() {
        let owner = core.replica().session(session()).map(|known| known.claim.node);
        assert_eq!(owner, Some(NodeId::from_bits(2)), "on {}", core.id());
    }
}

#[test]
fn at_the_limit_a_push_waits_until_another_is_handled() {
    let mut nodes = Nodes::new([1]);
    let attachment = nodes.attach(1);
    let full = (1..).find(|&number| nodes.push(1, attachment, number) == Push::Later).unwrap();
    let _ = nodes.get(1).poll_wakes();
    nodes.begun(1);
    nodes.finish(1, 1);
    assert_eq!(nodes.get(1).poll_wakes(), [attachment]);
    assert_eq!(nodes.push(1, attachment, full), Push::Accepted);
}

/// Goal: a client that moves is not given again what its last node knows it to have.
///
/// Method: no report is sent between the acknowledgement and the move.
#[test]
fn the_last_owner_says_how_far_its_client_has_read() {
    let mut nodes = Nodes::new([1, 2]);
    let key = nodes.attach(1);
    let now = nodes.now;
    nodes.get(1).join(session(), &topic(), now).unwrap();
    nodes.settle();
    for _ in 0..2 {
        nodes.publish(1); // The second report must wait for the first to be a while ago.
        assert_eq!(nodes.receive(1, key), 1);
    }
    let behind = nodes.get(2).attach(Some(session()), session(), "/a", &Holder::default(), now).key;
    assert!(nodes.get(2).is_taking_over(session()));
    assert!(nodes.get(2).read(behind, ALL).is_empty(), "the last owner is being asked");
    nodes.settle();
    assert!(!nodes.get(2).is_taking_over(session()));
    assert!(nodes.get(2).poll_wakes().contains(&behind));
    assert_eq!(nodes.receive(2, behind), 0);
}

/// Goal: a client that goes on to the next node is written to there at once, though the last one was
/// not told what the one before did; it is not read from until that was waited for.
///
/// Method: what node 1 says to node 2 about the session is lost.
#[test]
fn an_owner_that_still_waits_says_how_far_its_client_has_read() {
    let mut nodes = Nodes::new([1, 2, 3]);
    nodes.attach(1);
    let (two, now) = (NodeId::from_bits(2), nodes.now);
    nodes.get(1).join(session(), &topic(), now).unwrap();
    nodes.settle();
    nodes.get(2).attach(Some(session()), session(), "/a", &Holder::default(), now);
    let claimed = nodes.get(2).poll_transmit(NodeId::from_bits(1), Lane::Journal, usize::MAX, now);
    for frame in claimed {
        let frame = Frame::decode(&frame.to_bytes()).unwrap();
        nodes.get(1).handle_frame(two, frame, now);
    }
    assert_eq!(nodes.get(1).poll_transmit(two, Lane::Control, usize::MAX, now).len(), 1);
    nodes.pass(Duration::from_secs(1), Duration::from_millis(100));
    nodes.publish(1);
    for id in [3, 1, 2] {
        let key = nodes.attach(id);
        assert_eq!(nodes.get(id).read(key, ALL).entries.len(), 1, "on {id}");
        assert!(nodes.get(id).is_taking_over(session()), "on {id}");
    }
    nodes.pass(Duration::from_secs(3), Duration::from_millis(100));
    assert!(!nodes.get(2).is_taking_over(session()));
}

/// Goal: a snapshot tells of pushes, done and open.
#[test]
fn who_comes_late_knows_what_was_pushed() {
    let mut nodes = Nodes::new([1]);
    let attachment = nodes.attach(1);
    for number in 1..=3 {
        nodes.push(1, attachment, number);
    }
    nodes.finish(1, 1);
    let number = 4;
    let parts = crate::proto::snapshot::frames_of(nodes.get(1).replica(), 1, &Position::new());
    let view = nodes.get(1).replica().known().clone();
    let parts = parts.iter().map(|part| match Frame::decode(&part.to_bytes()).unwrap() {
        Frame::Snapshot { part, .. } => part,
        other => panic!("{other:?}"),
    });
    let mut late = Replica::new(NodeId::from_bits(9), Limits::default().log);
    assert!(late.restore(&view, parts.collect(), nodes.now));
    let inbox = late.inbox(session()).unwrap();
    let open: Vec<_> = inbox.open().map(|push| push.key.clone()).collect();
    assert_eq!(open, [key(2), key(3)]);
    assert!(inbox.has(&key(1), nodes.now) && !inbox.has(&key(number), nodes.now));
}

/// Goal: who gives up what another node's handler had done does not take the push for done: it was on
/// three nodes, of which two die.
///
/// Method: node 3 hears of what node 2 says, and not of what node 1 had published. In the end that
/// comes from elsewhere, or does not.
#[test]
fn behind_what_was_given_up_a_push_is_not_done() {
    for comes_late in [false, true] {
        let mut nodes = Nodes::new([1, 2, 3]);
        let attachment = nodes.attach(1);
        nodes.push(1, attachment, 1);
        let [one, two] = [1, 2].map(NodeId::from_bits);
        let at = |nodes: &mut Nodes, node: NodeId| {
            MessageId::new(node, nodes.get(3).replica().applied().get(node))
        };
        let (effect, follows) = (at(&mut nodes, one), at(&mut nodes, two));
        let handled = MessageId::new(two, follows.seq.next());
        let hear = |nodes: &mut Nodes, from, id, op: Op| {
            let (encoded, now) = (Encoded::op(id, &op), nodes.now);
            nodes.get(3).handle_frame(from, Frame::Operation { id, op, encoded }, now);
        };
        hear(&mut nodes, two, follows, Op::Follows { after: effect });
        hear(&mut nodes, two, handled, Op::Handled { session: session(), key: key(1) });
        nodes.kill(1);
        nodes.kill(2);
        nodes.pass(Duration::from_secs(20), Duration::from_millis(500));
        assert!(nodes.get(3).replica().applied().covers(handled));
        assert!(!nodes.get(3).replica().inbox(session()).unwrap().is_idle(), "it must be open");
        assert_eq!(nodes.begun(3), [key(1)]);
        if comes_late {
            nodes.start(4);
            let cause = Some(Cause::new(session(), key(1), 0));
            let (to, message) = (Recipients::Everyone, Message::from("effect"));
            let op = Op::Published { topic: topic(), to, message, cause };
            hear(&mut nodes, NodeId::from_bits(4), effect, op);
        } else {
            nodes.finish(3, 1);
        }
        assert!(nodes.get(3).replica().inbox(session()).unwrap().is_idle());
    }
}

/// Goal: a node that passes on what it was told to wait for, and never had, is believed.
#[test]
fn who_is_there_and_never_had_what_it_follows_is_believed() {
    let mut nodes = Nodes::new([1, 2, 3]);
    let attachment = nodes.attach(2);
    nodes.push(2, attachment, 1);
    let [one, two] = [1, 2].map(NodeId::from_bits);
    nodes.kill(1);
    let now = nodes.now;
    nodes.get(2).follow_journal(one, Seq::new(9), now);
    nodes.finish(2, 1);
    let end = nodes.get(2).replica().applied().get(two);
    assert!(nodes.get(3).replica().applied().get(two) < end, "it waits");
    nodes.pass(Duration::from_secs(20), Duration::from_millis(500));
    assert_eq!(nodes.get(3).replica().applied().get(two), end);
    assert!(nodes.get(3).replica().inbox(session()).unwrap().is_idle());
}
