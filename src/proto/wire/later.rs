//! What a later version of this protocol may say, for tests: a node that speaks it is started beside
//! others, to see that they read it as chapter 11 of proto-notes.md says.

use bytes::Bytes;

use super::{Encoded, PREFIX_BYTES, ProtocolRange, write_array};

/// A kind of frame that this version does not know.
const KIND: u8 = 0x70;

impl ProtocolRange {
    /// What the next version of the library might speak.
    pub const NEXT: Self = Self { min: Self::OURS.min, max: Self::OURS.max + 1 };

    /// The frames of this version as a node says them that speaks this range.
    #[must_use]
    pub fn dress(self, frames: Vec<Encoded>) -> Vec<Encoded> {
        if self == Self::OURS {
            return frames;
        }
        let dressed = frames.into_iter().map(Encoded::with_further_array);
        dressed.chain([Encoded::of_later_kind()]).collect()
    }
}

impl Encoded {
    /// The same frame, with an array behind those of its header.
    fn with_further_array(self) -> Self {
        let [head, payload] = self.into_pieces();
        let mut header = head[PREFIX_BYTES..].to_vec();
        write_array(&mut header, &("of a later version", 2));
        Self::assemble(head[4], head[5], &header, payload)
    }

    /// A frame of a kind that this version does not know.
    fn of_later_kind() -> Self {
        Self::assemble(KIND, 0, b"no MessagePack \xc1", Bytes::from_static(b"payload"))
    }
}
