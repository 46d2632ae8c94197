//! A beacon: one small datagram by which a node says to its machine or network that it is here.
//!
//! Beacons are sealed with a key of the cluster. They begin with a tag of the cluster in clear
//! text, so that a neighbor's are dropped before anything is decrypted. A beacon may be replayed:
//! it is a hint, after which the handshake of a connection tells who is really there.
//!
//! ```text
//! "EXO1" | version: 1 | kind: 1 | cluster tag: 8 | nonce: 12 | sealed, bound to the head:
//!     node: 8 | proto min: 2 | proto max: 2 | 4 or 6: 1 | address: 4 or 16 | port: 2
//! ```
//!
//! Numbers are big-endian. A reader ignores what follows the port, so that fields can be added.

mod answers;
mod schedule;
mod sockets;
mod task;

use std::net::{IpAddr, SocketAddr};

use bytes::{Buf, BufMut};
use ring::aead::{Aad, MAX_TAG_LEN, NONCE_LEN, Nonce};
use thiserror::Error;

use crate::{
    cluster::{
        dice,
        keys::{Keys, TAG_BYTES},
    },
    id::NodeId,
};

pub(crate) use sockets::GROUP;
pub(crate) use task::start;

/// What a node says of itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Beacon {
    /// Why it says so.
    pub(crate) kind: Kind,
    /// The node.
    pub(crate) node: NodeId,
    /// Where its QUIC endpoint can be dialed.
    pub(crate) addr: SocketAddr,
    /// The oldest version of the protocol between nodes that it speaks.
    pub(crate) proto_min: u16,
    /// The newest one.
    pub(crate) proto_max: u16,
}

impl Beacon {
    /// No beacon is longer than this.
    pub(crate) const MAX_BYTES: usize = 512;

    /// Reads a datagram.
    ///
    /// Accepts any bytes whatever: what cannot be a beacon is an error, never a panic.
    pub(crate) fn open(keys: &Keys, datagram: &[u8]) -> Result<Self, BeaconError> {
        if datagram.len() > Self::MAX_BYTES {
            return Err(BeaconError::TooLong);
        }
        let (head, body) = datagram.split_at_checked(HEAD_BYTES).ok_or(BeaconError::Truncated)?;
        let kind = read_head(keys, head)?;
        let (nonce, sealed) = body.split_first_chunk().ok_or(BeaconError::Truncated)?;
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = keys.beacon().open_in_place(nonce, Aad::from(head), &mut sealed);
        Self::read_sealed(kind, opened.map_err(|_| BeaconError::Forged)?)
    }

    /// The datagram that says this. No two are alike.
    pub(crate) fn seal(&self, keys: &Keys) -> Vec<u8> {
        let mut text = Vec::with_capacity(64);
        self.write_sealed(&mut text);
        Self::seal_text(keys, self.kind, text)
    }

    /// Seals any text, also what makes no sense.
    pub(crate) fn seal_text(keys: &Keys, kind: Kind, mut sealed: Vec<u8>) -> Vec<u8> {
        let mut head = [MAGIC, &[VERSION, kind.code()], &keys.tag()].concat();
        let nonce = dice::bytes::<NONCE_LEN>();
        keys.beacon()
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(&head),
                &mut sealed,
            )
            .expect("a beacon is much shorter than what can be sealed");
        head.extend_from_slice(&nonce);
        head.append(&mut sealed);
        head
    }

    fn read_sealed(kind: Kind, mut sealed: &[u8]) -> Result<Self, BeaconError> {
        let malformed = |_| BeaconError::Malformed;
        let node = NodeId::from_bits(sealed.try_get_u64().map_err(malformed)?);
        let proto_min = sealed.try_get_u16().map_err(malformed)?;
        let proto_max = sealed.try_get_u16().map_err(malformed)?;
        let ip: IpAddr = match sealed.try_get_u8().map_err(malformed)? {
            4 => sealed.try_get_u32().map_err(malformed)?.to_be_bytes().into(),
            6 => sealed.try_get_u128().map_err(malformed)?.to_be_bytes().into(),
            _ => return Err(BeaconError::Malformed),
        };
        let addr = SocketAddr::new(ip, sealed.try_get_u16().map_err(malformed)?);
        let reachable = !ip.is_unspecified() && !ip.is_multicast() && addr.port() != 0;
        match reachable && proto_min <= proto_max {
            true => Ok(Self { kind, node, addr, proto_min, proto_max }),
            false => Err(BeaconError::Malformed),
        }
    }

    fn write_sealed(&self, sealed: &mut Vec<u8>) {
        sealed.put_u64(self.node.to_bits());
        sealed.put_u16(self.proto_min);
        sealed.put_u16(self.proto_max);
        match self.addr.ip() {
            IpAddr::V4(ip) => {
                sealed.put_u8(4);
                sealed.put_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                sealed.put_u8(6);
                sealed.put_slice(&ip.octets());
            }
        }
        sealed.put_u16(self.addr.port());
    }
}

