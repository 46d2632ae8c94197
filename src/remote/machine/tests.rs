//! The machine, told what nodes say in one order and in another.

use super::*;
use crate::{
    id::{MessageId, PushKey, Seq, TopicName},
    proto::Level,
};

const HEARTBEAT: Duration = Duration::from_secs(5);

/// A client, and a network in which everything goes as the test says.
struct World {
    machine: Machine,
    now: Instant,
}

impl World {
    fn new(nodes: usize) -> Self {
        let now = crate::runtime::clock::now();
        let config = Config {
            nodes: nodes.try_into().unwrap(),
            ack_interval: Duration::from_secs(5),
            heartbeat: HEARTBEAT,
            is_deaf: false,
            seed: 3,
        };
        Self { machine: Machine::new(&config, now), now }
    }

    /// A world in which the first connection is there, with node 1.
    fn connected(nodes: usize) -> Self {
        let mut world = Self::new(nodes);
        world.connect(1, 1, false);
        world
    }

    /// Lets the time pass until the machine dials.
    fn dial(&mut self) -> Dial {
        if let Some(due) = self.machine.poll_timeout() {
            self.now = self.now.max(due);
        }
        self.machine.poll_dial(self.now).expect("it dials")
    }

    fn connect(&mut self, session: u128, node: u64, resumed: bool) -> Dial {
        let dial = self.dial();
        self.machine.handle_open();
        let (session, node) = (SessionId::from_bits(session), NodeId::from_bits(node));
        self.hear(&FromNode::Hello { session, node, resumed, series: None });
        dial
    }

    fn hear(&mut self, said: &FromNode) {
        self.machine.handle_text(&said.encode(), self.now);
    }

    fn hear_message(&mut self, seq: u64) {
        let id = MessageId::new(NodeId::from_bits(1), Seq::new(seq));
        let topic = TopicName::parse("/chat").unwrap();
        let message = seq.to_string().into();
        self.hear(&FromNode::Message { id, topic, cause: None, message });
    }

    fn lose(&mut self) {
        self.machine.handle_lost(&"cut", self.now);
    }

    /// What is said, and the pushes among it by their number.
    fn said(&mut self) -> Vec<FromClient> {
        let mut said = Vec::new();
        while let Some(Transmit::Text(text)) = self.machine.poll_transmit(self.now) {
            said.push(FromClient::decode(&text).unwrap());
        }
        said
    }

    /// The pushes that are sent: their epochs, numbers and texts.
    fn pushes(&mut self) -> Vec<(u64, u64, String)> {
        let push = |said| match said {
            FromClient::Push { key: PushKey::Counted { epoch, number }, message } => {
                Some((epoch, number, message.as_text().unwrap().to_owned()))
            }
            _ => None,
        };
        self.said().into_iter().filter_map(push).collect()
    }

    /// The texts of the messages that the application comes for.
    fn texts(&mut self) -> Vec<String> {
        let events = std::iter::from_fn(|| self.machine.next_event());
        let text = |event| match event {
            Event::Message(received) => Some(received.message.as_text().unwrap().to_owned()),
            _ => None,
        };
        events.filter_map(text).collect()
    }
}

#[test]
fn a_session_goes_on_with_another_node_where_the_application_is() {
    let mut world = World::new(2);
    assert_eq!(world.dial(), Dial { node: 0, destination: None, session: None, position: None });
    world.machine.handle_open();
    let (session, node) = (SessionId::from_bits(1), NodeId::from_bits(1));
    world.hear(&FromNode::Hello { session, node, resumed: false, series: None });
    world.hear_message(1);
    world.hear(&FromNode::Mark { number: 1, position: Some("one".to_owned()) });
    world.hear_message(2);
    world.hear(&FromNode::Mark { number: 2, position: Some("two".to_owned()) });
    assert!(matches!(world.machine.next_event(), Some(Event::Message(_))));
    assert!(matches!(world.machine.next_event(), Some(Event::Message(_))));
    assert_eq!(world.said(), [FromClient::Confirm(1)]);
    world.lose();
    let dial = world.connect(1, 2, true);
    let position = Some("one".to_owned());
    assert_eq!(dial, Dial { node: 1, destination: None, session: Some(session), position });
    world.hear_message(2);
    world.hear_message(3);
    world.hear(&FromNode::Mark { number: 1, position: None });
    let node = NodeId::from_bits(2);
    assert!(matches!(world.machine.next_event(), Some(Event::Interrupted { .. })));
    assert_eq!(world.machine.next_event(), Some(Event::Moved { node }));
    assert_eq!(world.said(), [], "what the first connection was told is of no use to this one");
    assert_eq!(world.texts(), ["3"]);
    assert_eq!(world.said(), [FromClient::Confirm(1)]);
}

