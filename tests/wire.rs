//! What `proto-notes.md` says of every frame is what this version writes and reads, and bytes that
//! are none do no harm.
//!
//! The notes hold golden vectors: blocks that name a frame, say its value in words and give its
//! bytes. Here stands the value of each in code, and both must agree both ways.

#[path = "wire/vectors.rs"]
mod vectors;

use std::{collections::BTreeSet, path::Path, time::Instant};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::{BufMut, Bytes, BytesMut};
use exosphere::{
    Message,
    id::{MessageId, NodeId, Seq, SessionId, TopicName},
    proto::{
        Core, Holder, Lane, Limits, Op, Position, Recipients,
        wire::{Encoded, Frame, MAX_FRAME_BYTES, ProtocolRange, WireError, split_frame},
    },
};
use vectors::{Vector, encode, frame_values, frame_vectors, notes, token_values};

/// How many bytes stand before a header, as the notes say.
const PREFIX_BYTES: usize = 10;

/// The bit of the flags that says that a frame is an operation, as the notes say.
const OPERATION: u8 = 1;

/// A kind that no version has given a meaning.
const NO_KIND: u8 = 200;

#[test]
fn every_vector_is_what_this_version_writes() {
    let notes = notes();
    for (name, frame) in frame_values() {
        let written = hex(&encode(&frame).to_bytes());
        let noted = notes.get(name).map(|vector| hex(&vector.bytes));
        assert_eq!(noted.as_deref(), Some(&*written), "{name} in proto-notes.md");
    }
}

#[test]
fn every_vector_is_read_as_what_it_says() {
    let values = frame_values();
    for (name, Vector { bytes, .. }) in frame_vectors() {
        let read = Frame::decode(&bytes).map(|frame| format!("{frame:?}"));
        let value = values.get(&*name).map(|value| format!("{value:?}"));
        assert_eq!(read.ok(), value, "{name}: bytes and value must say the same");
        assert!(value.is_some(), "{name} has no value here");
    }
}

#[test]
fn every_token_reads_and_writes_as_the_notes_say() {
    let notes = notes();
    let noted = notes.values().filter(|vector| !vector.text.is_empty()).count();
    let values = token_values();
    assert_eq!(noted, values.len(), "each token has a value, and each value a token");
    for (name, position) in values {
        let Vector { bytes, text } = notes.get(name).expect("a token is in the notes");
        assert_eq!(&URL_SAFE_NO_PAD.encode(bytes), text, "{name}");
        assert_eq!(&position.token(), text, "{name}");
        assert_eq!(Position::parse_token(text), Ok(position), "{name}");
    }
}

/// Goal: what each version of this library has said is read by all later ones.
///
/// Method: `tests/wire/recorded` has a file for each version, a frame a line. That of the newest must be
/// what the notes say, and is written anew with `RECORD=1`; those before are never changed.
#[test]
fn what_every_version_has_said_is_read() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire/recorded");
    let newest = ProtocolRange::OURS.max;
    let current: String = frame_vectors()
        .iter()
        .map(|(name, vector)| format!("{name} {}\n", digits(&vector.bytes)))
        .collect();
    let path = |version: u16| directory.join(format!("{version}.txt"));
    if std::env::var_os("RECORD").is_some() {
        std::fs::write(path(newest), &current).unwrap();
    }
    for version in ProtocolRange::OURS.min..=newest {
        let recorded = std::fs::read_to_string(path(version)).unwrap();
        assert!(version < newest || recorded == current, "{version}.txt is not what the notes say");
        for line in recorded.lines() {
            let (name, digits) = line.split_once(' ').unwrap();
            let bytes =
                digits.as_bytes().chunks(2).map(|digits| std::str::from_utf8(digits).unwrap());
            let bytes = bytes.map(|digits| u8::from_str_radix(digits, 16).unwrap());
            let read = Frame::decode(&bytes.collect());
            let is_known = !matches!(
                read,
                Err(_) | Ok(Frame::Unknown | Frame::Operation { op: Op::Unknown, .. })
            );
            assert!(is_known, "{name} of version {version}: {read:?}");
        }
    }
}

