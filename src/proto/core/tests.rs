//! Nodes together, on links that lose nothing.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{Core, Ended, Event, Fate, Lane, Limits, Pending, Refused, Verdict};
use crate::{
    id::{Epoch, MessageId, NodeId, Seq, SessionId, TopicName},
    message::Message,
    proto::{
        AttachmentKey, Budget, CloseReason, Ending, Holder, LogLimits, Op, Position, Recipients,
        Replica,
        wire::{Encoded, Frame, SnapshotPart},
    },
};

mod ends;
mod explain;
mod holders;
mod partitions;
mod posts;
mod pushes;
mod slow;
mod steering;

const ALL: Budget = Budget { messages: usize::MAX, bytes: usize::MAX };

/// Some nodes that are all linked, and the time.
struct Nodes {
    cores: BTreeMap<NodeId, Core>,
    now: Instant,
}

impl Nodes {
    #[expect(clippy::disallowed_methods, reason = "some instant to count from")]
    fn new(ids: impl IntoIterator<Item = u64>) -> Self {
        let mut nodes = Self { cores: BTreeMap::new(), now: Instant::now() };
        ids.into_iter().for_each(|id| nodes.start(id));
        nodes
    }

    fn start(&mut self, id: u64) {
        self.add(Core::new(NodeId::from_bits(id), Limits::default()));
    }

    fn add(&mut self, mut core: Core) {
        let now = self.now;
        for (&other, peer) in &mut self.cores {
            core.handle_link_up(other, peer.replica().applied().clone(), now);
            peer.handle_link_up(core.id(), core.replica().applied().clone(), now);
        }
        self.cores.insert(core.id(), core);
        self.settle();
    }

    fn kill(&mut self, id: u64) {
        self.cores.remove(&NodeId::from_bits(id));
        for core in self.cores.values_mut() {
            core.handle_link_down(NodeId::from_bits(id));
            core.handle_dead(NodeId::from_bits(id), self.now);
        }
        self.settle();
    }

    fn get(&mut self, id: u64) -> &mut Core {
        self.cores.get_mut(&NodeId::from_bits(id)).unwrap()
    }

    /// Lets everything that is on its way arrive.
    fn settle(&mut self) {
        let ids: Vec<_> = self.cores.keys().copied().collect();
        let mut is_moving = true;
        while is_moving {
            is_moving = false;
            for (&from, &to) in ids.iter().flat_map(|a| ids.iter().map(move |b| (a, b))) {
                for lane in Lane::ALL {
                    let sender = self.cores.get_mut(&from).unwrap();
                    for frame in sender.poll_transmit(to, lane, usize::MAX, self.now) {
                        let frame = Frame::decode(&frame.to_bytes()).unwrap();
                        self.cores.get_mut(&to).unwrap().handle_frame(from, frame, self.now);
                        is_moving = true;
                    }
                }
            }
        }
    }

    /// Lets time pass.
    fn pass(&mut self, time: Duration, step: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += step;
            for core in self.cores.values_mut() {
                core.handle_timeout(self.now);
            }
            self.settle();
        }
    }

    /// The client of an attachment receives all there is, and says so.
    fn receive(&mut self, id: u64, key: AttachmentKey) -> usize {
        let core = self.get(id);
        let batch = core.read(key, ALL);
        assert_eq!(batch.gaps, []);
        if let Some(mark) = core.mark(key) {
            core.acknowledge(key, mark);
        }
        self.settle();
        batch.entries.len()
    }

    fn publish(&mut self, id: u64) {
        let (now, message) = (self.now, Message::from("m"));
        self.get(id).publish(&topic(), Recipients::Everyone, message, now).unwrap();
        self.settle();
    }

    /// Publishes on each node, lets the session on node `id` receive it, and sees it settled.
    fn publish_and_settle(&mut self, id: u64, key: AttachmentKey) {
        for publisher in self.cores.keys().map(|node| node.to_bits()).collect::<Vec<_>>() {
            self.publish(publisher);
            assert_eq!(self.receive(id, key), 1);
        }
        self.pass(Duration::from_secs(10), Duration::from_millis(100));
        for core in self.cores.values() {
            let topic = core.replica().topics().find(&topic()).unwrap();
            let log = &core.replica().topics().get(topic).log;
            assert_eq!((log.len(), log.lost()), (0, &Position::new()), "on {}", core.id());
        }
    }

    fn attach(&mut self, id: u64) -> AttachmentKey {
        let now = self.now;
        let key =
            self.get(id).attach(Some(session()), session(), "/a", &Holder::default(), now).key;
        self.settle();
        key
    }
}