/// Why a node sends a beacon.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// It is here, and looks for others, who should answer.
    Query,
    /// It is here.
    Announce,
    /// It leaves.
    Bye,
}

impl Kind {
    const fn code(self) -> u8 {
        match self {
            Self::Query => 1,
            Self::Announce => 2,
            Self::Bye => 3,
        }
    }
}

/// Reads what is in clear text, from which it follows whether the rest concerns this cluster.
fn read_head(keys: &Keys, mut head: &[u8]) -> Result<Kind, BeaconError> {
    if !head.starts_with(MAGIC) {
        return Err(BeaconError::Foreign);
    }
    head.advance(MAGIC.len());
    let version = head.get_u8();
    if version != VERSION {
        return Err(BeaconError::UnknownVersion(version));
    }
    let kind = match head.get_u8() {
        1 => Kind::Query,
        2 => Kind::Announce,
        3 => Kind::Bye,
        unknown => return Err(BeaconError::UnknownKind(unknown)),
    };
    match head == keys.tag() {
        true => Ok(kind),
        false => Err(BeaconError::OtherCluster),
    }
}

/// Why a datagram is no beacon of this cluster. It is dropped; its sender is told nothing.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub(crate) enum BeaconError {
    /// No beacon is that long.
    #[error("the datagram is longer than any beacon")]
    TooLong,
    /// A beacon is longer.
    #[error("the datagram ends too early")]
    Truncated,
    /// Somebody else's traffic.
    #[error("the datagram is no beacon")]
    Foreign,
    /// A later exosphere's.
    #[error("the beacon has version {0}, which this node does not know")]
    UnknownVersion(u8),
    /// A later exosphere's.
    #[error("the beacon has kind {0}, which this node does not know")]
    UnknownKind(u8),
    /// A neighbor's, which is quite usual.
    #[error("the beacon is of another cluster")]
    OtherCluster,
    /// Its sender knows the cluster's tag and not its secret, or it was damaged.
    #[error("the beacon is not sealed with the key of this cluster")]
    Forged,
    /// Its sender knows the secret and does not keep to the format.
    #[error("the beacon says nothing sensible")]
    Malformed,
}

const MAGIC: &[u8] = b"EXO1";

const VERSION: u8 = 1;

const HEAD_BYTES: usize = MAGIC.len() + 2 + TAG_BYTES;