/// Goal: a kind of frame cannot be added without a line in the notes.
///
/// Method: whatever byte is decoded as anything but unknown is a kind that this version knows.
#[test]
fn every_kind_of_frame_has_a_vector() {
    let has_vector: BTreeSet<_> =
        frame_vectors().values().map(|v| (v.bytes[4], v.bytes[5] & OPERATION)).collect();
    let place = [0x92, 0, 0];
    for kind in 0..=u8::MAX {
        for (flags, header) in [(0, &[][..]), (OPERATION, &place)] {
            let is_known = !matches!(
                Frame::decode(&frame(kind, flags, header, &[])),
                Ok(Frame::Unknown | Frame::Operation { op: Op::Unknown, .. })
            );
            assert!(!is_known || has_vector.contains(&(kind, flags)), "kind {kind} has no vector");
        }
    }
}

#[test]
fn a_part_of_a_frame_is_no_frame() {
    for (name, Vector { bytes, .. }) in frame_vectors() {
        for end in 0..bytes.len() {
            assert!(Frame::decode(&bytes.slice(..end)).is_err(), "{name} cut at {end}");
            let mut buffer = BytesMut::from(&bytes[..end]);
            assert_eq!(split_frame(&mut buffer), Ok(None), "{name} cut at {end}");
            assert_eq!(buffer, bytes[..end], "{name} cut at {end}");
        }
    }
}

/// Goal: a header that ends too early is an error, even if all lengths agree.
#[test]
fn a_part_of_a_header_is_no_header() {
    // What a header says of traces may be missing.
    for (name, Vector { bytes, .. }) in
        frame_vectors().into_iter().filter(|it| it.0 != "published-traced")
    {
        let (header, payload) = parts(&bytes);
        for end in 0..header.len() {
            let cut = frame(bytes[4], bytes[5], &header[..end], payload);
            match Frame::decode(&cut) {
                Ok(Frame::Goodbye | Frame::Unknown) => {}
                Ok(Frame::Operation { op: Op::Unknown, .. }) => {}
                read => assert_eq!(read.err(), Some(WireError::Malformed), "{name} cut at {end}"),
            }
        }
    }
}

/// Goal: no byte that comes out wrong brings a node down.
///
/// Method: change each byte of each vector into each other value, and hand what can still be read
/// to a node.
#[test]
fn a_changed_byte_does_no_harm() {
    let now = start();
    for Vector { bytes, .. } in frame_vectors().into_values() {
        let mut core = linked(now);
        for at in 0..bytes.len() {
            for value in 0..=u8::MAX {
                let mut changed = bytes.to_vec();
                changed[at] = value;
                if let Ok(frame) = Frame::decode(&changed.into()) {
                    core.handle_frame(peer(), frame, now);
                }
            }
        }
        send_all(&mut core, now);
    }
}

#[test]
fn a_kind_of_a_later_version_is_skipped() {
    for flags in [0, 2, 0xfe] {
        let later = frame(NO_KIND, flags, b"\xc1 no MessagePack at all", b"and a payload");
        assert!(matches!(Frame::decode(&later), Ok(Frame::Unknown)));
    }
}

/// Goal: a node can be older than an operation, and the operation still reaches everybody.
#[test]
fn an_operation_of_a_later_version_counts_and_is_passed_on_as_it_is() {
    let now = start();
    let (mut core, later_node) = (linked(now), NodeId::from_bits(0xc));
    let place = |seq| {
        let mut header = Vec::new();
        header.put_slice(&[0x92, 0xc, seq]);
        header
    };
    let unknown = frame(NO_KIND, OPERATION, &[&place(0)[..], b"\xc1?"].concat(), b"whatever");
    let id = MessageId::new(later_node, Seq::new(1));
    let topic = TopicName::parse("/a").expect("a name");
    let known =
        Op::Published { topic, to: Recipients::Everyone, message: Message::from("m"), cause: None };
    let known = Encoded::op(id, &known).to_bytes();
    for bytes in [&unknown, &known] {
        core.handle_frame(peer(), Frame::decode(bytes).expect("a frame"), now);
    }
    assert_eq!(core.replica().applied().get(later_node), Seq::new(2));

    let other = NodeId::from_bits(0xd);
    let mut have = core.replica().applied().clone();
    have.forget(later_node);
    core.handle_link_up(other, have, now);
    core.handle_frame(other, Frame::Pull { origin: later_node, from: Seq::FIRST }, now);
    let passed_on = core.poll_transmit(other, Lane::Journal, usize::MAX, now);
    let passed_on: Vec<_> = passed_on.iter().map(Encoded::to_bytes).collect();
    assert_eq!(passed_on, [unknown, known]);
}

