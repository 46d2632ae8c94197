//! A reader, on frames whole and in pieces, right and wrong, and beside the reference.

use std::io::Cursor;

use tokio_tungstenite::tungstenite::{
    self, WebSocket,
    protocol::{Role, WebSocketConfig},
};

use super::*;
use crate::client::websocket::feed;

const LIMIT: usize = 1024;
const MASK: [u8; 4] = [0x12, 0xff, 0x00, 0xa5];

/// A client's frame whose first byte is `first`.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ ..=125 => frame.push(MASKED | len as u8),
        len @ ..=0xffff => {
            frame.push(MASKED | frame::SHORT);
            frame.extend((len as u16).to_be_bytes());
        }
        len => {
            frame.push(MASKED | frame::LONG);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    let start = frame.len();
    frame.extend(payload);
    unmask(&mut frame[start..], MASK);
    frame
}

fn text(text: &str) -> ClientFrame {
    ClientFrame::Message(Message::from(text))
}

#[test]
fn messages_are_read_in_whatever_pieces_they_come() {
    let long = "\u{e9}".repeat(400);
    let bytes = [
        frame(0x81, b"hello"),
        frame(0x01, &long.as_bytes()[..301]),
        frame(0x89, b"ping"),
        frame(0x00, b""),
        frame(0x8a, &[]),
        frame(0x80, &long.as_bytes()[301..]),
        frame(0x82, &[0xff; 1024]),
        frame(0x81, b""),
        frame(0x88, b"\x03\xe8bye"),
    ]
    .concat();
    let frames = [
        text("hello"),
        ClientFrame::Ping(Bytes::from_static(b"ping")),
        ClientFrame::Pong(Bytes::new()),
        text(&long),
        ClientFrame::Message(Message::binary(vec![0xff; 1024])),
        text(""),
        ClientFrame::Close { code: 1000, reason: "bye".into() },
    ];
    for chunk_bytes in [1, 2, 3, 5, 7, 13, 64, 1000, usize::MAX] {
        assert_eq!(feed(&bytes, chunk_bytes, LIMIT), (frames.to_vec(), None), "{chunk_bytes}");
    }
}

#[test]
fn every_violation_is_found() {
    let mut unmasked = frame(0x81, b"hi");
    unmasked[1] &= !MASKED;
    let half = [frame(0x01, b"a"), frame(0x81, b"b")].concat();
    let many = [frame(0x02, &[0; 1000]), frame(0x00, &[0; 24]), frame(0x80, &[0])].concat();
    let mut endless = vec![0x82, MASKED | frame::LONG];
    endless.extend([0xff; 12]);
    let split = [frame(0x01, b"\xc3"), frame(0x80, b"\x28")].concat();
    let violations = [
        (frame(0xc1, b"hi"), Violation::ReservedBits, 1002),
        (frame(0xa1, b"hi"), Violation::ReservedBits, 1002),
        (frame(0x91, b"hi"), Violation::ReservedBits, 1002),
        (frame(0x83, b"hi"), Violation::Opcode(3), 1002),
        (frame(0x8b, b"hi"), Violation::Opcode(11), 1002),
        (unmasked, Violation::Unmasked, 1002),
        (frame(0x09, b"hi"), Violation::FragmentedControl, 1002),
        (frame(0x89, &[0; 126]), Violation::LongControl, 1002),
        (frame(0x80, b"hi"), Violation::NothingToContinue, 1002),
        (half, Violation::Unfinished, 1002),
        (frame(0x82, &[0; 1025]), Violation::TooBig(LIMIT), 1009),
        (many, Violation::TooBig(LIMIT), 1009),
        (endless, Violation::TooBig(LIMIT), 1009),
        (frame(0x81, b"\xff"), Violation::NotText, 1007),
        (frame(0x81, b"\xed\xa0\x80"), Violation::NotText, 1007),
        (split, Violation::NotText, 1007),
        (frame(0x88, b"\x03"), Violation::CloseCode, 1002),
        (frame(0x88, b"\x03\xed"), Violation::CloseCode, 1002),
        (frame(0x88, b"\x00\x00"), Violation::CloseCode, 1002),
        (frame(0x88, b"\x03\xe8\xff"), Violation::NotText, 1007),
    ];
    for (bytes, violation, code) in violations {
        for chunk_bytes in [1, usize::MAX] {
            assert_eq!(feed(&bytes, chunk_bytes, LIMIT), (vec![], Some(violation)));
        }
        assert_eq!(violation.code(), code, "{violation}");
    }
}