/// Goal: who is sent to another node goes there at once, and if that is not there, on through the list and
/// back to it.
#[test]
fn who_is_sent_to_another_node_goes_there() {
    let mut world = World::connected(2);
    let reason = Close::go_to("http://b.example:81").reason;
    world.machine.handle_closed(1001, &reason, world.now);
    let dial = world.machine.poll_dial(world.now).unwrap();
    assert_eq!(dial.destination.as_deref(), Some("http://b.example:81"));
    for listed in [0, 1] {
        world.lose();
        let dial = world.dial();
        assert_eq!((dial.destination, dial.node), (None, listed));
    }
    world.lose();
    assert_eq!(world.dial().destination.as_deref(), Some("http://b.example:81"), "in turns");
    let reason = Close::go_to("http://c.example").reason;
    world.machine.handle_closed(1001, &reason, world.now);
    assert_eq!(world.dial().destination.as_deref(), Some("http://c.example"));
}

#[test]
fn what_is_not_acknowledged_goes_to_the_next_node_in_order() {
    let mut world = World::connected(2);
    for text in ["a", "b", "c"] {
        world.machine.push(text.into());
    }
    let pushes = world.pushes();
    let numbers: Vec<_> = pushes.iter().map(|(_, number, _)| *number).collect();
    assert_eq!(numbers, [1, 2, 3]);
    let key = PushKey::Counted { epoch: pushes[0].0, number: 1 };
    world.hear(&FromNode::Acknowledged { key, level: Level::Local, nodes: 1 });
    assert!(matches!(world.machine.poll_settled(), Some((1, Ok(_)))));
    world.lose();
    world.machine.push("d".into());
    assert_eq!(world.said(), []);
    world.connect(1, 2, true);
    let again = world.pushes();
    assert_eq!(again[..2], pushes[1..]);
    assert_eq!(again[2], (pushes[0].0, 4, "d".to_owned()));
}

#[test]
fn a_new_session_is_given_what_is_not_acknowledged_under_new_keys() {
    let mut world = World::connected(1);
    world.machine.push("a".into());
    world.machine.push("b".into());
    let pushes = world.pushes();
    let key = PushKey::Counted { epoch: pushes[0].0, number: 1 };
    world.hear(&FromNode::Acknowledged { key, level: Level::Local, nodes: 1 });
    world.lose();
    world.connect(2, 1, false);
    let again = world.pushes();
    assert_ne!(again[0].0, pushes[0].0);
    assert_eq!((again[0].1, again[0].2.as_str()), (1, "b"));
    assert!(matches!(world.machine.next_event(), Some(Event::Interrupted { .. })));
    let (session, node) = (SessionId::from_bits(2), NodeId::from_bits(1));
    assert_eq!(world.machine.next_event(), Some(Event::Expired { session, node }));
    assert_eq!(world.machine.session(), Some((session, node)));
}

