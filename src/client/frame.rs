//! WebSocket frames from a server (RFC 6455, section 5.2), whole and never masked.
//!
//! A message is encoded once, in one allocation, and the result shared by everyone who receives it.

use bytes::Bytes;

use super::Framing;
use crate::proto::CloseCode;

/// A text, framed as its receivers asked for.
pub(crate) fn text(framing: Framing, text: &str) -> Bytes {
    frame(opcode::TEXT, framing.prefix(text).as_str().as_bytes(), text.as_bytes())
}

/// Bytes, which are never framed.
pub(crate) fn binary(bytes: &[u8]) -> Bytes {
    frame(opcode::BINARY, &[], bytes)
}

/// A ping with a number in it, which the client sends back in its pong.
pub(crate) fn ping(number: u64) -> Bytes {
    ping_of(&number.to_be_bytes())
}

/// A ping with this payload, of at most 125 bytes, which the client sends back in its pong.
pub(crate) fn ping_of(payload: &[u8]) -> Bytes {
    frame(opcode::PING, &[], payload)
}

/// The number in a pong, if it answers a [`ping`] of ours.
pub(crate) fn pong_number(payload: &[u8]) -> Option<u64> {
    payload.try_into().ok().map(u64::from_be_bytes)
}

/// The answer to a client's ping, whose payload is at most 125 bytes.
pub(crate) fn pong(payload: &[u8]) -> Bytes {
    frame(opcode::PONG, &[], payload)
}

/// The end. `reason` is cut at 123 bytes; with [`CloseCode::NONE`] there is neither.
pub(crate) fn close(code: u16, reason: &str) -> Bytes {
    match code {
        CloseCode::NONE => frame(opcode::CLOSE, &[], &[]),
        _ => {
            let reason = &reason[..reason.floor_char_boundary(MAX_REASON_BYTES)];
            frame(opcode::CLOSE, &code.to_be_bytes(), reason.as_bytes())
        }
    }
}

fn frame(opcode: u8, prefix: &[u8], payload: &[u8]) -> Bytes {
    let len = prefix.len() + payload.len();
    let mut frame = Vec::with_capacity(header_bytes(len) + len);
    frame.push(FINAL | opcode);
    match header_bytes(len) {
        TINY_HEADER => frame.push(len as u8),
        SHORT_HEADER => {
            frame.push(SHORT);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            frame.push(LONG);
            frame.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(prefix);
    frame.extend_from_slice(payload);
    Bytes::from(frame)
}

/// How long the header of an unmasked frame is.
fn header_bytes(payload_len: usize) -> usize {
    match payload_len {
        len if len <= MAX_TINY => TINY_HEADER,
        len if len <= MAX_SHORT => SHORT_HEADER,
        _ => LONG_HEADER,
    }
}

/// What a frame is.
pub(crate) mod opcode {
    pub(crate) const CONTINUATION: u8 = 0x0;
    pub(crate) const TEXT: u8 = 0x1;
    pub(crate) const BINARY: u8 = 0x2;
    pub(crate) const CLOSE: u8 = 0x8;
    pub(crate) const PING: u8 = 0x9;
    pub(crate) const PONG: u8 = 0xa;
}

/// Why a WebSocket closes (RFC 6455, section 7.4).
pub(crate) mod close_code {
    /// A frame broke the rules.
    pub(crate) const PROTOCOL: u16 = 1002;
    /// A text was not UTF-8.
    pub(crate) const NOT_TEXT: u16 = 1007;
    /// A message was too big.
    pub(crate) const TOO_BIG: u16 = 1009;
}

/// The first bit of a frame: no more of its message follows.
pub(crate) const FINAL: u8 = 0x80;
/// In place of a length: the length is in the two bytes that follow.
pub(crate) const SHORT: u8 = 126;
/// In place of a length: the length is in the eight bytes that follow.
pub(crate) const LONG: u8 = 127;
/// The longest payload of a control frame, and of a frame whose length is in its second byte.
pub(crate) const MAX_TINY: usize = 125;
const MAX_SHORT: usize = u16::MAX as usize;
const TINY_HEADER: usize = 2;
const SHORT_HEADER: usize = 4;
const LONG_HEADER: usize = 10;
/// What is left of a control frame after the code.
const MAX_REASON_BYTES: usize = MAX_TINY - 2;

#[cfg(test)]
mod tests {
    use tokio_tungstenite::tungstenite::{
        Message, WebSocket,
        protocol::{Role, frame::coding},
    };

    use super::*;

    /// What the reference client makes of `frame`.
    fn read(frame: &[u8]) -> Message {
        let io = std::io::Cursor::new(frame.to_vec());
        WebSocket::from_raw_socket(io, Role::Client, None).read().unwrap()
    }

    #[test]
    fn a_client_reads_frames_of_every_length() {
        for len in [0, 1, 123, 124, 125, 126, 127, 65_532, 65_535, 65_536, 100_000] {
            let payload = "x".repeat(len);
            let framed = format!("{len}|{payload}");
            assert_eq!(read(&text(Framing::Bare, &payload)), Message::text(payload.as_str()));
            assert_eq!(read(&text(Framing::Length, &payload)), Message::text(framed));
            assert_eq!(read(&binary(payload.as_bytes())), Message::binary(payload));
        }
    }

    #[test]
    fn a_text_frame_is_these_bytes() {
        assert_eq!(text(Framing::Length, "hi")[..], *b"\x81\x042|hi");
        assert_eq!(text(Framing::Bare, "")[..], *b"\x81\x00");
    }

    #[test]
    fn a_pong_brings_the_number_of_its_ping() {
        let Message::Ping(payload) = read(&ping(u64::MAX - 1)) else { panic!("no ping") };
        assert_eq!(pong_number(&payload), Some(u64::MAX - 1));
        assert_eq!(pong_number(b"1234567"), None);
        assert_eq!(pong_number(b"123456789"), None);
    }

    #[test]
    fn a_reason_is_cut_at_a_character() {
        // 61 of two bytes each are 122; the next would be bytes 123 and 124.
        let reason = "\u{e9}".repeat(80);
        let Message::Close(Some(close)) = read(&close(4000, &reason)) else { panic!("no close") };
        assert_eq!(close.code, coding::CloseCode::Library(4000));
        assert_eq!(close.reason.as_str(), "\u{e9}".repeat(61));
        assert_eq!(read(&super::close(CloseCode::NONE, "ignored")), Message::Close(None));
    }
}
