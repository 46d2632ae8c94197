//! Any bytes for a greeting are refused, or are one that is read as it is written, and that nobody is
//! believed without a proof.
#![no_main]

use bytes::{BufMut, Bytes, BytesMut};
use exosphere::{
    id::NodeId,
    proto::{
        Position,
        wire::{Encoded, Frame, Hello, Proof},
    },
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(Frame::Hello(theirs)) = Frame::decode(&frame(data)) else { return };
    let again = Frame::decode(&Encoded::hello(&theirs).to_bytes()).expect("what is written is read");
    let Frame::Hello(again) = again else { panic!("a greeting is read as one") };
    assert_eq!(again, theirs);

    let (own, addr) = (NodeId::from_bits(7), ([127, 0, 0, 1], 5701).into());
    let proof = Proof::from_bytes([0; Proof::BYTES]);
    let ours = Hello::new("chat", own, addr, Position::new(), proof);
    assert!(ours.meet(&theirs, None).is_err());
    let other = NodeId::from_bits(!theirs.node.to_bits());
    assert!(ours.meet(&theirs, Some(other)).is_err());
    if ours.meet(&theirs, Some(theirs.node)).is_ok() {
        assert!(theirs.node != own && theirs.cluster == "chat");
    }
});

/// A greeting whose header is these bytes.
fn frame(header: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u32(6 + header.len() as u32);
    frame.put_slice(&[1, 0]);
    frame.put_u32(header.len() as u32);
    frame.put_slice(header);
    frame.freeze()
}
