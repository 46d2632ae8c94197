//! What stands at the head of each file, and what the files are called.

use crate::id::NodeId;

/// What a file is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Journal,
    Checkpoint,
}

/// The head of a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    /// A journal continues the checkpoint with the same number.
    pub(crate) number: u64,
    /// Who wrote it.
    pub(crate) node: NodeId,
}

impl Head {
    /// How long a head is.
    pub(crate) const BYTES: usize = 32;

    const MAGIC: [u8; 8] = *b"EXOSTORE";

    /// The head as it is written.
    pub(crate) fn encode(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&Self::MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_be_bytes());
        bytes[10] = match self.kind {
            Kind::Journal => 1,
            Kind::Checkpoint => 2,
        };
        bytes[12..20].copy_from_slice(&self.number.to_be_bytes());
        bytes[20..28].copy_from_slice(&self.node.to_bits().to_be_bytes());
        let checksum = crc32c::crc32c(&bytes[..28]);
        bytes[28..].copy_from_slice(&checksum.to_be_bytes());
        bytes
    }

    /// The checksum at its end, with which those of the records begin.
    pub(crate) fn seed(self) -> u32 {
        crc32c::crc32c(&self.encode()[..28])
    }

    /// Reads a head; `None` if it is not whole, or of another version.
    pub(crate) fn decode(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        let number =
            |at: usize| bytes[at..at + 8].iter().fold(0, |sum, &b| sum << 8 | u64::from(b));
        let kind = match bytes[10] {
            1 => Kind::Journal,
            2 => Kind::Checkpoint,
            _ => return None,
        };
        let head = Self { kind, number: number(12), node: NodeId::from_bits(number(20)) };
        (head.encode() == *bytes).then_some(head)
    }
}

/// The version of the format.
pub(crate) const VERSION: u16 = 1;

/// What a file is called.
pub(crate) fn name_of(kind: Kind, number: u64) -> String {
    match kind {
        Kind::Journal => format!("{number}.journal"),
        Kind::Checkpoint => format!("{number}.checkpoint"),
    }
}

/// What a checkpoint is called that is not whole yet.
pub(crate) fn unfinished(number: u64) -> String {
    format!("{number}.checkpoint.new")
}

/// Which file has this name; `None` if it is none of a store's journals or checkpoints.
pub(crate) fn file_named(name: &str) -> Option<(Kind, u64)> {
    let (number, kind) = name.split_once('.')?;
    let number = number.parse().ok()?;
    let kind = match kind {
        "journal" => Kind::Journal,
        "checkpoint" => Kind::Checkpoint,
        _ => return None,
    };
    (name_of(kind, number) == name).then_some((kind, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_reads_as_it_was_written_and_no_other_way() {
        let node = NodeId::from_bits(0x0198_c9c4_0000_0001);
        let head = Head { kind: Kind::Checkpoint, number: 0x0102, node };
        assert_eq!(Head::decode(&head.encode()), Some(head));
        for bit in 0..Head::BYTES * 8 {
            let mut bytes = head.encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Head::decode(&bytes), None, "bit {bit}");
        }
    }

    #[test]
    fn files_are_known_by_their_names() {
        for kind in [Kind::Journal, Kind::Checkpoint] {
            assert_eq!(file_named(&name_of(kind, 17)), Some((kind, 17)));
        }
        for name in ["lock", "17.checkpoint.new", "017.journal", "+1.journal", "x.journal"] {
            assert_eq!(file_named(name), None, "{name}");
        }
    }
}
