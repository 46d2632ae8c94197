//! WebSockets: the upgrade, the frames that come in, and the connection that they come in on.

mod reader;
mod socket;
mod upgrade;
mod violation;

pub(crate) use reader::{ClientFrame, Reader};
pub(crate) use socket::{Incoming, Socket, SocketError};
pub(crate) use upgrade::{UpgradeError, accept, is_upgrade};
pub(crate) use violation::Violation;

/// Reads `bytes` as what a client sends after the upgrade, in reads of `chunk_bytes`.
///
/// Returns what there was until the first violation, if any. Any bytes whatever will do, which is
/// what fuzzing wants.
#[cfg(any(test, fuzzing))]
pub(crate) fn feed(
    bytes: &[u8],
    chunk_bytes: usize,
    limit_bytes: usize,
) -> (Vec<ClientFrame>, Option<Violation>) {
    let (mut reader, mut frames) = (Reader::new(limit_bytes), Vec::new());
    for mut chunk in bytes.chunks(chunk_bytes.max(1)) {
        loop {
            match reader.read(&mut chunk) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(violation) => return (frames, Some(violation)),
            }
        }
    }
    (frames, None)
}
