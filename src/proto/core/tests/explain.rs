//! Why a session got a message, or did not, is told by what its nodes know.

use std::num::NonZeroUsize;

use super::*;
use crate::proto::{Detachment, DropCause, Explanation, FlightLimits, Outcome, Testimony, What};

/// Three nodes, and a session that is attached to the first, of whose topics ten messages are kept.
fn begin() -> (Nodes, AttachmentKey) {
    let mut nodes = Nodes::new([]);
    let log = LogLimits { messages: NonZeroUsize::new(10).unwrap(), ..Limits::default().log };
    for id in 1..=3 {
        nodes.add(Core::new(NodeId::from_bits(id), Limits { log, ..Limits::default() }));
    }
    let key = nodes.attach(1);
    (nodes, key)
}

impl Nodes {
    fn join(&mut self, id: u64) {
        let now = self.now;
        self.get(id).join(session(), &topic(), now).unwrap();
        self.settle();
    }

    fn leave(&mut self, id: u64) {
        let now = self.now;
        self.get(id).leave(session(), &topic(), now).unwrap();
        self.settle();
    }

    fn publish_to(&mut self, id: u64, to: Recipients) -> MessageId {
        let now = self.now + Duration::from_millis(1);
        self.now = now;
        let published = self.get(id).publish(&topic(), to, Message::from("m"), now).unwrap();
        self.settle();
        published
    }

    fn publish_one(&mut self, id: u64) -> MessageId {
        self.publish_to(id, Recipients::Everyone)
    }

    fn testify(&mut self, id: u64, message: MessageId, topic: Option<&TopicName>) -> Testimony {
        let now = self.now;
        let calendar = |at: Instant| 1_000_000 - (now - at).as_millis() as u64;
        self.get(id).testify(message, session(), topic, calendar)
    }

    /// What all nodes together can say: who does not know where the message was published is told.
    fn explain(&mut self, message: MessageId) -> Explanation {
        let ids: Vec<_> = self.cores.keys().map(|id| id.to_bits()).collect();
        let told = ids.iter().find_map(|&id| self.testify(id, message, None).topic);
        let testimonies: Vec<_> =
            ids.iter().map(|&id| self.testify(id, message, told.as_ref())).collect();
        Explanation::of(message, session(), &testimonies, Vec::new())
    }

    fn outcome(&mut self, message: MessageId) -> Outcome {
        self.explain(message).outcome
    }

    /// As long as messages are kept that all have.
    fn pass_floor(&mut self) {
        self.pass(Duration::from_secs(10), Duration::from_millis(100));
    }
}

fn whats(explanation: &Explanation, node: u64) -> Vec<What> {
    let of_node = |step: &&crate::proto::Step| step.node == NodeId::from_bits(node);
    explanation.steps.iter().filter(of_node).map(|step| step.what).collect()
}

#[test]
fn who_has_it_has_acknowledged_it_while_it_is_kept_and_after() {
    let (mut nodes, key) = begin();
    nodes.join(1);
    let id = nodes.publish_one(2);
    nodes.now += Duration::from_millis(5);
    let now = nodes.now;
    nodes.get(1).set_now(now);
    assert_eq!(nodes.receive(1, key), 1);
    let explanation = nodes.explain(id);
    assert_eq!(explanation.outcome, Outcome::Acknowledged, "{explanation:?}");
    assert_eq!(explanation.kept_on.len(), 3);
    assert_eq!(explanation.topic, Some(topic()));
    let of_owner = whats(&explanation, 1);
    assert!(of_owner.ends_with(&[What::Stored, What::Given, What::Confirmed]), "{of_owner:?}");
    assert_eq!(whats(&explanation, 2), [What::Joined { behind: Some(false) }, What::Accepted]);
    nodes.pass_floor();
    assert_eq!(nodes.outcome(id), Outcome::Acknowledged);
    for node in 1..=3 {
        let alone = nodes.testify(node, id, None);
        let explanation = Explanation::of(id, session(), &[alone], Vec::new());
        assert_eq!(explanation.outcome, Outcome::Acknowledged, "by node {node} alone");
    }
}

#[test]
fn what_was_handed_over_and_not_confirmed_is_delivered_and_what_was_not_is_in_flight() {
    let (mut nodes, key) = begin();
    nodes.join(1);
    let id = nodes.publish_one(2);
    let explanation = nodes.explain(id);
    assert_eq!(explanation.outcome, Outcome::InFlight);
    assert!(explanation.sentence.contains("not taken it"), "{}", explanation.sentence);
    nodes.get(1).read(key, ALL);
    assert_eq!(nodes.outcome(id), Outcome::Delivered);
    let now = nodes.now;
    nodes.get(1).detach(key, Detachment::Lost, Duration::from_secs(120), now);
    nodes.settle();
    let explanation = nodes.explain(id);
    assert_eq!(explanation.outcome, Outcome::InFlight, "what it was given may not have arrived");
    assert!(explanation.sentence.contains("is away: its connection broke"));
}

