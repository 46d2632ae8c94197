//! What a client's bytes mean: frames (RFC 6455, section 5), put together into messages.
//!
//! A reader does no I/O. It is given bytes as they come, in whatever pieces, and takes from their
//! front what makes up the next thing. It copies each payload out, once, while it unmasks it: so a
//! message never keeps a read buffer alive, and between messages a reader owns no memory.
//!
//! # Invariants
//!
//! 1. A message under way has at most `limit_bytes`, and memory for little more than what has come. Of
//!    one that is handed over in pieces, no more is kept than the beginning of a character.
//! 2. A control frame under way has at most 125 bytes.

use std::mem;

use bytes::Bytes;

use super::Violation;
use crate::{
    client::frame::{self, opcode},
    message::Message,
    proto::CloseCode,
};

/// The frames of one client.
#[derive(Debug)]
pub(crate) struct Reader {
    limit_bytes: usize,
    beyond: Beyond,
    stage: Stage,
    /// The message whose last frame is still to come, as far as it has come.
    message: Option<Fragments>,
}

/// What a client sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum ClientFrame {
    /// A message, in however many frames it came.
    Message(Message),
    /// What has come of a message that is too long to be handed over as a whole.
    Piece { piece: Message, is_last: bool },
    /// A question, to be sent back in a pong.
    Ping(Bytes),
    /// The answer to a ping, or to none.
    Pong(Bytes),
    /// The end, with [`CloseCode::NONE`] if the client does not say why.
    Close { code: u16, reason: String },
}

/// What becomes of a message that is longer than the limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Beyond {
    Refused,
    InPieces,
}

impl Reader {
    /// A reader that refuses messages of more than `limit_bytes`.
    pub(crate) fn new(limit_bytes: usize) -> Self {
        let stage = Stage::Head(Head::default());
        Self { limit_bytes, beyond: Beyond::Refused, stage, message: None }
    }

    /// A reader that hands over messages of more than `limit_bytes` in pieces, as they come.
    pub(crate) fn in_pieces(limit_bytes: usize) -> Self {
        Self { beyond: Beyond::InPieces, ..Self::new(limit_bytes) }
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
                    let is_read = payload.read(input, &mut message.bytes);
                    let frame = match is_read {
                        true => self.end_data()?,
                        false if message.is_long => message.take_piece(false)?,
                        false => None,
                    };
                    if frame.is_some() || !is_read {
                        return Ok(frame);
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
        match &self.message {
            Some(_) if !continues => return Err(Violation::Unfinished),
            None if continues => return Err(Violation::NothingToContinue),
            _ => {}
        }
        let is_text = header.opcode == opcode::TEXT;
        let message = self.message.get_or_insert_with(|| Fragments::new(is_text));
        let left_bytes = self.limit_bytes.saturating_sub(message.bytes.len());
        if header.payload_bytes > left_bytes as u64 {
            match self.beyond {
                Beyond::Refused => return Err(Violation::TooBig(self.limit_bytes)),
                Beyond::InPieces => message.is_long = true,
            }
        }
        self.stage = Stage::Data(Payload::new(header));
        Ok(())
    }

    fn end_data(&mut self) -> Result<Option<ClientFrame>, Violation> {
        let Stage::Data(payload) = self.take_stage() else { unreachable!("called at data's end") };
        let is_last = payload.header.is_final;
        let message = self.message.as_mut().expect("data belongs to a message");
        let frame = match message.is_long {
            true => message.take_piece(is_last)?,
            false if is_last => Some(ClientFrame::Message(message.take(is_last)?)),
            false => None,
        };
        if is_last {
            self.message = None;
        }
        Ok(frame)
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
        mem::replace(&mut self.stage, Stage::Head(Head::default()))
    }
}

fn read_close(payload: &[u8]) -> Result<ClientFrame, Violation> {
    let (code, reason) = match payload {
        [] => return Ok(ClientFrame::Close { code: CloseCode::NONE, reason: String::new() }),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
        [_] => return Err(Violation::CloseCode),
    };
    if !CloseCode::may_be_sent(code) {
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
    /// Whether it is too long to be handed over as a whole.
    is_long: bool,
    /// What has come, and was not handed over.
    bytes: Vec<u8>,
}

impl Fragments {
    fn new(is_text: bool) -> Self {
        Self { is_text, is_long: false, bytes: Vec::new() }
    }

    /// What can be handed over of a message that is too long, if there is anything.
    fn take_piece(&mut self, is_last: bool) -> Result<Option<ClientFrame>, Violation> {
        let piece = self.take(is_last)?;
        let is_worth_it = is_last || !piece.is_empty();
        Ok(is_worth_it.then_some(ClientFrame::Piece { piece, is_last }))
    }

    /// What there is, but for the beginning of a character that may still come.
    fn take(&mut self, is_last: bool) -> Result<Message, Violation> {
        let mut bytes = mem::take(&mut self.bytes);
        if self.is_text && !is_last {
            self.bytes = bytes.split_off(end_of_characters(&bytes));
        }
        bytes.shrink_to_fit();
        let bytes = Bytes::from(bytes);
        match self.is_text {
            true => Message::from_utf8(bytes).map_err(|_| Violation::NotText),
            false => Ok(Message::binary(bytes)),
        }
    }
}

/// Where the last character ends of which all is there, if what follows may be the beginning of one.
fn end_of_characters(bytes: &[u8]) -> usize {
    match str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => bytes.len(),
    }
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
mod tests;