/// The longest that this version sends: the head, a nonce, an IPv6 address and the rest, a seal.
const _: () = assert!(HEAD_BYTES + NONCE_LEN + 31 + MAX_TAG_LEN <= Beacon::MAX_BYTES);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::secret::Secret;

    fn keys(secret: u8, cluster: &str) -> Keys {
        Keys::derive(&Secret::from_bytes(vec![secret; 32]).unwrap(), cluster)
    }

    fn beacon(kind: Kind, addr: &str) -> Beacon {
        let node = NodeId::from_bits(0xab);
        Beacon { kind, node, addr: addr.parse().unwrap(), proto_min: 1, proto_max: 2 }
    }

    /// Seals bytes as a member could that does not keep to the format.
    fn sealed(keys: &Keys, body: &[u8]) -> Vec<u8> {
        let mut datagram = beacon(Kind::Query, "127.0.0.1:5701").seal(keys);
        let mut body = body.to_vec();
        let nonce = Nonce::assume_unique_for_key([7; NONCE_LEN]);
        let aad = Aad::from(&datagram[..HEAD_BYTES]);
        keys.beacon().seal_in_place_append_tag(nonce, aad, &mut body).unwrap();
        datagram.truncate(HEAD_BYTES);
        [datagram, vec![7; NONCE_LEN], body].concat()
    }

    #[test]
    fn a_beacon_is_read_as_it_was_sealed() {
        let keys = keys(1, "chat");
        for kind in [Kind::Query, Kind::Announce, Kind::Bye] {
            for addr in ["127.0.0.1:5701", "[2001:db8::1]:65535"] {
                let beacon = beacon(kind, addr);
                let datagram = beacon.seal(&keys);
                assert!(datagram.len() <= Beacon::MAX_BYTES);
                assert_eq!(Beacon::open(&keys, &datagram), Ok(beacon));
                assert_ne!(datagram, beacon.seal(&keys), "the nonce is fresh");
            }
        }
    }

    #[test]
    fn another_secret_or_cluster_is_told_by_its_tag() {
        let datagram = beacon(Kind::Query, "127.0.0.1:5701").seal(&keys(1, "chat"));
        for other in [keys(2, "chat"), keys(1, "game")] {
            assert_eq!(Beacon::open(&other, &datagram), Err(BeaconError::OtherCluster));
        }
    }

    #[test]
    fn a_beacon_that_was_touched_anywhere_is_refused() {
        let keys = keys(1, "chat");
        let datagram = beacon(Kind::Query, "127.0.0.1:5701").seal(&keys);
        for at in 0..datagram.len() {
            for bit in 0..8 {
                let mut touched = datagram.clone();
                touched[at] ^= 1 << bit;
                assert!(Beacon::open(&keys, &touched).is_err(), "byte {at}, bit {bit}");
            }
            assert!(Beacon::open(&keys, &datagram[..at]).is_err(), "{at} bytes");
        }
    }

    #[test]
    fn strange_bytes_are_told_apart() {
        let keys = keys(1, "chat");
        let datagram = beacon(Kind::Query, "127.0.0.1:5701").seal(&keys);
        let with = |at: usize, byte: u8| {
            let mut datagram = datagram.clone();
            datagram[at] = byte;
            Beacon::open(&keys, &datagram)
        };
        assert_eq!(Beacon::open(&keys, &[0; 513]), Err(BeaconError::TooLong));
        assert_eq!(Beacon::open(&keys, b""), Err(BeaconError::Truncated));
        assert_eq!(with(0, b'e'), Err(BeaconError::Foreign));
        assert_eq!(with(4, 9), Err(BeaconError::UnknownVersion(9)));
        assert_eq!(with(5, 9), Err(BeaconError::UnknownKind(9)));
        assert_eq!(with(5, 2), Err(BeaconError::Forged), "the kind is bound to the rest");
        assert_eq!(with(datagram.len() - 1, 0x55), Err(BeaconError::Forged));
    }

    #[test]
    fn a_member_that_talks_nonsense_is_refused() {
        let keys = keys(1, "chat");
        let body = |proto: [u8; 4], family: u8, ip: &[u8], port: [u8; 2]| {
            sealed(&keys, &[&[0; 8], &proto[..], &[family], ip, &port].concat())
        };
        let (proto, port) = ([0, 1, 0, 1], [0x16, 0x45]);
        let good = body(proto, 4, &[127, 0, 0, 1], port);
        assert!(Beacon::open(&keys, &good).is_ok());
        let longer =
            sealed(&keys, &[&[0; 8], &proto[..], &[4, 127, 0, 0, 1], &port, b"x"].concat());
        assert!(Beacon::open(&keys, &longer).is_ok(), "fields may be added");
        for bad in [
            sealed(&keys, b""),
            sealed(&keys, &[0; 8]),
            body(proto, 5, &[127, 0, 0, 1], port),
            body(proto, 6, &[127, 0, 0, 1], port),
            body(proto, 4, &[0, 0, 0, 0], port),
            body(proto, 4, &[239, 1, 1, 1], port),
            body(proto, 4, &[127, 0, 0, 1], [0, 0]),
            body([0, 2, 0, 1], 4, &[127, 0, 0, 1], port),
        ] {
            assert_eq!(Beacon::open(&keys, &bad), Err(BeaconError::Malformed), "{bad:?}");
        }
    }
}
