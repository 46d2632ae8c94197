//! A door for fuzzing, where messages of gossip are read.

use chitchat::{ChitchatMessage, Deserializable};

use super::precheck::{Member, Precheck};
use crate::id::NodeId;

/// A message that says anything. The first byte says how the others are wrapped: not at all, or as
/// the operations of a delta, plain or compressed. What passes the check, chitchat can read.
pub(crate) fn message(bytes: &[u8]) {
    let Some((&how, bytes)) = bytes.split_first() else { return };
    let short = &bytes[..bytes.len().min(usize::from(u16::MAX))];
    let message = match how % 3 {
        0 => bytes.to_vec(),
        1 => ack(2, short),
        _ => match zstd::bulk::compress(short, 0) {
            Ok(frame) if frame.len() <= usize::from(u16::MAX) => ack(1, &frame),
            _ => return,
        },
    };
    let precheck = Precheck::new(member(1), "fuzz".to_owned());
    if precheck.check(member(2), &message).is_ok() {
        let read = ChitchatMessage::deserialize(&mut &message[..]);
        assert!(read.is_ok(), "what passes can be read");
    }
}

fn member(id: u16) -> Member {
    (NodeId::from_bits(id.into()), ([127, 0, 0, 1], id).into())
}

/// An acknowledgement whose delta is one block of this kind.
fn ack(kind: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).expect("it was cut").to_le_bytes();
    [&45_139_u16.to_le_bytes()[..], &[0, 2, kind], &length, block, &[0]].concat()
}