#[test]
fn what_a_later_version_puts_behind_a_header_is_ignored() {
    for (name, Vector { bytes, .. }) in frame_vectors() {
        let (header, payload) = parts(&bytes);
        let longer = [header, &[0x93, 0xc3, 0xa1, b'x', 0x91, 0xc0], &[0x90]].concat();
        let longer = frame(bytes[4], bytes[5], &longer, payload);
        match (Frame::decode(&bytes).expect(&name), Frame::decode(&longer).expect(&name)) {
            (Frame::Operation { id, op, .. }, Frame::Operation { id: id2, op: op2, encoded }) => {
                assert_eq!((id, &op), (id2, &op2), "{name}");
                assert_eq!(encoded.to_bytes(), longer, "{name} is passed on whole");
            }
            (known, longer) => assert_eq!(format!("{known:?}"), format!("{longer:?}"), "{name}"),
        }
    }
}

/// Goal: nesting is followed only so far, whatever stands before it, and so the stack is safe.
#[test]
fn what_is_nested_too_deeply_is_refused() {
    for (name, Vector { bytes, .. }) in frame_vectors() {
        let (header, payload) = parts(&bytes);
        for opening in [0x91, 0x81, 0xdc] {
            let bomb = vec![opening; 200_000];
            for start in 0..header.len() {
                let deep = [&header[..start], &bomb].concat();
                let read = Frame::decode(&frame(bytes[4], bytes[5], &deep, payload));
                let may_pass = start > 0 || matches!(read, Ok(Frame::Goodbye));
                assert!(may_pass || read.is_err(), "{name} with a bomb for a header");
            }
        }
    }
}

/// Goal: a length is believed only as far as there are bytes for it.
///
/// Method: put a huge array, map, text or bytes at every place of every header, and see that this
/// process's memory has not grown by anything like what they announce.
#[test]
fn a_huge_length_in_a_header_takes_no_memory() {
    let before = peak_bytes();
    for Vector { bytes, .. } in frame_vectors().into_values() {
        let (header, payload) = parts(&bytes);
        for announced in [0xdd, 0xdf, 0xdb, 0xc6, 0xc9] {
            for at in 0..header.len() {
                let huge = [&header[..at], &[announced], &[0xff; 4], &header[at..]].concat();
                let _ = Frame::decode(&frame(bytes[4], bytes[5], &huge, payload));
            }
        }
    }
    assert!(peak_bytes() - before < 1 << 30, "grew from {before} to {}", peak_bytes());
}

#[test]
fn a_frame_that_says_it_is_too_large_is_refused_at_once() {
    for length in [MAX_FRAME_BYTES as u32 + 1, 1 << 31, u32::MAX] {
        let mut buffer = BytesMut::from(&length.to_be_bytes()[..]);
        let before = buffer.capacity();
        let refused = Err(WireError::TooLarge { bytes: length as usize });
        assert_eq!(split_frame(&mut buffer), refused);
        assert_eq!(buffer.capacity(), before);
    }
    let largest = MAX_FRAME_BYTES as u32;
    let mut buffer = BytesMut::from(&largest.to_be_bytes()[..]);
    assert_eq!(split_frame(&mut buffer), Ok(None));
    assert!(buffer.capacity() < 1 << 20, "memory comes with the bytes, not before");
}