/// Reads `bytes` in pieces beyond `limit_bytes`. Returns what was whole, and what the pieces are put
/// together, of which the last one says so and no other.
fn in_pieces(bytes: &[u8], chunk_bytes: usize, limit_bytes: usize) -> Vec<(bool, Message)> {
    let (mut reader, mut messages) = (Reader::in_pieces(limit_bytes), Vec::new());
    let mut parts: Vec<Message> = Vec::new();
    for mut chunk in bytes.chunks(chunk_bytes) {
        while let Some(frame) = reader.read(&mut chunk).unwrap() {
            let (piece, is_last) = match frame {
                ClientFrame::Message(message) => {
                    messages.push((true, message));
                    continue;
                }
                ClientFrame::Piece { piece, is_last } => (piece, is_last),
                _ => continue,
            };
            assert!(piece.len() <= limit_bytes + chunk_bytes + 3, "{}", piece.len());
            parts.push(piece);
            if is_last {
                let all = parts.iter().flat_map(|part| part.as_bytes().to_vec());
                let all = Bytes::from(all.collect::<Vec<_>>());
                let is_text = parts.drain(..).all(|part| part.is_text());
                messages.push((
                    false,
                    match is_text {
                        true => Message::from_utf8(all).unwrap(),
                        false => Message::binary(all),
                    },
                ));
            }
        }
    }
    assert!(parts.is_empty() && !reader.is_within_message());
    messages
}

#[test]
fn what_is_too_long_comes_in_pieces_that_make_it_up() {
    let long = "a\u{e9}\u{20ac}\u{1f600}".repeat(100);
    let cut = |at| (&long.as_bytes()[..at], &long.as_bytes()[at..]);
    let ((head, tail), whole) = (cut(306), Message::from("whole"));
    let bytes = [
        frame(0x81, long.as_bytes()),
        frame(0x81, b"whole"),
        frame(0x01, head),
        frame(0x89, b"ping"),
        frame(0x00, b""),
        frame(0x80, tail),
        frame(0x01, long.as_bytes()),
        frame(0x80, b""),
        frame(0x82, &[0xff; 600]),
        frame(0x02, &[0xff; 3]),
        frame(0x80, &[0xff; 2]),
    ]
    .concat();
    let text = || (false, Message::from(long.as_str()));
    let expected = [
        text(),
        (true, whole),
        text(),
        text(),
        (false, Message::binary(vec![0xff; 600])),
        (true, Message::binary(vec![0xff; 5])),
    ];
    for chunk_bytes in [1, 2, 3, 5, 7, 64, 1000, bytes.len()] {
        for limit_bytes in [5, 64, 500] {
            let read = in_pieces(&bytes, chunk_bytes, limit_bytes);
            assert_eq!(read, expected, "{chunk_bytes} {limit_bytes}");
        }
    }
}

#[test]
fn pieces_of_text_are_checked_across_their_ends() {
    let split = |first: &[u8], second: &[u8]| {
        let bytes = [frame(0x01, first), frame(0x80, second)].concat();
        let (mut reader, mut input) = (Reader::in_pieces(0), &bytes[..]);
        loop {
            match reader.read(&mut input) {
                Ok(Some(ClientFrame::Piece { is_last: true, .. })) => break Ok(()),
                Ok(_) => assert!(!input.is_empty(), "the last piece is still to come"),
                Err(violation) => break Err(violation),
            }
        }
    };
    assert_eq!(split(b"\xf0\x9f", b"\x98\x80"), Ok(()));
    assert_eq!(split(b"a\xe2\x82", b"\xac"), Ok(()));
    for (first, second) in [
        (&b"\xf0\x9f"[..], &b"\x98"[..]),
        (b"\xf0\x9f", b"a"),
        (b"\xff", b"a"),
        (b"\xed\xa0", b"\x80"),
        (b"a\xc3", b""),
    ] {
        assert_eq!(split(first, second), Err(Violation::NotText), "{first:?} {second:?}");
    }
}

