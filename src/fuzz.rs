//! Doors for fuzzing, where what strangers send is read. They exist only when fuzzing.

use crate::{
    client::websocket,
    cluster::{
        beacon::{Beacon, Kind},
        gossip,
        keys::Keys,
        secret::Secret,
    },
    license::{License, SigningKey},
    store,
};

/// What a client sends after the upgrade, cut in pieces of `chunk_bytes`: the cuts change nothing.
pub fn client_frames(bytes: &[u8], chunk_bytes: usize) {
    const LIMIT_BYTES: usize = 1 << 16;
    let whole = websocket::feed(bytes, bytes.len(), LIMIT_BYTES);
    assert_eq!(websocket::feed(bytes, chunk_bytes, LIMIT_BYTES), whole);
}

/// A datagram that claims to be a beacon, and one that is sealed rightly and says anything.
pub fn beacon(bytes: &[u8]) {
    let secret = Secret::from_bytes(vec![7; 32]).expect("32 bytes are a secret");
    let keys = Keys::derive(&secret, "fuzz");
    let sealed = Beacon::seal_text(&keys, Kind::Announce, bytes.to_vec());
    for datagram in [bytes, &sealed] {
        if let Ok(beacon) = Beacon::open(&keys, datagram) {
            assert_eq!(Beacon::open(&keys, &beacon.seal(&keys)), Ok(beacon));
        }
    }
}

/// A message of gossip, from a member that may say anything: see gossip's own door.
pub fn gossip(bytes: &[u8]) {
    gossip::fuzz::message(bytes);
}

/// What claims to be a licence, and what is signed and says anything: it is refused, or it says
/// the same when it is issued again.
pub fn license(bytes: &[u8]) {
    let vendor = SigningKey::from_bytes([7; 32]);
    for token in [bytes.to_vec(), vendor.sign_payload(bytes).into_bytes()] {
        if let Ok(license) = License::verify(&token, &[vendor.public_key()]) {
            assert_eq!(License::inspect(&token).as_ref(), Ok(license.grant()));
            // What was left out is written, which may be too long.
            if let Ok(again) = vendor.issue(license.grant()) {
                assert_eq!(again.grant(), license.grant());
            }
        }
    }
}

/// What stands in the files of a store: see the store's own door.
pub fn store_recovery(bytes: &[u8]) {
    store::fuzz::recovery(bytes);
}