#[test]
fn lengths_that_contradict_each_other_are_refused() {
    let good = frame(2, 0, &[0x91, 0x90], b"");
    assert!(Frame::decode(&good).is_ok());
    for (at, value) in [(3, 7), (3, 9), (9, 3), (9, 255), (6, 255)] {
        let mut bad = good.to_vec();
        bad[at] = value;
        assert_eq!(Frame::decode(&bad.into()).err(), Some(WireError::Malformed), "byte {at}");
    }
    let longer = [&good[..], b"!"].concat();
    assert_eq!(Frame::decode(&longer.into()).err(), Some(WireError::Malformed), "a byte too many");
}

#[test]
fn frames_are_split_off_however_their_bytes_arrive() {
    let frames: Vec<_> = frame_vectors().into_values().map(|vector| vector.bytes).collect();
    let stream = frames.concat();
    for end in 0..=stream.len() {
        assert_eq!(split([&stream[..end], &stream[end..]]), frames, "cut at {end}");
    }
    for size in [1, 2, 3, 7, 64, 1000] {
        assert_eq!(split(stream.chunks(size)), frames, "pieces of {size}");
    }
    let three = [&frames[0][..], &frames[1], &frames[2]].concat();
    for first in 0..three.len() {
        for second in first..three.len() {
            let pieces = [&three[..first], &three[first..second], &three[second..]];
            assert_eq!(split(pieces), frames[..3], "cut at {first} and {second}");
        }
    }
}

/// The frames of a stream that arrives in these pieces.
fn split<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Bytes> {
    let (mut buffer, mut frames) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while let Some(frame) = split_frame(&mut buffer).expect("no frame is too large") {
            frames.push(frame);
        }
    }
    assert!(buffer.is_empty(), "all of the stream is frames");
    frames
}

/// A node with a link to [`peer`], a session, and a topic that it reads.
fn linked(now: Instant) -> Core {
    let mut core = Core::new(NodeId::from_bits(0xa), Limits::default());
    core.handle_link_up(peer(), Position::new(), now);
    let session = SessionId::from_bits(1);
    core.attach(None, session, "/chat", &Holder::default(), now);
    let topic = TopicName::parse("/chat/lobby").expect("a name");
    core.join(session, &topic, now).expect("the session is there");
    core
}

/// Lets a node say all that it has to say, and do what time does.
fn send_all(core: &mut Core, now: Instant) {
    for lane in Lane::ALL {
        for frame in core.poll_transmit(peer(), lane, usize::MAX, now) {
            assert!(Frame::decode(&frame.to_bytes()).is_ok(), "what a node says is a frame");
        }
    }
    core.handle_timeout(now + std::time::Duration::from_secs(3600));
}

fn peer() -> NodeId {
    NodeId::from_bits(0xb)
}

#[expect(clippy::disallowed_methods, reason = "some instant to count from")]
fn start() -> Instant {
    Instant::now()
}

/// A frame of these parts, with the lengths that belong to it.
fn frame(kind: u8, flags: u8, header: &[u8], payload: &[u8]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u32((PREFIX_BYTES - 4 + header.len() + payload.len()) as u32);
    bytes.put_slice(&[kind, flags]);
    bytes.put_u32(header.len() as u32);
    bytes.put_slice(header);
    bytes.put_slice(payload);
    bytes.freeze()
}

/// The header and the payload of a frame.
fn parts(bytes: &Bytes) -> (&[u8], &[u8]) {
    let length = bytes[6..PREFIX_BYTES].try_into().expect("four bytes");
    bytes[PREFIX_BYTES..].split_at(u32::from_be_bytes(length) as usize)
}

fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hex(bytes: &[u8]) -> String {
    let bytes: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.chunks(24).map(|line| line.join(" ")).collect::<Vec<_>>().join("\n       ")
}

/// The most address space that this process has had, in bytes. Zero where nothing tells.
fn peak_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmPeak:"));
    let kib = peak.and_then(|peak| peak.trim().trim_end_matches(" kB").parse().ok());
    kib.unwrap_or(0) * 1024
}
