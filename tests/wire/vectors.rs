//! The golden vectors: as the notes have them, and as values.

use std::{collections::BTreeMap, fs, net::SocketAddr, sync::Arc, time::Instant};

use bytes::Bytes;
use exosphere::{
    Message, TraceContext,
    id::{
        BrowserId, Cause, Epoch, MessageId, NodeId, Principal, PushKey, Seq, SessionId, TopicName,
    },
    proto::{
        Acknowledgement, CloseReason, Closed, Closure, Core, Detachment, Entry, Holder, Inbox,
        Limits, Mark, Membership, Op, OpenPush, Position, Post, Posted, Presence, Recipients,
        Released, SessionState, Stamp,
        progress::Report,
        wire::{Encoded, Frame, Hello, Proof, SnapshotPart},
    },
};

/// A golden vector of the notes.
pub(crate) struct Vector {
    /// The bytes, as they go over the wire.
    pub(crate) bytes: Bytes,
    /// For a token, its text.
    pub(crate) text: String,
}

/// All vectors of `proto-notes.md`, by name.
///
/// A vector is a block fenced as `vector`, of lines `key: value`; what is indented continues the
/// line above. `name` and `hex` are needed, `text` makes it a token, and what else there is is for
/// people.
pub(crate) fn notes() -> BTreeMap<String, Vector> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/proto-notes.md");
    let notes = fs::read_to_string(path).expect("the notes are beside the source");
    let mut vectors = BTreeMap::new();
    for block in notes.split("```vector\n").skip(1) {
        let block = block.split("```").next().unwrap_or_default();
        let (name, vector) = read(block);
        let twice = vectors.insert(name.clone(), vector).is_some();
        assert!(!twice, "{name} is there twice");
    }
    assert!(!vectors.is_empty(), "the notes have vectors");
    vectors
}

/// The vectors that are frames.
pub(crate) fn frame_vectors() -> BTreeMap<String, Vector> {
    let is_frame = |vector: &Vector| vector.text.is_empty();
    notes().into_iter().filter(|(_, vector)| is_frame(vector)).collect()
}

fn read(block: &str) -> (String, Vector) {
    let joined = block.replace("\n ", " ");
    let value_of = |key: &str| {
        let line = joined.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.map(str::trim).unwrap_or_default()
    };
    let hex = value_of("hex").split_whitespace();
    let bytes = hex.map(|byte| u8::from_str_radix(byte, 16).expect("bytes are in hex"));
    let (name, text) = (value_of("name").to_owned(), value_of("text").to_owned());
    assert!(!name.is_empty(), "a vector has a name: {block}");
    (name, Vector { bytes: bytes.collect(), text })
}

/// What the frames among the vectors say.
pub(crate) fn frame_values() -> BTreeMap<&'static str, Frame> {
    let mut values = link_values();
    values.extend(snapshot_values());
    values.extend(op_values().into_iter().chain(published_values()).chain(steering_values()).map(
        |(name, seq, op)| {
            let id = MessageId::new(node(1), Seq::new(seq));
            let encoded = Encoded::op(id, &op);
            (name, Frame::Operation { id, op, encoded })
        },
    ));
    values.into_iter().collect()
}