#[test]
fn who_was_not_in_the_topic_did_not_get_it() {
    let (mut nodes, key) = begin();
    let never = nodes.publish_one(2);
    assert_eq!(nodes.outcome(never), Outcome::NeverJoined);
    nodes.join(1);
    assert_eq!(nodes.outcome(never), Outcome::JoinedLater);
    let got = nodes.publish_one(2);
    assert_eq!(nodes.receive(1, key), 1);
    nodes.leave(1);
    let left = nodes.publish_one(2);
    assert_eq!(nodes.outcome(left), Outcome::LeftBefore);
    nodes.pass_floor();
    assert_eq!(nodes.outcome(left), Outcome::LeftBefore, "also once it has departed");
    nodes.join(1);
    let again = nodes.publish_one(2);
    assert_eq!(nodes.receive(1, key), 1);
    let expected = [
        (never, Outcome::JoinedLater),
        (got, Outcome::Acknowledged),
        (left, Outcome::LeftBefore),
        (again, Outcome::Acknowledged),
    ];
    for (id, outcome) in expected {
        assert_eq!(nodes.outcome(id), outcome, "{id}");
    }
}

#[test]
fn whom_it_was_not_for_did_not_get_it_also_once_it_is_gone() {
    let (mut nodes, key) = begin();
    nodes.join(1);
    let others = nodes.publish_to(2, Recipients::except([session()]));
    let now = nodes.now;
    nodes.get(1).attach(None, SessionId::from_bits(8), "/a", &Holder::default(), now);
    let private = nodes.get(1).send(SessionId::from_bits(8), "m".into(), None, now).unwrap();
    for _ in 0..2 {
        assert_eq!(nodes.outcome(others), Outcome::NotAddressed);
        assert_eq!(nodes.outcome(private), Outcome::NotAddressed);
        assert_eq!(nodes.receive(1, key), 0);
        nodes.pass_floor();
    }
}

#[test]
fn what_a_limit_dropped_is_told_as_dropped_and_what_was_had_before_that_is_not() {
    let (mut nodes, key) = begin();
    nodes.join(1);
    let had = nodes.publish_one(2);
    assert_eq!(nodes.receive(1, key), 1);
    let dropped = nodes.publish_one(2);
    let kept: Vec<_> = (0..10).map(|_| nodes.publish_one(2)).collect();
    let by_limit = Outcome::Dropped(DropCause::TopicMessages);
    assert_eq!(nodes.outcome(dropped), by_limit, "before its client is told");
    let batch = nodes.get(1).read(key, ALL);
    assert_eq!(batch.gaps.len(), 1);
    assert_eq!(nodes.outcome(dropped), by_limit, "and once it is");
    let mark = nodes.get(1).mark(key).unwrap();
    nodes.get(1).acknowledge(key, mark);
    nodes.settle();
    assert_eq!(nodes.outcome(dropped), by_limit, "and once it is beyond that");
    assert_eq!(nodes.outcome(had), Outcome::Acknowledged);
    assert_eq!(nodes.outcome(kept[9]), Outcome::Acknowledged);
}

#[test]
fn what_waited_for_too_long_is_expired() {
    let (mut nodes, key) = begin();
    nodes.join(1);
    let id = nodes.publish_one(2);
    nodes.pass(LogLimits::default().unread_for, Duration::from_secs(1));
    assert_eq!(nodes.outcome(id), Outcome::Expired);
    assert_eq!(nodes.get(1).read(key, ALL).gaps.len(), 1);
    assert_eq!(nodes.outcome(id), Outcome::Expired);
}