fn session() -> SessionId {
    SessionId::from_bits(7)
}

fn topic() -> TopicName {
    TopicName::parse("/a").unwrap()
}

/// What a peer says that has everything of `origin` before `next`.
fn have(origin: u64, next: Seq) -> Frame {
    let have = [(NodeId::from_bits(origin), next)].into_iter().collect();
    Frame::decode(&Encoded::have(&have).to_bytes()).unwrap()
}

#[test]
fn a_session_is_closed_from_whichever_node() {
    for (owner, closer) in [(1, 2), (2, 1)] {
        let mut nodes = Nodes::new([1, 2]);
        nodes.attach(owner);
        let now = nodes.now;
        nodes.get(closer).close(session(), CloseReason::Application, now);
        nodes.settle();
        for core in nodes.cores.values() {
            assert!(core.replica().session(session()).is_none(), "{closer} closes on {owner}");
        }
        let ended = nodes.get(owner).poll_event();
        let why = Ended::Closed(CloseReason::Application);
        assert!(matches!(ended, Some(Event::AttachmentEnded { why: told, .. }) if told == why));
    }
}

#[test]
fn a_close_that_overtakes_a_claim_is_not_undone_by_it() {
    let mut nodes = Nodes::new([1]);
    nodes.attach(1);
    let state = nodes.get(1).replica().state_of(session()).unwrap();
    let (owner, reason) = (NodeId::from_bits(1), CloseReason::Client);
    let close = Op::SessionClosed { session: session(), owner, reason };
    let mut replica = Replica::new(NodeId::from_bits(1), Limits::default().log);
    for (origin, op) in (1..).zip([close, Op::SessionClaimed(state)]) {
        replica.apply(MessageId::new(NodeId::from_bits(origin), Seq::FIRST), op, nodes.now);
    }
    assert!(replica.session(session()).is_none());
}

/// Goal: a session that has outlived the node it joined a topic on is still reported on, also to
/// and from nodes that came later.
///
/// Method: the session joins on 1, which dies. Node 3 comes and gets the session. Once 2 and 4 have
/// forgotten 1, then once 3 has too, and then once a node has come that never heard of 1: what is
/// published is settled everywhere when the session has it.
#[test]
fn what_a_forgotten_node_did_holds_nothing_up() {
    let (mut nodes, kept) = (Nodes::new([1, 2, 4]), Limits::default().dead_kept);
    let knows_1 = |core: &Core| core.replica().applied().get(NodeId::from_bits(1)) > Seq::FIRST;
    nodes.attach(1);
    let now = nodes.now;
    nodes.get(1).join(session(), &topic(), now).unwrap();
    nodes.settle();
    nodes.publish(1);
    let key = nodes.attach(2);
    assert_eq!(nodes.receive(2, key), 1);
    nodes.kill(1);
    nodes.pass(kept / 2, Duration::from_secs(1));
    nodes.start(3);
    nodes.pass(Duration::from_secs(2), Duration::from_millis(100));
    let key = nodes.attach(3);
    assert_eq!(nodes.receive(3, key), 0);

    nodes.pass(kept * 3 / 4, Duration::from_secs(1));
    let know_1: Vec<_> = nodes.cores.values().filter(|core| knows_1(core)).map(Core::id).collect();
    assert_eq!(know_1, [NodeId::from_bits(3)], "who came later forgets later");
    nodes.publish_and_settle(3, key);

    nodes.pass(kept, Duration::from_secs(1));
    assert!(!nodes.cores.values().any(knows_1));
    nodes.publish_and_settle(3, key);

    nodes.start(5);
    nodes.publish_and_settle(3, key);
}

