//! What a client's bytes mean: frames (RFC 6455, section 5), put together into messages.
//!
//! A reader does no I/O. It is given bytes as they come, in whatever pieces, and takes from their
//! front what makes up the next thing. It copies each payload out, once, while it unmasks it: so a
//! message never keeps a read buffer alive, and between messages a reader owns no memory.
//!
//! # Invariants
//!
//! 1. A message under way has at most `limit_bytes`, and memory for little more than what has come.
//! 2. A control frame under way has at most 125 bytes.

use bytes::Bytes;

use super::Violation;
use crate::{
    client::frame::{self, close_code, opcode},
    message::Message,
};

/// The frames of one client.
#[derive(Debug)]
pub(crate) struct Reader {
    limit_bytes: usize,
    stage: Stage,
    /// The message whose last frame is still to come, as far as it has come.
    message: Option<Fragments>,
}

/// What a client sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum ClientFrame {
    /// A message, in however many frames it came.
    Message(Message),
    /// A question, to be sent back in a pong.
    Ping(Bytes),
    /// The answer to a ping, or to none.
    Pong(Bytes),
    /// The end, with [`close_code::NONE`] if the client does not say why.
    Close { code: u16, reason: String },
}

impl Reader {
    /// A reader that refuses messages of more than `limit_bytes`.
    pub(crate) fn new(limit_bytes: usize) -> Self {
        Self { limit_bytes, stage: Stage::Head(Head::default()), message: None }
    }

    /// Takes bytes from the front of `input` until they make up a frame, or are used up.
    ///
    /// # Errors
    ///
    /// [`Violation`] if the client broke a rule. The reader must not be used again.
    pub(crate) fn read(&mut self, input: &mut &[u8]) -> Result<Option<ClientFrame>, Violation> {
        loop {
            match &mut self.stage {
                Stage::Head(head) => {
                    let Some(header) = head.read(input)? else { return Ok(None) };
                    self.begin(header)?;
                }
                Stage::Data(payload) => {
                    let message = self.message.as_mut().expect("data belongs to a message");
                    if !payload.read(input, &mut message.bytes) {
                        return Ok(None);
                    }
                    if let Some(frame) = self.end_data()? {
                        return Ok(Some(frame));
                    }
                }
                Stage::Control { payload, bytes } => {
                    if !payload.read(input, bytes) {
                        return Ok(None);
                    }
                    return self.end_control().map(Some);
                }
            }
        }
    }

    /// Whether a frame or a message has begun and not ended.
    #[cfg(test)]
    pub(crate) fn is_within_message(&self) -> bool {
        !matches!(self.stage, Stage::Head(Head { len: 0, .. })) || self.message.is_some()
    }

    fn begin(&mut self, header: Header) -> Result<(), Violation> {
        if header.is_control() {
            if !header.is_final {
                return Err(Violation::FragmentedControl);
            }
            if header.payload_bytes > frame::MAX_TINY as u64 {
                return Err(Violation::LongControl);
            }
            self.stage = Stage::Control { payload: Payload::new(header), bytes: Vec::new() };
            return Ok(());
        }
        let continues = header.opcode == opcode::CONTINUATION;
        let so_far = match &self.message {
            Some(_) if !continues => return Err(Violation::Unfinished),
            None if continues => return Err(Violation::NothingToContinue),
            Some(message) => message.bytes.len(),
            None => 0,
        };
        if header.payload_bytes > (self.limit_bytes - so_far) as u64 {
            return Err(Violation::TooBig(self.limit_bytes));
        }
        let is_text = header.opcode == opcode::TEXT;
        self.message.get_or_insert_with(|| Fragments { is_text, bytes: Vec::new() });
        self.stage = Stage::Data(Payload::new(header));
        Ok(())
    }

    fn end_data(&mut self) -> Result<Option<ClientFrame>, Violation> {
        let Stage::Data(payload) = self.take_stage() else { unreachable!("called at data's end") };
        if !payload.header.is_final {
            return Ok(None);
        }
        let Fragments { is_text, mut bytes } =
            self.message.take().expect("data belongs to a message");
        bytes.shrink_to_fit();
        let bytes = Bytes::from(bytes);
        let message = match is_text {
            true => Message::from_utf8(bytes).map_err(|_| Violation::NotText)?,
            false => Message::binary(bytes),
        };
        Ok(Some(ClientFrame::Message(message)))
    }

    fn end_control(&mut self) -> Result<ClientFrame, Violation> {
        let Stage::Control { payload, bytes } = self.take_stage() else {
            unreachable!("called at a control frame's end")
        };
        match payload.header.opcode {
            opcode::PING => Ok(ClientFrame::Ping(Bytes::from(bytes))),
            opcode::PONG => Ok(ClientFrame::Pong(Bytes::from(bytes))),
            _ => read_close(&bytes),
        }
    }

    fn take_stage(&mut self) -> Stage {
        std::mem::replace(&mut self.stage, Stage::Head(Head::default()))
    }
}