/// Goal: a message that died with its node is told from one that there never was.
#[test]
fn what_died_with_its_node_is_a_gap() {
    let (mut nodes, _) = begin();
    nodes.join(1);
    nodes.publish_one(2);
    let now = nodes.now;
    let lost = nodes.get(2).publish(&topic(), Recipients::Everyone, "m".into(), now).unwrap();
    let explanation = nodes.explain(lost);
    assert_eq!(explanation.outcome, Outcome::InFlight, "as long as its node has it");
    assert!(explanation.sentence.contains("not reached"), "{}", explanation.sentence);
    nodes.kill(2);
    let explanation = nodes.explain(lost);
    assert_eq!(explanation.outcome, Outcome::Gap);
    assert!(explanation.sentence.contains(&lost.origin.to_string()), "{}", explanation.sentence);
    let never = MessageId::new(NodeId::from_bits(3), Seq::new(1_000));
    let explanation = nodes.explain(never);
    assert_eq!(explanation.outcome, Outcome::Unknown);
    assert!(explanation.sentence.contains("none of this name"), "{}", explanation.sentence);
    let silent = vec![NodeId::from_bits(3)];
    let alone = nodes.testify(1, never, None);
    let explanation = Explanation::of(never, session(), &[alone], silent);
    assert_eq!(explanation.outcome, Outcome::Unknown);
    assert!(explanation.sentence.contains("0000000000000003"), "{}", explanation.sentence);
}

#[test]
fn whose_node_died_gets_it_on_another_or_has_it() {
    let (mut nodes, key) = begin();
    nodes.join(1);
    let had = nodes.publish_one(2);
    assert_eq!(nodes.receive(1, key), 1);
    nodes.pass(Duration::from_secs(1), Duration::from_millis(50));
    let owed = nodes.publish_one(2);
    nodes.kill(1);
    assert_eq!(nodes.outcome(had), Outcome::Acknowledged);
    let explanation = nodes.explain(owed);
    assert_eq!(explanation.outcome, Outcome::InFlight);
    assert!(explanation.sentence.contains("the node died"), "{}", explanation.sentence);
    let key = nodes.attach(3);
    nodes.pass(Duration::from_secs(5), Duration::from_millis(100));
    nodes.receive(3, key);
    assert_eq!(nodes.outcome(owed), Outcome::Acknowledged);
}

#[test]
fn a_session_that_is_over_did_not_get_it() {
    let (mut nodes, key) = begin();
    nodes.join(1);
    let had = nodes.publish_one(2);
    assert_eq!(nodes.receive(1, key), 1);
    let owed = nodes.publish_one(2);
    let now = nodes.now;
    nodes.get(2).close(session(), CloseReason::Application, now);
    nodes.settle();
    assert_eq!(nodes.outcome(had), Outcome::Acknowledged);
    assert_eq!(nodes.outcome(owed), Outcome::Closed);
    let later = nodes.publish_one(2);
    assert_eq!(nodes.outcome(later), Outcome::Closed);
}

/// Goal: what is not remembered is said not to be known, and never guessed.
#[test]
fn without_a_recorder_what_cannot_be_told_is_said_to_be_unknown() {
    let mut nodes = Nodes::new([]);
    let flight = FlightLimits { sessions: 0, deliveries: 0 };
    nodes.add(Core::new(NodeId::from_bits(1), Limits { flight, ..Limits::default() }));
    let key = nodes.attach(1);
    let before = nodes.publish_one(1);
    nodes.join(1);
    let after = nodes.publish_one(1);
    assert_eq!(nodes.receive(1, key), 1);
    let now = nodes.now + Duration::from_millis(1);
    let other = SessionId::from_bits(8);
    nodes.get(1).attach(None, other, "/a", &Holder::default(), now);
    nodes.get(1).join(other, &topic(), now).unwrap(); // What is not remembered may be anybody's.
    for id in [before, after] {
        let explanation = nodes.explain(id);
        assert_eq!(explanation.outcome, Outcome::Unknown);
        assert!(explanation.sentence.contains("when the session joined"), "{explanation:?}");
    }
    let waiting = nodes.publish_one(1);
    assert_eq!(nodes.outcome(waiting), Outcome::InFlight);
}

#[test]
fn a_session_that_nobody_knows_is_unknown() {
    let mut nodes = Nodes::new([1]);
    let id = nodes.publish_one(1);
    let now = nodes.now;
    let stranger = SessionId::from_bits(99);
    let testimony = nodes.get(1).testify(id, stranger, None, |at| (now - at).as_millis() as u64);
    let explanation = Explanation::of(id, stranger, &[testimony], Vec::new());
    assert_eq!(explanation.outcome, Outcome::Unknown);
}

/// Goal: what a session was told stays known for as long as that is promised, and no answer is
/// longer than is promised.
#[test]
fn many_deliveries_and_comings_leave_the_answer_right_and_short() {
    let (mut nodes, key) = begin();
    nodes.join(1);
    let id = nodes.publish_one(2);
    assert_eq!(nodes.receive(1, key), 1);
    for _ in 0..200 {
        let now = nodes.now;
        let key = nodes.attach(1);
        nodes.get(1).detach(key, Detachment::Lost, Duration::from_secs(120), now);
        nodes.settle();
    }
    let testimony = nodes.testify(1, id, None);
    assert_eq!(testimony.steps.len(), Testimony::MAX_STEPS);
    assert!(testimony.steps.iter().any(|step| step.what == What::Confirmed));
    assert!(testimony.steps.iter().any(|step| step.what == What::Joined { behind: Some(false) }));
    assert_eq!(nodes.outcome(id), Outcome::Acknowledged);
}