/// Goal: a node that stood still for so long that it was forgotten is heard again, and nothing that it
/// had said before is taken for news.
#[test]
fn who_was_forgotten_and_is_alive_goes_on_where_it_was() {
    for had_news in [false, true] {
        let (mut nodes, two) = (Nodes::new([1, 2]), NodeId::from_bits(2));
        let (key, now) = (nodes.attach(1), nodes.now);
        nodes.get(1).join(session(), &topic(), now).unwrap();
        nodes.settle();
        nodes.publish_and_settle(1, key);
        let still = nodes.cores.remove(&two).unwrap();
        nodes.get(1).handle_link_down(two);
        nodes.get(1).handle_dead(two, now);
        nodes.pass(Limits::default().dead_kept * 2, Duration::from_secs(1));
        assert!(nodes.get(1).replica().is_retired(two));
        if had_news {
            nodes.publish(1);
            assert_eq!(nodes.receive(1, key), 1);
        }
        nodes.add(still);
        nodes.pass(Duration::from_secs(2), Duration::from_millis(100));
        let key = nodes.attach(1);
        assert_eq!(nodes.receive(1, key), 0, "it has all that");
        nodes.publish_and_settle(1, key);
        let applied = nodes.get(2).replica().applied().clone();
        assert_eq!(nodes.get(1).replica().applied(), &applied);
    }
}

/// Goal: who leaves gets what was published before, and is then waited for no more.
///
/// Method: a session leaves, with and without something unread; others read on.
#[test]
fn a_session_that_has_left_holds_nothing_up() {
    for unread in [0, 1] {
        let mut nodes = Nodes::new([1, 2]);
        let key = nodes.attach(1);
        let (now, other) = (nodes.now, SessionId::from_bits(8));
        let other_key = nodes.get(2).attach(None, other, "/a", &Holder::default(), now).key;
        nodes.get(1).join(session(), &topic(), now).unwrap();
        nodes.get(2).join(other, &topic(), now).unwrap();
        nodes.get(2).set_ready(other, now);
        nodes.settle();
        for _ in 0..unread {
            nodes.publish(1);
            assert_eq!(nodes.receive(1, key), 1);
        }
        nodes.get(2).leave(other, &topic(), now).unwrap();
        nodes.settle();
        nodes.publish(2);
        assert_eq!(nodes.receive(1, key), 1);
        let (core, later) = (nodes.get(2), now + Duration::from_secs(1));
        assert_eq!(core.read(other_key, ALL).entries.len(), unread);
        if let Some(mark) = core.mark(other_key) {
            core.acknowledge(other_key, mark);
        }
        core.handle_timeout(later); // No report has gone out when the membership ends.
        nodes.settle();
        nodes.publish_and_settle(1, key);
        for core in nodes.cores.values() {
            let topic = core.replica().topics().find(&topic()).unwrap();
            assert_eq!(core.replica().topics().get(topic).members.len(), 1, "on {}", core.id());
        }
    }
}

/// Goal: what is not for a session is not waited for until its next message.
///
/// Method: messages that exclude the session come first, last, and while a mark is under way.
#[test]
fn a_message_for_others_holds_nothing_up() {
    let mut nodes = Nodes::new([1, 2]);
    let key = nodes.attach(1);
    let now = nodes.now;
    nodes.get(1).join(session(), &topic(), now).unwrap();
    nodes.settle();
    let exclude = |nodes: &mut Nodes| {
        let others = Recipients::except([session()]);
        nodes.get(2).publish(&topic(), others, Message::from("m"), now).unwrap();
        nodes.settle();
    };
    exclude(&mut nodes);
    nodes.publish(2);
    let core = nodes.get(1);
    assert_eq!(core.read(key, ALL).entries.len(), 1);
    let mark = core.mark(key).unwrap();
    exclude(&mut nodes);
    let core = nodes.get(1);
    assert!(core.read(key, ALL).is_empty());
    let skipped = MessageId::new(NodeId::from_bits(2), Seq::new(1));
    let open = core.replica().topics().find(&topic()).unwrap();
    assert!(!core.replica().settled(open).unwrap().covers(skipped));
    core.acknowledge(key, mark);
    nodes.settle();
    nodes.pass(Duration::from_secs(10), Duration::from_millis(100));
    for core in nodes.cores.values() {
        let topic = core.replica().topics().find(&topic()).unwrap();
        let log = &core.replica().topics().get(topic).log;
        assert_eq!((log.len(), log.lost()), (0, &Position::new()), "on {}", core.id());
    }
}

