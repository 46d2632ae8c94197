//! The store's door for fuzzing.

use super::{DiskStore, Loaded, Recovered, Store, faulty::FaultyFiles, head, recover};
use crate::{
    id::{MessageId, NodeId, Seq, SessionId},
    proto::{
        Op, Position,
        wire::{Encoded, Frame, SnapshotPart},
    },
};

const NODE: NodeId = NodeId::from_bits(7);

/// How many operations the store is given.
const OPERATIONS: u64 = 8;

/// Three readings of `bytes`: as files, as records with right checksums, and as damage to a journal.
pub(crate) fn recovery(bytes: &[u8]) {
    as_files(bytes);
    as_records(bytes);
    as_damage(bytes);
}

fn as_files(bytes: &[u8]) {
    let (checkpoint, journal) = bytes.split_at(bytes.len() / 2);
    let files = FaultyFiles::default();
    files.put("1.checkpoint", checkpoint.to_vec());
    files.put("1.journal", journal.to_vec());
    let read = read(&files, |_| true);
    let all: u64 = read.cuts.iter().map(|cut| cut.bytes).sum();
    assert!(all <= bytes.len() as u64);
}

/// Lengths are taken from the bytes, so that the frames may be anything.
fn as_records(bytes: &[u8]) {
    let files = FaultyFiles::default();
    for kind in [head::Kind::Checkpoint, head::Kind::Journal] {
        let head = head::Head { kind, number: 1, node: NODE };
        let mut file = head.encode().to_vec();
        let mut rest = bytes;
        while let Some((&length, more)) = rest.split_first() {
            let (frame, more) = more.split_at(usize::from(length).min(more.len()));
            let framed =
                [&u32::try_from(frame.len()).unwrap_or(0).to_be_bytes()[..], frame].concat();
            file.extend(crc32c::crc32c_append(head.seed(), &framed).to_be_bytes());
            file.extend(framed);
            rest = more;
        }
        files.put(&head::name_of(kind, 1), file);
    }
    read(&files, |_| true);
}

fn as_damage(bytes: &[u8]) {
    let files = FaultyFiles::default();
    let store = || {
        let mut store = DiskStore::new(files.clone(), NODE)?;
        let part = SnapshotPart::End { view: Position::new() };
        store.begin_checkpoint(vec![Encoded::snapshot(1, 0, &part)])?;
        store.continue_checkpoint()?;
        store.append((0..OPERATIONS).map(|seq| Encoded::op(id(seq), &op(seq))).collect())
    };
    let stored: std::io::Result<()> = store();
    stored.expect("nothing fails that was not asked to");
    let mut journal = files.get("1.journal");
    // Each three bytes change one, and what is left over cuts the end.
    for damage in bytes.chunks_exact(3) {
        let at = usize::from(u16::from_be_bytes([damage[0], damage[1]]));
        if let Some(byte) = journal.get_mut(at) {
            *byte ^= damage[2];
        }
    }
    for &length in bytes.chunks_exact(3).remainder() {
        journal.truncate(journal.len().saturating_sub(usize::from(length)));
    }
    files.put("1.journal", journal);
    let mut next = 0;
    read(&files, |frame| {
        let Frame::Operation { id: told, op: told_op, .. } = frame else {
            panic!("nobody wrote {frame:?}");
        };
        assert_eq!((*told, told_op), (id(next), &op(next)));
        next += 1;
        true
    });
}

fn id(seq: u64) -> MessageId {
    MessageId::new(NODE, Seq::new(seq))
}

fn op(seq: u64) -> Op {
    Op::SessionReady { session: SessionId::from_bits(seq.into()) }
}

fn read(files: &FaultyFiles, mut load: impl FnMut(&Frame) -> bool) -> Recovered {
    let read = recover(files, |loaded| match loaded {
        Loaded::Checkpoint(_) => true,
        Loaded::Record(frame) => load(&frame),
    });
    read.expect("memory can be read")
}
