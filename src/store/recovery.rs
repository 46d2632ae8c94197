//! What a directory tells: the newest checkpoint that is whole, and all journals from it on.

use std::io;

use super::{
    Recovered,
    files::Files,
    head::{Kind, file_named, name_of},
    reader::Reader,
};
use crate::proto::wire::{Frame, SnapshotPart};

/// Something that was stored.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
pub(crate) enum Loaded {
    /// All parts of a checkpoint. Always the first, if there is one.
    Checkpoint(Vec<SnapshotPart>),
    /// A record of a journal.
    Record(Frame),
}

/// Hands out what is stored, one after another, to who says whether it fits to what it knows.
///
/// # Errors
///
/// The disk cannot be read. Nothing was changed.
pub(crate) fn recover(
    files: &impl Files,
    mut load: impl FnMut(Loaded) -> bool,
) -> io::Result<Recovered> {
    let mut recovered = Recovered::default();
    let mut found: Vec<_> = files.list()?.iter().filter_map(|name| file_named(name)).collect();
    found.sort_unstable_by_key(|&(_, number)| number);
    let mut from = 0;
    let checkpoints = found.iter().rev().filter(|&&(kind, _)| kind == Kind::Checkpoint);
    for &(_, number) in checkpoints {
        if let Some(parts) = checkpoint(files, number, &mut recovered)? {
            recovered.records += parts.len() as u64;
            load(Loaded::Checkpoint(parts));
            from = number;
            break;
        }
    }
    let journals = found.iter().filter(|&&(kind, number)| kind == Kind::Journal && number >= from);
    for &(_, number) in journals {
        let name = name_of(Kind::Journal, number);
        let mut reader = Reader::new(&name, files.read(&name)?);
        while let Some(frame) = reader.next()? {
            match load(Loaded::Record(frame)) {
                true => recovered.records += 1,
                false => recovered.unfit += 1,
            }
        }
        recovered.cuts.extend(reader.cut()?);
    }
    Ok(recovered)
}

/// The parts of a checkpoint, if it is whole.
fn checkpoint(
    files: &impl Files,
    number: u64,
    recovered: &mut Recovered,
) -> io::Result<Option<Vec<SnapshotPart>>> {
    let name = name_of(Kind::Checkpoint, number);
    let mut reader = Reader::new(&name, files.read(&name)?);
    let mut parts = Vec::new();
    while let Some(frame) = reader.next()? {
        if let Frame::Snapshot { part, .. } = frame {
            parts.push(part);
        }
    }
    let cut = reader.cut()?;
    let is_whole = cut.is_none() && matches!(parts.last(), Some(SnapshotPart::End { .. }));
    recovered.cuts.extend(cut);
    Ok(is_whole.then_some(parts))
}
