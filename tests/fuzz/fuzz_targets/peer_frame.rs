//! Any bytes from a peer are either refused, or frames that a node takes and goes on.
//!
//! The first byte says how the others are read: as a stream; as frames whose lengths are put right;
//! or as changes to the golden vectors of `proto-notes.md`.
#![no_main]

use std::{sync::OnceLock, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};
use exosphere::{
    Message,
    id::{NodeId, SessionId, TopicName},
    proto::{
        Budget, Core, Holder, Lane, Limits, Position, Recipients, Refused,
        wire::{Encoded, Frame, split_frame},
    },
};
use libfuzzer_sys::fuzz_target;

/// Where the header of a frame begins.
const PREFIX_BYTES: usize = 10;

fuzz_target!(|data: &[u8]| {
    let Some((&how, data)) = data.split_first() else { return };
    let mut stream = match how % 3 {
        0 => BytesMut::from(data),
        1 => with_lengths(data),
        _ => with_changes(data),
    };
    let mut node = Node::new();
    while let Ok(Some(bytes)) = split_frame(&mut stream) {
        let Ok(frame) = Frame::decode(&bytes) else { break };
        check(&bytes, &frame);
        node.take(frame);
    }
    node.go_on();
});

/// Reading and writing are inverse.
fn check(bytes: &Bytes, frame: &Frame) {
    let again = match frame {
        Frame::Goodbye => Encoded::goodbye(),
        Frame::Have(have) => Encoded::have(have),
        Frame::Hello(hello) => Encoded::hello(hello),
        Frame::Pull { origin, from } => Encoded::pull(*origin, *from),
        Frame::Post { number, post } => Encoded::post(*number, post),
        Frame::Posted { number, posted } => Encoded::posted(*number, posted),
        Frame::Report(report) => Encoded::report(report),
        Frame::Snapshot { number, index, part } => Encoded::snapshot(*number, *index, part),
        Frame::Operation { id, op, encoded } => {
            assert_eq!(encoded.to_bytes(), bytes, "it is passed on as it came");
            let again = Encoded::op(*id, op).to_bytes();
            let Ok(Frame::Operation { id: id2, op: op2, .. }) = Frame::decode(&again) else {
                panic!("an operation is read as one");
            };
            assert_eq!((*id, op), (id2, &op2));
            return;
        }
        _ => return,
    };
    let again = Frame::decode(&again.to_bytes()).expect("what is written can be read");
    assert_eq!(format!("{frame:?}"), format!("{again:?}"));
}

/// A node with a peer, a session and a topic.
struct Node {
    core: Core,
    now: std::time::Instant,
}

impl Node {
    fn new() -> Self {
        let now = std::time::Instant::now();
        let mut core = Core::new(NodeId::from_bits(0x0198_c9c4_0000_0002), Limits::default());
        core.handle_link_up(peer(), Position::new(), now);
        core.attach(None, session(), "/chat/lobby", &Holder::default(), now);
        core.join(session(), &topic(), now).expect("the session is there");
        Self { core, now }
    }

    fn take(&mut self, frame: Frame) {
        self.core.handle_frame(peer(), frame, self.now);
    }

    /// Whatever came, the node still does all that it does.
    fn go_on(&mut self) {
        let (core, mut now) = (&mut self.core, self.now);
        let message = Message::from("m");
        match core.publish(&topic(), Recipients::Everyone, message, now) {
            Ok(_) | Err(Refused::TopicClosed) => {} // As a peer may have decided.
            Err(refused) => panic!("it is small: {refused:?}"),
        }
        if let Some(key) = core.attachment_of(session()) {
            core.read(key, Budget { messages: 100, bytes: 1 << 20 });
            if let Some(mark) = core.mark(key) {
                core.acknowledge(key, mark);
            }
        }
        for pass in [1, 10, 1_000] {
            for frame in Lane::ALL.map(|lane| core.poll_transmit(peer(), lane, 1 << 20, now)) {
                for frame in frame {
                    Frame::decode(&frame.to_bytes()).expect("what a node says is a frame");
                }
            }
            now += Duration::from_secs(pass);
            core.handle_timeout(now);
        }
        core.handle_link_down(peer());
        core.handle_dead(peer(), now);
        core.handle_timeout(now + Duration::from_secs(1_000));
        while core.poll_event().is_some() {}
    }
}

fn peer() -> NodeId {
    NodeId::from_bits(0x0198_c9c4_0000_0001)
}

fn session() -> SessionId {
    SessionId::from_bits(0x1b4e_28ba_2fa1_41d2_883f_0016_d3cc_a402)
}

fn topic() -> TopicName {
    TopicName::parse("/chat/lobby").expect("it is a name")
}

/// Frames of kind, flags, length of header, length of payload, header and payload.
fn with_lengths(mut data: &[u8]) -> BytesMut {
    let mut stream = BytesMut::new();
    while let [kind, flags, header, payload, rest @ ..] = data {
        let (header, rest) = rest.split_at(usize::from(*header).min(rest.len()));
        let (payload, rest) = rest.split_at(usize::from(*payload).min(rest.len()));
        put_frame(&mut stream, *kind, *flags, header, payload);
        data = rest;
    }
    stream
}

/// Frames of a vector's number, how many changes follow, and changes: where, and to what.
fn with_changes(mut data: &[u8]) -> BytesMut {
    let mut stream = BytesMut::new();
    while let [vector, changes, rest @ ..] = data {
        let vectors = vectors();
        let mut frame = vectors[usize::from(*vector) % vectors.len()].clone();
        let (changes, rest) = rest.split_at((usize::from(*changes % 8) * 2).min(rest.len()));
        for change in changes.chunks_exact(2) {
            let at = 4 + usize::from(change[0]) % (frame.len() - 4);
            frame[at] = change[1];
        }
        stream.put_slice(&frame);
        data = rest;
    }
    stream
}

fn put_frame(stream: &mut BytesMut, kind: u8, flags: u8, header: &[u8], payload: &[u8]) {
    stream.put_u32((PREFIX_BYTES - 4 + header.len() + payload.len()) as u32);
    stream.put_slice(&[kind, flags]);
    stream.put_u32(header.len() as u32);
    stream.put_slice(header);
    stream.put_slice(payload);
}

/// The frames that the notes give as examples.
fn vectors() -> &'static [Vec<u8>] {
    static VECTORS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    VECTORS.get_or_init(|| {
        let notes = include_str!("../../../proto-notes.md");
        let blocks = notes.split("```vector\n").skip(1).filter_map(|block| {
            let hex = block.split("```").next()?.split("hex:").nth(1)?;
            let bytes = hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).ok());
            bytes.collect::<Option<Vec<_>>>() // A token has more lines, and is no frame.
        });
        blocks.collect()
    })
}