#[test]
fn a_silent_node_is_asked_and_then_given_up() {
    let mut world = World::connected(1);
    let start = world.now;
    let step = |world: &mut World| {
        world.now = world.machine.poll_timeout().unwrap();
        world.machine.handle_timeout(world.now);
        world.machine.poll_transmit(world.now)
    };
    assert_eq!(step(&mut world), Some(Transmit::Ping));
    world.machine.handle_heard(world.now);
    assert_eq!(step(&mut world), Some(Transmit::Ping));
    assert_eq!(world.machine.poll_transmit(world.now), None);
    assert_eq!(step(&mut world), None);
    assert!(!world.machine.is_connected());
    assert_eq!(world.now - start, HEARTBEAT * 3);
}

#[test]
fn an_application_that_takes_its_time_is_not_a_silent_node() {
    let mut world = World::connected(1);
    for seq in 0..Inbox::MAX_MESSAGES as u64 {
        assert!(world.machine.has_room());
        world.hear_message(seq);
    }
    assert!(!world.machine.has_room());
    for _ in 0..10 {
        world.now = world.machine.poll_timeout().unwrap();
        world.machine.handle_timeout(world.now);
    }
    assert!(world.machine.is_connected());
    assert_eq!(world.texts().len(), Inbox::MAX_MESSAGES);
}

#[test]
fn nodes_that_do_not_answer_are_tried_in_turn_ever_more_rarely() {
    let mut world = World::new(2);
    let mut waits = Vec::new();
    for node in [0, 1, 0, 1, 0] {
        assert_eq!(world.machine.unreachable().is_some(), !waits.is_empty() && waits.len() > 1);
        let before = world.now;
        assert_eq!(world.dial().node, node);
        waits.push(world.now - before);
        world.now = world.machine.poll_timeout().unwrap();
        world.machine.handle_timeout(world.now);
        assert!(!world.machine.is_connected());
    }
    assert!(waits[4] > waits[1], "{waits:?}");
    assert_eq!(world.machine.unreachable(), Some("the node does not answer"));
}

#[test]
fn what_no_node_says_costs_the_connection_and_nothing_else() {
    for text in ["", "{}", "hello", r#"{"mark":1}"#, r#"{"ack":"x"}"#] {
        let mut world = World::new(1);
        world.dial();
        world.machine.handle_open();
        world.machine.handle_text(text, world.now);
        assert!(!world.machine.is_connected(), "{text:?} is no hello");
    }
    let mut world = World::connected(1);
    world.machine.handle_text(r#"{"novelty":1}"#, world.now);
    assert!(world.machine.is_connected(), "what a later version says");
    world.machine.handle_text(r#"{"mark":-1}"#, world.now);
    assert!(!world.machine.is_connected());
    assert_eq!(world.connect(1, 1, true).session, Some(SessionId::from_bits(1)));
}

#[test]
fn a_close_for_good_is_the_end() {
    for code in [NORMAL, FORBIDDEN, SUPERSEDED] {
        let mut world = World::connected(1);
        world.hear_message(1);
        world.machine.handle_closed(code, "so", world.now);
        assert!(world.machine.is_ended());
        assert_eq!(world.machine.push("a".into()), None);
        assert!(matches!(world.machine.next_event(), Some(Event::Message(_))));
        let ended = Event::Ended { code, reason: "so".to_owned() };
        assert_eq!(world.machine.next_event(), Some(ended));
        assert_eq!(world.machine.next_event(), None);
    }
    let mut world = World::connected(1);
    world.machine.handle_closed(1001, "", world.now);
    assert!(!world.machine.is_ended());
    world.machine.close();
    assert!(world.machine.is_ended());
}

#[test]
fn a_gap_is_told_in_its_place() {
    let mut world = World::connected(1);
    let topic = TopicName::parse("/chat").unwrap();
    let (from, to) = ("AQ".to_owned(), "AR".to_owned());
    world.hear_message(1);
    world.hear(&FromNode::Gap { topic: topic.clone(), from: from.clone(), to: to.clone() });
    world.hear_message(9);
    assert!(matches!(world.machine.next_event(), Some(Event::Message(_))));
    assert_eq!(world.machine.next_event(), Some(Event::Gap { topic, from, to }));
    assert_eq!(world.texts(), ["9"]);
}