/// Goal: whatever numbers a peer makes up, this node goes on, and can still be understood.
#[test]
fn numbers_that_a_peer_made_up_do_no_harm() {
    let mut nodes = Nodes::new([1, 2]);
    let (peer, now, last) = (NodeId::from_bits(2), nodes.now, Seq::new(u64::MAX));
    let op = |origin, seq| {
        let op = Op::SessionReady { session: session() };
        let encoded = Encoded::op(MessageId::new(NodeId::from_bits(origin), seq), &op);
        Frame::decode(&encoded.to_bytes()).unwrap()
    };
    let snapshot = |origin| {
        let view = [(NodeId::from_bits(origin), last)].into_iter().collect();
        let encoded = Encoded::snapshot(origin, 0, &SnapshotPart::End { view });
        Frame::decode(&encoded.to_bytes()).unwrap()
    };
    let core = nodes.get(1);
    core.handle_frame(peer, op(9, Seq::FIRST), now);
    core.handle_frame(peer, snapshot(9), now);
    for _ in 0..3 {
        core.handle_frame(peer, op(9, last), now);
    }
    for origin in 10..1_000 {
        core.handle_frame(peer, op(origin, Seq::FIRST), now);
        core.handle_frame(peer, snapshot(origin), now);
    }
    core.publish(&topic(), Recipients::Everyone, Message::from("m"), now).unwrap();
    let have = core.replica().applied();
    assert_eq!(have.iter().count(), Position::MAX_ORIGINS);
    assert!(Frame::decode(&Encoded::have(have).to_bytes()).is_ok());
}

/// Goal: who lies about a third node does not keep this one from hearing it.
#[test]
fn nobody_is_believed_about_a_node_that_speaks_for_itself() {
    let mut nodes = Nodes::new([1, 2, 3]);
    let (key, now) = (nodes.attach(1), nodes.now);
    nodes.get(1).join(session(), &topic(), now).unwrap();
    nodes.settle();
    for (number, far) in [(1, u64::MAX), (2, 1 << 40)] {
        let view = [(NodeId::from_bits(3), Seq::new(far))].into_iter().collect();
        let lie = Encoded::snapshot(number, 0, &SnapshotPart::End { view }).to_bytes();
        nodes.get(1).handle_frame(NodeId::from_bits(2), Frame::decode(&lie).unwrap(), now);
    }
    nodes.publish(3);
    assert_eq!(nodes.receive(1, key), 1);
}

/// Goal: a client whose node was taken for dead, and was not, is still served by it.
///
/// Method: node 2 gives up node 1, and adopts its session; then the two meet again.
#[test]
fn who_was_taken_for_dead_keeps_its_clients() {
    let mut nodes = Nodes::new([1, 2]);
    let key = nodes.attach(1);
    let (now, [one, two]) = (nodes.now, [1, 2].map(NodeId::from_bits));
    nodes.get(1).join(session(), &topic(), now).unwrap();
    nodes.settle();
    nodes.get(2).handle_link_down(one);
    nodes.get(2).handle_dead(one, now);
    nodes.publish(2);
    let owner = |core: &Core| core.replica().session(session()).unwrap().claim.node;
    assert_eq!(owner(nodes.get(2)), two);
    let have = nodes.get(1).replica().applied().clone();
    nodes.get(2).handle_link_up(one, have, now);
    let have = nodes.get(2).replica().applied().clone();
    nodes.get(1).handle_link_up(two, have, now);
    nodes.settle();
    for core in nodes.cores.values_mut() {
        assert_eq!(owner(core), one);
        assert!(core.poll_event().is_none());
    }
    assert_eq!(nodes.receive(1, key), 1);
}

/// Goal: a node that has just started knows that it may still hear of a session.
///
/// Method: it comes when the node that owns the session is dead, and has a link to another one.
#[test]
fn a_node_has_caught_up_once_it_has_what_its_live_peers_have() {
    let mut nodes = Nodes::new([1, 2]);
    nodes.attach(1);
    nodes.kill(1);
    let (now, [two, three]) = (nodes.now, [2, 3].map(NodeId::from_bits));
    let mut core = Core::new(three, Limits::default());
    assert!(core.is_caught_up(), "there is nobody to hear from");
    core.handle_live(two, now);
    assert!(!core.is_caught_up(), "there is no link yet");
    core.handle_link_up(two, nodes.get(2).replica().applied().clone(), now);
    assert!(!core.is_caught_up(), "nothing has come yet");
    nodes.get(2).handle_link_up(three, Position::new(), now);
    nodes.cores.insert(three, core);
    nodes.settle();
    nodes.pass(Duration::from_secs(2), Duration::from_millis(100));
    assert!(nodes.get(3).is_caught_up());
    assert!(nodes.get(3).replica().session(session()).is_some());
}