#[test]
fn a_message_that_is_announced_takes_no_memory_until_it_comes() {
    let mut reader = Reader::new(usize::MAX);
    let announced = [0x82, MASKED | frame::LONG, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6];
    assert_eq!(reader.read(&mut &announced[..]), Ok(None));
    assert!(reader.message.as_ref().unwrap().bytes.capacity() < 64);
    assert!(reader.is_within_message());
}

#[test]
fn a_message_owns_its_bytes_and_no_more() {
    let mut reader = Reader::new(usize::MAX);
    let payload = vec![7; 100_000];
    let bytes = frame(0x82, &payload);
    let mut frames = bytes.chunks(1500).flat_map(|mut chunk| reader.read(&mut chunk).unwrap());
    assert_eq!(frames.next(), Some(ClientFrame::Message(Message::binary(payload))));
    drop(frames);
    assert!(reader.message.is_none() && !reader.is_within_message());
}

/// Goal: on any bytes, the reader finds the messages that the reference finds, and fails where
/// the reference fails.
///
/// Method: frames of all kinds, some of them damaged, are read by both. Whole frames only, as
/// the two differ in what they make of an end within a frame.
#[test]
fn the_reader_agrees_with_the_reference() {
    for seed in 1..=20_000_u64 {
        let mut dice = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut roll = |sides: u64| {
            dice ^= dice << 13;
            dice ^= dice >> 7;
            dice ^= dice << 17;
            dice % sides
        };
        let mut bytes = Vec::new();
        for _ in 0..roll(8) + 1 {
            const FIRST: [u8; 12] =
                [0x81, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8a, 0x88, 0x80, 0x00, 0x09];
            let payload = match roll(5) {
                0 => vec![0xc3],
                1 => vec![0xa9, b'x'],
                2 => b"\x03\xe8".to_vec(),
                3 => vec![b'a'; roll(300) as usize],
                _ => b"text".to_vec(),
            };
            let first = match roll(40) {
                0 => roll(256) as u8,
                _ => FIRST[roll(12) as usize],
            };
            bytes.extend(frame(first, &payload));
        }
        compare(&bytes, roll(20) as usize + 1, seed);
    }
}

fn compare(bytes: &[u8], chunk_bytes: usize, seed: u64) {
    const SMALL_LIMIT: usize = 500;
    let config = WebSocketConfig::default()
        .max_message_size(Some(SMALL_LIMIT))
        .max_frame_size(Some(SMALL_LIMIT));
    let mut theirs =
        WebSocket::from_raw_socket(Cursor::new(bytes.to_vec()), Role::Server, Some(config));
    // The reference would answer into what it reads, so it is read from one side only.
    let mut messages = Vec::new();
    let ended = loop {
        match theirs.read() {
            Ok(tungstenite::Message::Text(text)) => messages.push(Message::from(text.as_str())),
            Ok(tungstenite::Message::Binary(bytes)) => messages.push(Message::binary(bytes)),
            Ok(tungstenite::Message::Close(_)) => break true,
            Ok(_) => {}
            Err(tungstenite::Error::Protocol(
                tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
            )) => break false,
            Err(_) => break true,
        }
    };
    let (frames, violation) = feed(bytes, chunk_bytes, SMALL_LIMIT);
    let closed = frames.iter().position(|frame| matches!(frame, ClientFrame::Close { .. }));
    let before = &frames[..closed.unwrap_or(frames.len())];
    let ours: Vec<_> = before
        .iter()
        .filter_map(|frame| match frame {
            ClientFrame::Message(message) => Some(message.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(ours, messages, "seed {seed}");
    if closed.is_some() || violation.is_some() {
        assert!(ended, "seed {seed}: {violation:?}");
    }
}

#[test]
fn garbage_never_panics() {
    let mut dice = 0x1234_5678_9abc_def1_u64;
    for length in 0..3_000 {
        let garbage: Vec<u8> = (0..length % 257)
            .map(|_| {
                dice = dice.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e);
                (dice >> 56) as u8
            })
            .collect();
        feed(&garbage, length % 9 + 1, LIMIT);
    }
}