/// What the tokens among the vectors say.
pub(crate) fn token_values() -> [(&'static str, Position); 3] {
    [
        ("token-nothing", Position::new()),
        ("token-one", position(&[(1, 17)])),
        ("token-three", position(&[(1, 127), (2, 128), (3, 1_000_000)])),
    ]
}

/// Writes a frame of any kind.
pub(crate) fn encode(frame: &Frame) -> Encoded {
    match frame {
        Frame::Goodbye => Encoded::goodbye(),
        Frame::Have(have) => Encoded::have(have),
        Frame::Hello(hello) => Encoded::hello(hello),
        Frame::Operation { id, op, .. } => Encoded::op(*id, op),
        Frame::Post { number, post } => Encoded::post(*number, post),
        Frame::Posted { number, posted } => Encoded::posted(*number, posted),
        Frame::Pull { origin, from } => Encoded::pull(*origin, *from),
        Frame::Released(released) => Encoded::released(released),
        Frame::Report(report) => Encoded::report(report),
        Frame::Snapshot { number, index, part } => Encoded::snapshot(*number, *index, part),
        _ => panic!("{frame:?} is a new kind of frame: write it here, and in the notes"),
    }
}

fn link_values() -> Vec<(&'static str, Frame)> {
    let hello = |addr: &str, have| {
        let addr: SocketAddr = addr.parse().expect("an address");
        let proof = Proof::from_bytes(std::array::from_fn(|at| at as u8));
        Frame::Hello(Hello::new("chat", node(1), addr, have, proof))
    };
    let sessions = [(session(1), &position(&[(1, 40)])), (session(2), &position(&[(1, 12)]))];
    let report = |count| {
        let sessions = sessions.into_iter().take(count);
        Report::of(position(&[(1, 41), (2, 7)]), topic(), sessions).expect("it has sessions")
    };
    vec![
        ("hello", hello("127.0.0.1:5701", position(&[(2, 7)]))),
        ("hello-ipv6", hello("[fd00::1]:5701", Position::new())),
        ("have", Frame::Have(position(&[(1, 41), (2, 7)]))),
        ("have-nothing", Frame::Have(Position::new())),
        ("report", Frame::Report(report(1))),
        ("report-behind", Frame::Report(report(2))),
        ("pull", Frame::Pull { origin: node(2), from: Seq::new(300) }),
        ("goodbye", Frame::Goodbye),
        ("released", Frame::Released(released())),
        ("post", Frame::Post { number: 5, post: post() }),
        ("post-confirm", Frame::Post { number: 6, post: confirmation() }),
        ("post-done", Frame::Post { number: 7, post: Post::done(session(1)) }),
        ("posted", Frame::Posted { number: 5, posted: Posted::Stored(vec![stored()]) }),
        ("posted-later", Frame::Posted { number: 6, posted: Posted::Later }),
    ]
}

/// Two pushes, a text and bytes.
fn post() -> Post {
    let named = (PushKey::Named("a".into()), Message::binary(vec![0xff, 0]));
    Post::new(session(1), None, vec![(push_key(), Message::text("hello")), named])
}

fn confirmation() -> Post {
    Post::new(session(1), Some((0x5e1e5, Mark::new(3))), Vec::new())
}

/// As an acknowledgement is read: there is no other way to make one.
fn stored() -> Acknowledgement {
    let json = serde_json::json!({ "key": push_key(), "level": "replicated", "nodes": 2 });
    serde_json::from_value(json).expect("an acknowledgement")
}

fn snapshot_values() -> Vec<(&'static str, Frame)> {
    let part = |index, part| Frame::Snapshot { number: 3, index, part };
    let entry = |seq, to, message| {
        let id = MessageId::new(node(1), Seq::new(seq));
        SnapshotPart::Message {
            topic: topic(),
            entry: Arc::new(Entry::new(id, topic(), to, message)),
        }
    };
    let only = Recipients::only([session(1)]);
    let closed = SnapshotPart::Closed { session: session(2), closed: closed_session() };
    let lost = SnapshotPart::Lost { topic: topic(), before: position(&[(1, 9), (2, 3)]) };
    let (id, from) = (message_17(), Recipients::Everyone);
    let withdrawn = SnapshotPart::Withdrawn { topic: topic(), id, from };
    let closure = Closure::new(1, MessageId::new(node(1), Seq::new(35)), false);
    vec![
        ("snapshot-session", part(0, SnapshotPart::Session(joined_session()))),
        ("snapshot-closed", part(1, closed)),
        ("snapshot-lost", part(2, lost)),
        ("snapshot-text", part(3, entry(17, Recipients::Everyone, Message::text("hello")))),
        ("snapshot-bytes", part(4, entry(18, only, Message::binary(vec![0xff, 0])))),
        ("snapshot-inbox", part(6, inbox())),
        ("snapshot-push", part(7, SnapshotPart::Push { session: session(1), push: open_push() })),
        ("snapshot-withdrawn", part(8, withdrawn)),
        ("snapshot-closure", part(9, SnapshotPart::Closure { topic: topic(), closure })),
        ("snapshot-end", part(5, SnapshotPart::End { view: position(&[(1, 41), (2, 7)]) })),
    ]
}

/// What operators have done.
fn steering_values() -> Vec<(&'static str, u64, Op)> {
    let topic = topic();
    vec![
        (
            "withdrawn",
            30,
            Op::Withdrawn { topic: topic.clone(), id: message_17(), from: Recipients::Everyone },
        ),
        (
            "withdrawn-only",
            31,
            Op::Withdrawn {
                topic: topic.clone(),
                id: message_17(),
                from: Recipients::only([session(1)]),
            },
        ),
        ("resumed", 32, Op::Resumed { topic: topic.clone() }),
        ("resumed-one", 33, Op::Resumed { topic: TopicName::private(session(1)) }),
        ("topic-closure", 34, Op::TopicClosure { topic: topic.clone(), turn: 0, is_closed: true }),
        (
            "topic-closure-open",
            35,
            Op::TopicClosure { topic: topic.clone(), turn: 1, is_closed: false },
        ),
    ]
}

fn op_values() -> Vec<(&'static str, u64, Op)> {
    let (epoch, topic) = (Epoch::FIRST, topic());
    let closed = |reason| Op::SessionClosed { session: session(1), owner: node(2), reason };
    vec![
        ("claimed", 0, Op::SessionClaimed(new_session())),
        ("claimed-again", 300, Op::SessionClaimed(joined_session())),
        ("ready", 1, Op::SessionReady { session: session(1) }),
        ("detached", 20, Op::SessionDetached { session: session(1), epoch, why: Detachment::Lost }),
        ("closed", 21, closed(CloseReason::Client)),
        ("closed-abandoned", 22, closed(CloseReason::Abandoned(Detachment::NodeDied))),
        ("closed-application", 23, closed(CloseReason::Application)),
        ("closed-other", 24, closed(CloseReason::Other)),
        (
            "joined",
            2,
            Op::Joined {
                session: session(1),
                epoch,
                topic: topic.clone(),
                from: position(&[(1, 2)]),
            },
        ),
        (
            "left",
            19,
            Op::Left {
                session: session(1),
                epoch,
                topic: topic.clone(),
                until: position(&[(1, 19)]),
            },
        ),
        (
            "departed",
            26,
            Op::Departed { session: session(1), topic: topic.clone(), left: stamp(19) },
        ),
        (
            "accepted",
            27,
            Op::Accepted { session: session(1), key: push_key(), message: Message::text("hello") },
        ),
        ("handled", 28, Op::Handled { session: session(1), key: PushKey::Named("a".into()) }),
        ("follows", 29, Op::Follows { after: MessageId::new(node(2), Seq::new(6)) }),
    ]
}

fn published_values() -> Vec<(&'static str, u64, Op)> {
    let topic = topic();
    let published = |to, message| Op::Published { topic: topic.clone(), to, message, cause: None };
    let private = Op::Published {
        topic: TopicName::private(session(1)),
        to: Recipients::Everyone,
        message: Message::text("psst"),
        cause: Some(Cause::new(session(1), push_key(), 1)),
    };
    let trace =
        TraceContext::new(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736, 0xf0_67aa_0ba9_02b7, 1);
    vec![
        ("published", 17, published(Recipients::Everyone, Message::text("hello"))),
        ("published-empty", 18, published(Recipients::Everyone, Message::text(""))),
        (
            "published-except",
            70_000,
            published(Recipients::except([session(2)]), Message::binary(vec![0, 0xff])),
        ),
        (
            "published-only",
            5_000_000_000,
            published(Recipients::only([session(2), session(1)]), Message::text("\u{e9}")),
        ),
        ("published-private", 25, private),
        (
            "published-traced",
            26,
            published(Recipients::Everyone, Message::text("hi").traced(trace)),
        ),
    ]
}

fn message_17() -> MessageId {
    MessageId::new(node(1), Seq::new(17))
}

fn push_key() -> PushKey {
    PushKey::Counted { epoch: 0x5ee5, number: 7 }
}

/// The second push of a client: of the first nobody has heard.
fn open_push() -> OpenPush {
    let id = MessageId::new(node(1), Seq::new(27));
    let mut push = OpenPush::new(push_key(), id, Message::text("hello"));
    push.effects.insert(0, MessageId::new(node(1), Seq::new(28)));
    push
}

fn inbox() -> SnapshotPart {
    let mut inbox = Inbox::default();
    let push = |key| OpenPush::new(key, open_push().id, Message::text(""));
    for key in [PushKey::Counted { epoch: 0x5ee5, number: 2 }, PushKey::Named("a".into())] {
        inbox.accept(push(key), start());
    }
    SnapshotPart::Inbox { session: session(1), memory: inbox.memory() }
}

fn released() -> Released {
    Released::new(
        session(1),
        Epoch::new(2),
        Some(Seq::new(41)),
        vec![(topic(), position(&[(1, 17)]))],
    )
}

/// A session as its first claim has it.
fn new_session() -> SessionState {
    let mut core = Core::new(node(1), Limits::default());
    core.attach(None, session(1), "/chat/lobby", &Holder::default(), start());
    core.replica().state_of(session(1)).expect("it was just attached")
}

/// A session that is over.
fn closed_session() -> Closed {
    let mut core = Core::new(node(1), Limits::default());
    core.attach(None, session(2), "/chat/lobby", &Holder::default(), start());
    core.close(session(2), CloseReason::Client, start());
    let closed = core.replica().closed_since(&Position::new()).next();
    let (_, mut closed) = closed.expect("it was just closed");
    (closed.owner, closed.by) = (node(2), MessageId::new(node(1), Seq::new(21)));
    closed
}

/// A session that was claimed twice, is detached now, and has joined one topic, left another, and
/// had all of a third.
fn joined_session() -> SessionState {
    let mut state = new_session();
    state.session.claim = Stamp::new(Epoch::new(2), node(2), Seq::new(6));
    state.session.presence = Presence::Detached(Detachment::Left);
    state.session.ready = true;
    let (alice, browser) = (Principal::new("alice"), BrowserId::from_bits(0xb0));
    state.session.holder = Holder::new(alice.ok(), Some(browser));
    let mut joined = Membership::new(stamp(2), position(&[(1, 2)]));
    joined.carried = Some(state.session.claim);
    joined.acknowledged = position(&[(1, 17), (2, 5)]);
    let mut left = Membership::new(stamp(4), Position::new());
    left.until = Some(position(&[(1, 19)]));
    let other = TopicName::parse("news").expect("a name");
    state.memberships = vec![(topic(), joined), (other, left)];
    state.departed = vec![(TopicName::parse("/chat/help").expect("a name"), stamp(9))];
    state
}

fn stamp(seq: u64) -> Stamp {
    Stamp::new(Epoch::FIRST, node(1), Seq::new(seq))
}

fn topic() -> TopicName {
    TopicName::parse("/chat/lobby").expect("a name")
}

fn node(number: u64) -> NodeId {
    NodeId::from_bits(0x0198_c9c4_0000_0000 + number)
}

fn session(number: u128) -> SessionId {
    SessionId::from_bits(0x1b4e_28ba_2fa1_41d2_883f_0016_d3cc_a400 + number)
}

fn position(entries: &[(u64, u64)]) -> Position {
    entries.iter().map(|&(number, next)| (node(number), Seq::new(next))).collect()
}

#[expect(clippy::disallowed_methods, reason = "some instant to count from")]
fn start() -> Instant {
    Instant::now()
}