#[test]
fn a_message_is_said_to_be_stored_as_widely_as_it_can_be() {
    let mut nodes = Nodes::new([1, 2, 3]);
    let now = nodes.now;
    let core = nodes.get(1);
    let id = core.publish(&topic(), Recipients::Everyone, Message::from("m"), now).unwrap();
    let [none, all, more] = [0, 2, 3].map(|nodes| core.watch_stored(id, nodes));
    let stored = |nodes, short| Verdict::Stored { nodes, short };
    assert_eq!(core.poll_verdicts(), [(none, stored(0, false))]);
    nodes.settle();
    let core = nodes.get(1);
    assert_eq!(core.poll_verdicts(), [(all, stored(2, false)), (more, stored(2, true))]);

    let core = nodes.get(1);
    core.handle_link_down(NodeId::from_bits(2)); // What comes next does not get there.
    let id = core.publish(&topic(), Recipients::Everyone, Message::from("m"), now).unwrap();
    let both = core.watch_stored(id, 2);
    core.handle_frame(NodeId::from_bits(3), have(1, id.seq.next()), now);
    assert_eq!(core.poll_verdicts(), [], "the other may yet store it");
    core.handle_dead(NodeId::from_bits(2), now);
    assert_eq!(core.poll_verdicts(), [(both, stored(1, true))]);
}

/// Goal: what concerns others is no reason to look whether a message is settled.
///
/// Method: many sessions are to get a message; they acknowledge it from the last to the first, so
/// that the first, which is waited for, is the last to.
#[test]
fn only_news_of_who_lacks_a_message_is_a_reason_to_look_for_it() {
    const SESSIONS: u64 = 100;
    let mut nodes = Nodes::new([1]);
    let now = nodes.now;
    let core = nodes.get(1);
    let sessions = (1..=SESSIONS).map(|session| SessionId::from_bits(session.into()));
    let mut keys: Vec<_> = sessions
        .map(|session| {
            let key = core.attach(None, session, "/a", &Holder::default(), now).key;
            core.join(session, &topic(), now).unwrap();
            key
        })
        .collect();
    let id = core.publish(&topic(), Recipients::Everyone, Message::from("m"), now).unwrap();
    let watch = core.watch_settled(id);
    while let Some(key) = keys.pop() {
        assert_eq!((core.watches.looks, core.poll_verdicts()), (1, vec![]));
        core.read(key, ALL);
        let mark = core.mark(key).unwrap();
        core.acknowledge(key, mark);
    }
    let settled = Verdict::Settled(Some(Ending::Acknowledged));
    assert_eq!((core.watches.looks, core.poll_verdicts()), (2, vec![(watch, settled)]));
}

#[test]
fn a_session_that_a_message_is_not_for_is_not_waited_for() {
    let mut nodes = Nodes::new([1]);
    nodes.attach(1);
    let now = nodes.now;
    let core = nodes.get(1);
    core.join(session(), &topic(), now).unwrap();
    let others = Recipients::except([session()]);
    let id = core.publish(&topic(), others, Message::from("m"), now).unwrap();
    let watch = core.watch_settled(id);
    let settled = Verdict::Settled(Some(Ending::Acknowledged));
    assert_eq!(core.poll_verdicts(), [(watch, settled)]);
}