fn read_close(payload: &[u8]) -> Result<ClientFrame, Violation> {
    let (code, reason) = match payload {
        [] => return Ok(ClientFrame::Close { code: close_code::NONE, reason: String::new() }),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
        [_] => return Err(Violation::CloseCode),
    };
    // The codes between are reserved, or never on the wire, or were never given out.
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(Violation::CloseCode);
    }
    let reason = str::from_utf8(reason).map_err(|_| Violation::NotText)?;
    Ok(ClientFrame::Close { code, reason: reason.to_owned() })
}

/// What is read next.
#[derive(Debug)]
enum Stage {
    Head(Head),
    /// The payload of a frame of `message`.
    Data(Payload),
    /// The payload of a frame that may stand between the frames of a message.
    Control {
        payload: Payload,
        bytes: Vec<u8>,
    },
}

/// A message of which more may come.
#[derive(Debug)]
struct Fragments {
    is_text: bool,
    bytes: Vec<u8>,
}

/// The first bytes of a frame, as far as they have come.
#[derive(Debug, Default)]
struct Head {
    bytes: [u8; Self::MAX_BYTES],
    len: usize,
}

impl Head {
    /// Two, eight more for a length, four more for the mask.
    const MAX_BYTES: usize = 14;

    fn read(&mut self, input: &mut &[u8]) -> Result<Option<Header>, Violation> {
        if !self.fill(input, 2) {
            return Ok(None);
        }
        let [first, second] = [self.bytes[0], self.bytes[1]];
        check(first, second)?;
        let length_bytes = match second & !MASKED {
            frame::SHORT => 2,
            frame::LONG => 8,
            _ => 0,
        };
        let mask_at = 2 + length_bytes;
        if !self.fill(input, mask_at + 4) {
            return Ok(None);
        }
        let fold = |length: u64, byte: &u8| length << 8 | u64::from(*byte);
        let payload_bytes = match length_bytes {
            0 => u64::from(second & !MASKED),
            _ => self.bytes[2..mask_at].iter().fold(0, fold),
        };
        let mask = self.bytes[mask_at..].first_chunk().expect("a mask has been read");
        Ok(Some(Header {
            is_final: first & frame::FINAL != 0,
            opcode: first & OPCODE,
            mask: *mask,
            payload_bytes,
        }))
    }

    /// Takes bytes until there are `upto`. Returns whether there are.
    fn fill(&mut self, input: &mut &[u8], upto: usize) -> bool {
        let count = upto.saturating_sub(self.len).min(input.len());
        let (taken, rest) = input.split_at(count);
        self.bytes[self.len..self.len + count].copy_from_slice(taken);
        self.len += count;
        *input = rest;
        self.len >= upto
    }
}

/// Refuses, as early as can be, what cannot begin a client's frame.
fn check(first: u8, second: u8) -> Result<(), Violation> {
    match first & OPCODE {
        _ if first & RESERVED != 0 => Err(Violation::ReservedBits),
        _ if second & MASKED == 0 => Err(Violation::Unmasked),
        opcode::CONTINUATION..=opcode::BINARY | opcode::CLOSE..=opcode::PONG => Ok(()),
        unknown => Err(Violation::Opcode(unknown)),
    }
}

/// What a frame says about itself.
#[derive(Clone, Copy, Debug)]
struct Header {
    is_final: bool,
    opcode: u8,
    mask: [u8; 4],
    payload_bytes: u64,
}

impl Header {
    fn is_control(self) -> bool {
        self.opcode >= opcode::CLOSE
    }
}

/// The payload of a frame that has begun.
#[derive(Debug)]
struct Payload {
    /// Its mask is turned so that it begins with the next byte.
    header: Header,
    missing_bytes: usize,
}

impl Payload {
    /// The payload of a frame whose length has been found to be within the limits.
    fn new(header: Header) -> Self {
        Self { header, missing_bytes: header.payload_bytes as usize }
    }

    /// Takes from the front of `input` what belongs to the payload, and puts it into `bytes`,
    /// unmasked. Returns whether that is all.
    fn read(&mut self, input: &mut &[u8], bytes: &mut Vec<u8>) -> bool {
        let (taken, rest) = input.split_at(self.missing_bytes.min(input.len()));
        *input = rest;
        if self.missing_bytes <= MAX_RESERVED_BYTES {
            bytes.reserve_exact(self.missing_bytes);
        }
        let start = bytes.len();
        bytes.extend_from_slice(taken);
        unmask(&mut bytes[start..], self.header.mask);
        self.header.mask.rotate_left(taken.len() % 4);
        self.missing_bytes -= taken.len();
        self.missing_bytes == 0
    }
}

fn unmask(bytes: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}

const RESERVED: u8 = 0x70;
const OPCODE: u8 = 0x0f;
const MASKED: u8 = 0x80;
/// For what a frame announces beyond this, memory is taken only as it comes.
const MAX_RESERVED_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
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
}
