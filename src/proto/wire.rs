//! What nodes say to each other, byte by byte. `proto-notes.md` describes every frame.
//!
//! ```text
//! length: u32   how many bytes follow
//! kind: u8      what it is
//! flags: u8     bit 0: an operation of a journal; bit 1: the payload is text
//! header: u32   how many bytes of MessagePack follow
//! ...           the header: arrays, one after another
//! ...           the payload, which is never copied or decoded on its way
//! ```
//!
//! Numbers are big endian. A later version may put further arrays behind those that this one knows,
//! and further kinds beside them; both are skipped, so that a cluster can be upgraded one node at a
//! time. An operation's first array is always its origin and its number, so that even an operation
//! of an unknown kind is counted, kept and passed on.

mod encoded;
mod frame;
mod hello;
#[cfg(feature = "sim")]
mod later;
mod proof;
mod snapshot_part;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::message::TraceContext;

pub use encoded::Encoded;
pub use frame::Frame;
pub use hello::{Hello, ProtocolRange, Refusal};
pub use proof::Proof;
pub use snapshot_part::SnapshotPart;

/// The largest message that can be published, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 1 << 20;

/// The largest frame that is taken from a peer, in bytes: a message and a generous header.
pub const MAX_FRAME_BYTES: usize = MAX_MESSAGE_BYTES + (512 << 10);

/// How many bytes stand before the header.
pub(crate) const PREFIX_BYTES: usize = 10;

/// How deep MessagePack may be nested. Ours is five deep at most.
const MAX_DEPTH: usize = 16;

mod flag {
    pub(super) const OPERATION: u8 = 1;
    pub(super) const TEXT: u8 = 2;
}

mod kind {
    pub(super) const HELLO: u8 = 1;
    pub(super) const HAVE: u8 = 2;
    pub(super) const REPORT: u8 = 3;
    pub(super) const PULL: u8 = 4;
    pub(super) const GOODBYE: u8 = 5;
    pub(super) const RELEASED: u8 = 6;
    pub(super) const POST: u8 = 7;
    pub(super) const SNAPSHOT_SESSION: u8 = 8;
    pub(super) const SNAPSHOT_MESSAGE: u8 = 9;
    pub(super) const SNAPSHOT_LOST: u8 = 10;
    pub(super) const SNAPSHOT_END: u8 = 11;
    pub(super) const SNAPSHOT_CLOSED: u8 = 12;
    pub(super) const SNAPSHOT_INBOX: u8 = 13;
    pub(super) const SNAPSHOT_PUSH: u8 = 14;
    pub(super) const POSTED: u8 = 15;
    pub(super) const SESSION_CLAIMED: u8 = 16;
    pub(super) const SESSION_READY: u8 = 17;
    pub(super) const SESSION_DETACHED: u8 = 18;
    pub(super) const SESSION_CLOSED: u8 = 19;
    pub(super) const JOINED: u8 = 20;
    pub(super) const LEFT: u8 = 21;
    pub(super) const PUBLISHED: u8 = 22;
    pub(super) const DEPARTED: u8 = 23;
    pub(super) const ACCEPTED: u8 = 24;
    pub(super) const HANDLED: u8 = 25;
    pub(super) const FOLLOWS: u8 = 26;
    pub(super) const WITHDRAWN: u8 = 27;
    pub(super) const RESUMED: u8 = 28;
    pub(super) const TOPIC_CLOSURE: u8 = 29;
    pub(super) const SNAPSHOT_WITHDRAWN: u8 = 32;
    pub(super) const SNAPSHOT_CLOSURE: u8 = 33;
}

/// Splits frames off a stream of bytes, which may arrive in any pieces.
///
/// Returns `None` until a whole frame is there.
///
/// # Errors
///
/// [`WireError::TooLarge`] as soon as a length says so, before any memory is set aside for it.
pub fn split_frame(buffer: &mut bytes::BytesMut) -> Result<Option<Bytes>, WireError> {
    let Some(prefix) = buffer.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(*prefix) as usize;
    if length > MAX_FRAME_BYTES {
        return Err(WireError::TooLarge { bytes: length });
    }
    if buffer.len() < 4 + length {
        buffer.reserve((4 + length - buffer.len()).min(64 << 10));
        return Ok(None);
    }
    Ok(Some(buffer.split_to(4 + length).freeze()))
}

/// Reads the arrays of a header, one after another.
struct Header<'a>(rmp_serde::Deserializer<rmp_serde::decode::ReadRefReader<'a, [u8]>>);

impl<'a> Header<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let mut deserializer = rmp_serde::Deserializer::from_read_ref(bytes);
        deserializer.set_max_depth(MAX_DEPTH);
        Self(deserializer)
    }

    /// The next array.
    fn read<T: Deserialize<'a>>(&mut self) -> Result<T, WireError> {
        T::deserialize(&mut self.0).map_err(|_| WireError::Malformed)
    }

    /// The array behind all others of a message's frame, if there is one.
    fn read_trace(&mut self) -> Option<TraceContext> {
        TraceContext::deserialize(&mut self.0).ok()
    }
}

/// Appends an array to a header.
fn write_array(header: &mut Vec<u8>, array: &impl Serialize) {
    rmp_serde::encode::write(header, array).expect("writing to memory does not fail");
}

/// Bytes are no frame. Nothing was changed by them; the link they came on is closed, since nothing
/// behind them can be trusted.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum WireError {
    /// The header is not what its kind asks for, or lengths contradict each other.
    #[error("a peer sent a malformed frame")]
    Malformed,
    /// The frame says that it is larger than any frame may be.
    #[error("a peer announced a frame of {bytes} bytes, more than the limit of {MAX_FRAME_BYTES}")]
    TooLarge {
        /// What the frame says its length is.
        bytes: usize,
    },
}