#[test]
fn a_node_tells_what_became_of_a_message() {
    let mut nodes = Nodes::new([1, 2]);
    nodes.attach(1);
    let now = nodes.now;
    nodes.get(1).join(session(), &topic(), now).unwrap();
    nodes.settle();
    let id = MessageId::new(NodeId::from_bits(2), Seq::FIRST);
    assert_eq!(nodes.get(1).fate(id), Fate::Unheard);
    nodes.publish(2);
    let pending =
        Pending { topic: topic(), sessions: 1, acknowledged: 0, waiting: vec![session()] };
    assert_eq!(nodes.get(1).fate(id), Fate::Pending(pending.clone()));
    assert_eq!(nodes.get(2).fate(id), Fate::Pending(pending), "on whichever node");

    let watch = nodes.get(2).watch_settled(id);
    nodes.pass(LogLimits::default().unread_for, Duration::from_secs(1));
    let ended = Fate::Ended { topic: topic(), ending: Ending::Expired };
    assert_eq!(nodes.get(1).fate(id), ended);
    let expired = Verdict::Settled(Some(Ending::Expired));
    assert_eq!(nodes.get(2).poll_verdicts(), [(watch, expired)]);
    let tally = nodes.get(2).accounting().published;
    assert_eq!((tally.accepted, tally.expired, tally.unaccounted()), (1, 1, 0));
    assert_eq!(nodes.get(1).accounting().published.accepted, 0);
    let first = MessageId::new(NodeId::from_bits(1), Seq::FIRST);
    assert_eq!(nodes.get(1).fate(first), Fate::Forgotten, "an operation, but no message");
}

/// Goal: what is accepted can be handed over, so nothing is accepted once that has begun.
#[test]
fn who_is_about_to_leave_accepts_nothing_more() {
    let mut nodes = Nodes::new([1, 2]);
    nodes.attach(1);
    nodes.publish(1);
    let now = nodes.now;
    let core = nodes.get(1);
    core.begin_leaving();
    let end = core.replica().applied().clone();
    let published = core.publish(&topic(), Recipients::Everyone, Message::from("m"), now);
    assert_eq!(published, Err(Refused::Leaving));
    assert_eq!(core.send(session(), Message::from("m"), None, now), Err(Refused::Leaving));
    assert_eq!(core.join(session(), &topic(), now), Err(Refused::Leaving));
    assert!(core.is_handed_over() && *core.replica().applied() == end);
}

/// Goal: somebody tells the handler of a session that is closed when its owner has just died.
#[test]
fn the_handler_is_told_though_who_was_to_do_it_died() {
    let mut nodes = Nodes::new([1, 2]);
    nodes.attach(1);
    let now = nodes.now;
    nodes.cores.remove(&NodeId::from_bits(1));
    nodes.get(2).close(session(), CloseReason::Application, now);
    assert!(nodes.get(2).poll_event().is_none(), "the owner does it, who seems to live");
    nodes.get(2).handle_dead(NodeId::from_bits(1), now + Duration::from_secs(2));
    let told = nodes.get(2).poll_event();
    assert!(matches!(told, Some(Event::SessionEnded { session: it, .. }) if it.id == session()));
    assert!(nodes.get(2).poll_event().is_none());
}

/// Goal: a session joins a topic whoever lets it, and whatever is heard of first.
#[test]
fn a_join_that_is_heard_of_before_its_session_counts() {
    let mut nodes = Nodes::new([1, 2]);
    nodes.attach(1);
    let (now, state) = (nodes.now, nodes.get(1).replica().state_of(session()).unwrap());
    let (epoch, from) = (state.session.claim.epoch, Position::new());
    let join = Op::Joined { session: session(), epoch, topic: topic(), from };
    let mut replica = Replica::new(NodeId::from_bits(9), Limits::default().log);
    for (origin, op) in [(2, join), (1, Op::SessionClaimed(state))] {
        replica.apply(MessageId::new(NodeId::from_bits(origin), Seq::FIRST), op, now);
    }
    assert_eq!(replica.topics_of(session()).len(), 1);
}

/// Goal: a busy topic does not keep a session from reading others.
#[test]
fn what_is_sent_to_a_session_is_read_though_its_topic_is_busy() {
    let mut nodes = Nodes::new([1]);
    let key = nodes.attach(1);
    let now = nodes.now;
    nodes.get(1).join(session(), &topic(), now).unwrap();
    for _ in 0..100 {
        nodes.publish(1);
    }
    nodes.get(1).send(session(), Message::from("for you"), None, now).unwrap();
    let budget = Budget { messages: 10, bytes: usize::MAX };
    let mut read = (0..2).flat_map(|_| nodes.get(1).read(key, budget).entries);
    assert!(read.any(|entry| entry.message().as_text() == Some("for you")));
}