/// A node that remembers as little as is said, and a session attached to it that has joined.
fn forgetful(sessions: usize, deliveries: usize) -> (Nodes, AttachmentKey) {
    let mut nodes = Nodes::new([]);
    let flight = FlightLimits { sessions, deliveries };
    nodes.add(Core::new(NodeId::from_bits(1), Limits { flight, ..Limits::default() }));
    let key = nodes.attach(1);
    nodes.join(1);
    (nodes, key)
}

/// Others join the topic and are given what is published.
fn push_out(nodes: &mut Nodes) {
    for number in 8..11 {
        let (now, other) = (nodes.now, SessionId::from_bits(number));
        let key = nodes.get(1).attach(None, other, "/a", &Holder::default(), now).key;
        nodes.get(1).join(other, &topic(), now).unwrap();
        nodes.publish_one(1);
        nodes.receive(1, key);
    }
}

/// Goal: of who was in a topic for longer than is remembered, and is over, nobody says that it was not.
#[test]
fn who_is_over_may_have_joined_before_all_that_is_remembered() {
    let (mut nodes, _) = forgetful(3, 1_000);
    push_out(&mut nodes);
    nodes.now += Duration::from_millis(1);
    let missed = nodes.publish_one(1);
    let now = nodes.now;
    nodes.get(1).close(session(), CloseReason::Application, now);
    assert!(nodes.testify(1, missed, None).is_complete);
    assert_eq!(nodes.outcome(missed), Outcome::Closed);
}

/// Goal: whether a client had a message before its session ended is told only by who remembers it.
#[test]
fn what_a_session_had_that_is_over_is_not_guessed() {
    let (mut nodes, key) = forgetful(1_000, 4);
    let had = nodes.publish_one(1);
    assert_eq!(nodes.receive(1, key), 1);
    push_out(&mut nodes);
    let now = nodes.now;
    nodes.get(1).close(session(), CloseReason::Application, now);
    let explanation = nodes.explain(had);
    assert_eq!(explanation.outcome, Outcome::Unknown, "{explanation:?}");
    assert!(explanation.sentence.contains("what the session was given"), "{explanation:?}");
}

/// Goal: who is past a message that a filter may have kept back is not said to have it.
#[test]
fn what_a_filter_may_have_kept_back_is_not_said_to_be_had() {
    let (mut nodes, key) = forgetful(1_000, 4);
    let before = nodes.publish_one(1);
    assert_eq!(nodes.receive(1, key), 1);
    let kept_back = nodes.publish_one(1);
    let now = nodes.now;
    nodes.get(1).set_now(now);
    nodes.get(1).note_withheld(session(), vec![kept_back]);
    assert_eq!(nodes.outcome(kept_back), Outcome::NotAddressed);
    assert_eq!(nodes.receive(1, key), 1);
    push_out(&mut nodes);
    let later = nodes.publish_one(1);
    nodes.receive(1, key);
    for id in [before, kept_back] {
        assert_eq!(nodes.outcome(id), Outcome::Unknown);
        assert!(nodes.explain(id).sentence.contains("a filter"));
    }
    assert_eq!(nodes.outcome(later), Outcome::Acknowledged);
}

/// Goal: a name that no message ever had is not said to be lost.
#[test]
fn a_message_of_a_node_that_nobody_knows_is_unknown() {
    let (mut nodes, _) = begin();
    let id = MessageId::new(NodeId::from_bits(77), Seq::new(5));
    let explanation = nodes.explain(id);
    assert_eq!(explanation.outcome, Outcome::Unknown);
    assert!(explanation.sentence.contains("remembers the node"), "{explanation:?}");
}

/// Goal: who was not in the topic when a message was published there that was taken back later did not get
/// it for that reason.
#[test]
fn who_was_not_in_the_topic_was_taken_nothing_back_from() {
    let (mut nodes, _) = begin();
    let id = nodes.publish_one(2);
    let now = nodes.now;
    nodes.get(2).withdraw(&topic(), id, Recipients::Everyone, now).unwrap();
    nodes.settle();
    assert_eq!(nodes.outcome(id), Outcome::NeverJoined);
}
