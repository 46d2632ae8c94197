//! WebSockets, as far as a client must know them here: one that never asks for anything twice.

use std::io::{self, Read, Write};

/// The longest head of a frame from a server, in bytes.
const MAX_HEAD_BYTES: usize = 10;

/// What ends the head of a request or an answer.
const HEAD_END: &[u8] = b"\r\n\r\n";

/// Asks for a WebSocket. The answer is believed.
pub(crate) fn ask(stream: &mut (impl Read + Write), path: &str) -> io::Result<()> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let answer = read_head(stream)?;
    match answer.starts_with(b"HTTP/1.1 101 ") {
        true => Ok(()),
        false => Err(io::Error::other(String::from_utf8_lossy(&answer).into_owned())),
    }
}

/// Answers whoever asks for a WebSocket.
pub(crate) fn answer(stream: &mut (impl Read + Write)) -> io::Result<()> {
    read_head(stream)?;
    stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
}

/// The head of what comes.
pub(crate) fn read_head(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(HEAD_END) {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(head)
}

/// A text from a server.
pub(crate) fn text_frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match text.len() {
        len @ ..126 => frame.push(len as u8),
        len @ ..=0xffff => {
            frame.push(126);
            frame.extend((len as u16).to_be_bytes());
        }
        len => {
            frame.push(127);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend(text.as_bytes());
    frame
}

/// A frame from a client, of at most 125 bytes, masked with zeros.
pub(crate) fn client_frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode, 0x80 | payload.len() as u8, 0, 0, 0, 0];
    frame.extend(payload);
    frame
}

/// The opcodes that matter.
pub(crate) mod opcode {
    pub(crate) const TEXT: u8 = 0x1;
    pub(crate) const CLOSE: u8 = 0x8;
    pub(crate) const PING: u8 = 0x9;
    pub(crate) const PONG: u8 = 0xa;
}

/// What came from a server.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Came {
    Message,
    /// It wants this back.
    Ping(Vec<u8>),
    Close,
}

/// Finds the frames in what comes from a server, wherever it is cut.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    head: [u8; MAX_HEAD_BYTES],
    head_len: usize,
    /// How much of the payload is still to come, once the head is there.
    left: Option<usize>,
    /// The payload, of a ping only.
    ping: Vec<u8>,
}

impl Frames {
    /// The next frame that ends in `bytes`, from which it is taken.
    pub(crate) fn next(&mut self, bytes: &mut &[u8]) -> Option<Came> {
        while self.left.is_none() {
            let (&byte, rest) = bytes.split_first()?;
            *bytes = rest;
            self.head[self.head_len] = byte;
            self.head_len += 1;
            self.left = payload_len(&self.head[..self.head_len]);
        }
        let left = self.left.expect("the head is there");
        let opcode = self.head[0] & 0xf;
        let (payload, rest) = bytes.split_at(left.min(bytes.len()));
        *bytes = rest;
        if opcode == opcode::PING {
            self.ping.extend_from_slice(payload);
        }
        if payload.len() < left {
            self.left = Some(left - payload.len());
            return None;
        }
        (self.left, self.head_len) = (None, 0);
        Some(match opcode {
            opcode::PING => Came::Ping(std::mem::take(&mut self.ping)),
            opcode::CLOSE => Came::Close,
            _ => Came::Message,
        })
    }
}

/// How long the payload is, once the head of its frame is there.
fn payload_len(head: &[u8]) -> Option<usize> {
    let &[_, len, ref more @ ..] = head else {
        return None;
    };
    match len {
        126 => more.try_into().ok().map(u16::from_be_bytes).map(usize::from),
        127 => more.try_into().ok().map(|len| u64::from_be_bytes(len) as usize),
        len => Some(usize::from(len)),
    }
}
