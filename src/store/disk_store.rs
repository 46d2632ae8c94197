//! A store in a directory.

use std::{collections::VecDeque, io};

use super::{
    Store,
    files::{Append, Files},
    head::{Head, Kind, file_named, name_of, unfinished},
};
use crate::{id::NodeId, proto::wire::Encoded};

/// How much is written with one call. What is larger is written in several.
const WRITE_BYTES: usize = 1 << 20;

/// How much of a checkpoint is written, and synced, before journals have their turn again.
const SLICE_BYTES: u64 = 4 << 20;

/// A store in a directory.
#[derive(Debug)]
pub(crate) struct DiskStore<F: Files> {
    files: F,
    node: NodeId,
    /// The number of the next checkpoint and its journal.
    next: u64,
    journal: Option<Output<F::File>>,
    checkpoint: Option<Checkpoint<F::File>>,
    /// The newest checkpoint that is on the disk.
    newest: Option<u64>,
}

#[derive(Debug)]
struct Checkpoint<A> {
    number: u64,
    parts: VecDeque<Encoded>,
    output: Output<A>,
}

/// A file, and what is to be written to it.
#[derive(Debug)]
struct Output<A> {
    file: A,
    seed: u32,
    buffer: Vec<u8>,
    written_bytes: u64,
}

impl<F: Files> DiskStore<F> {
    /// A store in a directory, to which `node` writes. What is there stays there until the first
    /// checkpoints are.
    ///
    /// # Errors
    ///
    /// The disk cannot be read. Nothing was changed.
    pub(crate) fn new(files: F, node: NodeId) -> io::Result<Self> {
        let names = files.list()?;
        let numbers = names.iter().filter_map(|name| file_named(name));
        let checkpoints = numbers.clone().filter(|&(kind, _)| kind == Kind::Checkpoint);
        let newest = checkpoints.map(|(_, number)| number).max();
        let next = numbers.map(|(_, number)| number).max().map_or(1, |last| last + 1);
        Ok(Self { files, node, next, journal: None, checkpoint: None, newest })
    }

    fn output(&self, name: &str, kind: Kind, number: u64) -> io::Result<Output<F::File>> {
        let head = Head { kind, number, node: self.node };
        let file = self.files.create(name)?;
        let (seed, buffer) = (head.seed(), head.encode().to_vec());
        Ok(Output { file, seed, buffer, written_bytes: 0 })
    }

    /// A checkpoint is on the disk: what is older than the one before it goes.
    fn remove_older(&mut self, number: u64) -> io::Result<()> {
        let keep_from = self.newest.replace(number).unwrap_or(number);
        for name in self.files.list()? {
            let is_unfinished = name.ends_with(".new");
            let is_old = file_named(&name).is_some_and(|(_, number)| number < keep_from);
            if is_old || is_unfinished {
                self.files.remove(&name)?;
            }
        }
        self.files.sync()
    }
}

impl<F: Files> Store for DiskStore<F> {
    fn append(&mut self, records: Vec<Encoded>) -> io::Result<()> {
        let Some(journal) = &mut self.journal else {
            return Ok(()); // It begins with the first checkpoint, which has these.
        };
        if records.is_empty() {
            return Ok(());
        }
        for record in &records {
            journal.push(record)?;
        }
        journal.sync()
    }

    fn begin_checkpoint(&mut self, parts: Vec<Encoded>) -> io::Result<()> {
        let number = self.next;
        self.next += 1;
        let mut journal = self.output(&name_of(Kind::Journal, number), Kind::Journal, number)?;
        journal.sync()?;
        let output = self.output(&unfinished(number), Kind::Checkpoint, number)?;
        self.files.sync()?;
        self.journal = Some(journal);
        self.checkpoint = Some(Checkpoint { number, parts: parts.into(), output });
        Ok(())
    }

    fn continue_checkpoint(&mut self) -> io::Result<Option<u64>> {
        let Some(Checkpoint { number, parts, output }) = &mut self.checkpoint else {
            return Ok(None);
        };
        let end = output.written_bytes + SLICE_BYTES;
        while output.written_bytes < end
            && let Some(part) = parts.pop_front()
        {
            output.push(&part)?;
        }
        output.sync()?;
        if !parts.is_empty() {
            return Ok(None);
        }
        let (number, bytes) = (*number, output.written_bytes);
        self.checkpoint = None;
        self.files.rename(&unfinished(number), &name_of(Kind::Checkpoint, number))?;
        self.files.sync()?;
        self.remove_older(number)?;
        Ok(Some(bytes))
    }
}

impl<A: Append> Output<A> {
    fn push(&mut self, record: &Encoded) -> io::Result<()> {
        let [head, payload] = record.pieces();
        let checksum = crc32c::crc32c_append(crc32c::crc32c_append(self.seed, head), payload);
        self.buffer.extend(checksum.to_be_bytes());
        self.buffer.extend_from_slice(head);
        self.buffer.extend_from_slice(payload);
        if self.buffer.len() >= WRITE_BYTES {
            self.write()?;
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.write()?;
        self.file.sync()
    }

    fn write(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            self.file.append(&self.buffer)?;
            self.written_bytes += self.buffer.len() as u64;
            self.buffer.clear();
        }
        Ok(())
    }
}
