//! Reads the records of a file, as far as they are whole.
//!
//! Accepts any bytes whatever: it stops at the first that cannot be a record.

use std::io::{self, BufReader, Read};

use bytes::Bytes;

use super::{
    Cut,
    head::{Head, Kind, file_named},
};
use crate::proto::wire::{Frame, MAX_FRAME_BYTES};

/// How much is read at once.
const BUFFER_BYTES: usize = 256 << 10;

/// How long the part of a record is that says how long the rest is.
const PREFIX_BYTES: usize = 8;

/// The records of one file.
pub(crate) struct Reader<R> {
    name: String,
    input: BufReader<R>,
    /// Whether the head was read.
    seed: Option<u32>,
    /// What was read of records that are whole, the head included.
    whole: u64,
    /// What was read in all.
    read: u64,
    is_over: bool,
}

impl<R: Read> Reader<R> {
    pub(crate) fn new(name: &str, input: R) -> Self {
        let input = BufReader::with_capacity(BUFFER_BYTES, input);
        Self { name: name.to_owned(), input, seed: None, whole: 0, read: 0, is_over: false }
    }

    /// The next record; `None` behind the last that is whole.
    ///
    /// # Errors
    ///
    /// The disk cannot be read.
    pub(crate) fn next(&mut self) -> io::Result<Option<Frame>> {
        if self.is_over {
            return Ok(None);
        }
        let frame = match self.seed {
            Some(seed) => self.record(seed)?,
            None => match self.head()? {
                Some(head) => {
                    self.seed = Some(head.seed());
                    self.whole = self.read;
                    self.record(head.seed())?
                }
                None => None,
            },
        };
        match frame {
            Some(_) => self.whole = self.read,
            None => self.is_over = true,
        }
        Ok(frame)
    }

    /// Where the file was cut, if it did not end where its last record does.
    pub(crate) fn cut(mut self) -> io::Result<Option<Cut>> {
        self.read += io::copy(&mut self.input, &mut io::sink())?;
        let bytes = self.read - self.whole;
        let is_headless = self.seed.is_none();
        let cut = Cut { file: self.name, at: self.whole, bytes };
        Ok((bytes > 0 || is_headless).then_some(cut))
    }

    /// The head, if it is that of a file with this name.
    fn head(&mut self) -> io::Result<Option<Head>> {
        let mut bytes = [0; Head::BYTES];
        if !self.fill(&mut bytes)? {
            return Ok(None);
        }
        let named: Option<(Kind, u64)> = file_named(&self.name);
        Ok(Head::decode(&bytes).filter(|head| named == Some((head.kind, head.number))))
    }

    fn record(&mut self, seed: u32) -> io::Result<Option<Frame>> {
        let mut prefix = [0; PREFIX_BYTES];
        if !self.fill(&mut prefix)? {
            return Ok(None);
        }
        let [c0, c1, c2, c3, l0, l1, l2, l3] = prefix;
        let checksum = u32::from_be_bytes([c0, c1, c2, c3]);
        let length = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
        if length > MAX_FRAME_BYTES {
            return Ok(None);
        }
        // Memory is set aside for what is there, whatever the length says.
        let mut frame = Vec::with_capacity(4 + length.min(BUFFER_BYTES));
        frame.extend_from_slice(&prefix[4..]);
        let limit = length as u64;
        let read = self.input.by_ref().take(limit).read_to_end(&mut frame)?;
        self.read += read as u64;
        if read < length || crc32c::crc32c_append(seed, &frame) != checksum {
            return Ok(None);
        }
        Ok(Frame::decode(&Bytes::from(frame)).ok())
    }

    /// Whether there was enough to fill `bytes`.
    fn fill(&mut self, bytes: &mut [u8]) -> io::Result<bool> {
        let mut filled = 0;
        while filled < bytes.len() {
            match self.input.read(&mut bytes[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.read += filled as u64;
        Ok(filled == bytes.len())
    }
}
