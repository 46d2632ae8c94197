//! A node with readers and peers, to be measured.

use std::time::Instant;

use exosphere::{
    Message,
    id::{MessageId, NodeId, SessionId, TopicName},
    proto::{AttachmentKey, Budget, Core, Holder, Lane, Limits, Op, Position, Recipients},
};

/// All that there is to read.
pub(crate) const ALL: Budget = Budget { messages: usize::MAX, bytes: usize::MAX };

/// A node with readers of one topic, and peers that take what they are sent.
pub(crate) struct World {
    pub(crate) core: Core,
    pub(crate) readers: Vec<AttachmentKey>,
    pub(crate) peers: Vec<NodeId>,
    pub(crate) now: Instant,
    topic: TopicName,
}

impl World {
    pub(crate) fn new(readers: usize, peers: usize) -> Self {
        let (now, topic) = (now(), topic());
        let mut core = Core::new(NodeId::from_bits(1), Limits::default());
        let peers: Vec<_> = (0..peers as u64).map(|peer| NodeId::from_bits(2 + peer)).collect();
        peers.iter().for_each(|&peer| core.handle_link_up(peer, Position::new(), now));
        let sessions = (0..readers as u128).map(SessionId::from_bits);
        let readers = sessions
            .map(|session| {
                let key = core.attach(None, session, "/chat/lobby", &Holder::default(), now).key;
                core.join(session, &topic, now).expect("the session was just attached");
                key
            })
            .collect();
        let mut world = Self { core, readers, peers, now, topic };
        world.drain();
        world
    }

    pub(crate) fn publish(&mut self, message: Message) -> MessageId {
        let everyone = Recipients::Everyone;
        let id = self.core.publish(&self.topic, everyone, message, self.now);
        id.expect("the message is small")
    }

    /// Lets readers and peers take all there is, so that all wait again.
    pub(crate) fn drain(&mut self) {
        for &key in &self.readers {
            while !self.core.read(key, ALL).is_empty() {}
        }
        self.core.poll_wakes();
        self.core.poll_lanes();
        for &peer in &self.peers {
            for lane in Lane::ALL {
                self.core.poll_transmit(peer, lane, usize::MAX, self.now);
            }
        }
    }
}

pub(crate) fn op(bytes: usize) -> Op {
    Op::Published { topic: topic(), to: Recipients::Everyone, message: payload(bytes), cause: None }
}

pub(crate) fn payload(bytes: usize) -> Message {
    Message::text("x".repeat(bytes))
}

pub(crate) fn topic() -> TopicName {
    TopicName::parse("/chat/lobby").expect("it is a name")
}

#[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
