//! What a gossip message must be like before chitchat is given it.
//!
//! chitchat trusts its peers: it inflates what they compressed however large it becomes, and
//! asserts what they must not say. So this reads every message first, as chitchat 0.11.2 will, and
//! refuses what would make it fail, grow, or believe others about this very node.
//!
//! ```text
//! 0xb053: 2 | version 0: 1 | kind: 1 | then, by kind,
//!     0, "syn":     digest | cluster: text
//!     1, "syn-ack": digest | delta
//!     2, "ack":     delta
//! digest: count: 2 | count times (member | heartbeat: 8 | last collected version: 8 | version: 8)
//! delta:  blocks of (1: 1 | length: 2 | one zstd frame) or (2: 1 | length: 2 | bytes), then 0: 1
//!         which together hold operations, each of them
//!     0: 1 | member | last collected version: 8 | versions follow this one: 8
//!     1: 1 | key: text | value: text | version: 8 | set, deleted or expiring: 1
//!     2: 1 | version: 8
//! member: id: text | generation: 8 | 4 or 6: 1 | address: 4 or 16 | port: 2
//! ```
//!
//! # Why chitchat does not fail on what passes
//!
//! 1. In a delta, the versions of a member's entries grow, and a bare version (operation 2) stands
//!    alone: so applying it never takes a member's version back.
//! 2. No delta is about this node, so its own version and heartbeat grow by its own doing only, and
//!    no number is near the end of its range: so nothing overflows.
//! 3. Keys and values are short, and members have short names and are few (see `known`): so digests
//!    leave room for deltas, and every entry fits in one.

use std::{collections::BTreeSet, net::SocketAddr};

use thiserror::Error;
use zstd::zstd_safe::{find_frame_compressed_size, get_frame_content_size};

use super::reader::Reader;
use crate::id::NodeId;

/// A member, as gossip names it.
pub(super) type Member = (NodeId, SocketAddr);

/// The rules, as they are for one node.
#[derive(Debug)]
pub(super) struct Precheck {
    own: Member,
    cluster: String,
}

impl Precheck {
    /// The rules for the node `own` of `cluster`.
    pub(super) fn new(own: Member, cluster: String) -> Self {
        Self { own, cluster }
    }

    /// Checks a message of the member `from`, and returns the members that it names.
    ///
    /// Accepts any bytes whatever: what breaks a rule is an error, never a panic.
    pub(super) fn check(&self, from: Member, message: &[u8]) -> Result<BTreeSet<Member>, Refusal> {
        if message.len() > MAX_MESSAGE_BYTES {
            return Err(Refusal::TooLong);
        }
        if from.0 == self.own.0 {
            return Err(Refusal::Impostor);
        }
        let mut reader = Reader(message);
        if reader.u16()? != MAGIC || reader.u8()? != VERSION {
            return Err(Refusal::Malformed);
        }
        let mut named = BTreeSet::new();
        match reader.u8()? {
            kind::SYN => {
                self.check_digest(from, &mut reader, &mut named)?;
                if reader.text()? != self.cluster {
                    return Err(Refusal::OtherCluster);
                }
            }
            kind::SYN_ACK => {
                self.check_digest(from, &mut reader, &mut named)?;
                self.check_delta(&mut reader, &mut named)?;
            }
            kind::ACK => self.check_delta(&mut reader, &mut named)?,
            unknown => return Err(Refusal::UnknownKind(unknown)),
        }
        match reader.is_empty() {
            true => Ok(named),
            false => Err(Refusal::Malformed),
        }
    }

    /// A digest says of each member how far its sender knows it; itself it knows.
    fn check_digest(
        &self,
        from: Member,
        reader: &mut Reader<'_>,
        named: &mut BTreeSet<Member>,
    ) -> Result<(), Refusal> {
        for _ in 0..reader.u16()? {
            let member = read_member(reader)?;
            for _heartbeat_and_versions in 0..3 {
                check_number(reader.u64()?)?;
            }
            let claims = |(node, addr): Member| member.0 == node && member.1 != addr;
            if claims(self.own) || claims(from) {
                return Err(Refusal::Impostor);
            }
            if !named.insert(member) {
                return Err(Refusal::Malformed);
            }
        }
        match named.contains(&from) {
            true => Ok(()),
            false => Err(Refusal::Anonymous),
        }
    }

    fn check_delta(
        &self,
        reader: &mut Reader<'_>,
        named: &mut BTreeSet<Member>,
    ) -> Result<(), Refusal> {
        let operations = inflate(reader)?;
        let mut reader = Reader(&operations);
        let (mut last, mut seen) = (Last::None, BTreeSet::new());
        while !reader.is_empty() {
            last = match (reader.u8()?, last) {
                (operation::MEMBER, _) => {
                    let member = read_member(&mut reader)?;
                    if member.0 == self.own.0 {
                        return Err(Refusal::AboutUs);
                    }
                    if !seen.insert(member) {
                        return Err(Refusal::Malformed);
                    }
                    check_number(reader.u64()?)?;
                    check_number(reader.u64()?)?;
                    Last::Member
                }
                (operation::ENTRY, Last::Member) => Last::Entry(read_entry(&mut reader, 0)?),
                (operation::ENTRY, Last::Entry(version)) => {
                    Last::Entry(read_entry(&mut reader, version)?)
                }
                (operation::BARE_VERSION, Last::Member) => {
                    check_number(reader.u64()?)?;
                    // Nothing but another member may follow.
                    Last::None
                }
                _ => return Err(Refusal::Malformed),
            };
        }
        named.append(&mut seen);
        Ok(())
    }
}

/// The operation of a delta before the one that is being read, as far as it matters.
#[derive(Clone, Copy, Debug)]
enum Last {
    None,
    Member,
    Entry(u64),
}

fn read_member(reader: &mut Reader<'_>) -> Result<Member, Refusal> {
    let name = reader.text()?;
    let node: NodeId = name.parse().map_err(|_| Refusal::Malformed)?;
    let generation = reader.u64()?;
    let addr = reader.addr()?;
    let ip = addr.ip();
    // An id has one spelling, since chitchat compares the text.
    let sound = name == node.to_string() && generation == GENERATION;
    match sound && !ip.is_unspecified() && !ip.is_multicast() && addr.port() != 0 {
        true => Ok((node, addr)),
        false => Err(Refusal::Malformed),
    }
}

/// Reads an entry, whose version must be above `version`, and returns that.
fn read_entry(reader: &mut Reader<'_>, version: u64) -> Result<u64, Refusal> {
    let (key, value) = (reader.text()?, reader.text()?);
    if key.is_empty() || key.len() > MAX_KEY_BYTES || value.len() > MAX_VALUE_BYTES {
        return Err(Refusal::Oversized);
    }
    let next = reader.u64()?;
    check_number(next)?;
    let status = reader.u8()?;
    match next > version && status <= 2 {
        true => Ok(next),
        false => Err(Refusal::Malformed),
    }
}

/// Heartbeats and versions count from one. None gets anywhere near the limit by counting.
fn check_number(number: u64) -> Result<(), Refusal> {
    if number <= MAX_NUMBER { Ok(()) } else { Err(Refusal::Absurd) }
}

/// Reads the blocks of a delta. Nothing is inflated before what it becomes is known to be small.
fn inflate(reader: &mut Reader<'_>) -> Result<Vec<u8>, Refusal> {
    let mut inflated = Vec::new();
    for _ in 0..MAX_BLOCKS {
        match reader.u8()? {
            block::END => return Ok(inflated),
            block::PLAIN => inflated.extend_from_slice(reader.bytes()?),
            block::ZSTD => {
                let frame = reader.bytes()?;
                let room = MAX_INFLATED_BYTES.saturating_sub(inflated.len()).min(MAX_BLOCK_BYTES);
                let length = declared_length(frame).ok_or(Refusal::Malformed)?;
                if length > room {
                    return Err(Refusal::Oversized);
                }
                let block = zstd::bulk::decompress(frame, length);
                inflated.append(&mut block.map_err(|_| Refusal::Malformed)?);
            }
            _ => return Err(Refusal::Malformed),
        }
        if inflated.len() > MAX_INFLATED_BYTES {
            return Err(Refusal::Oversized);
        }
    }
    Err(Refusal::Oversized)
}

/// What the one frame in these bytes says that it becomes.
fn declared_length(frame: &[u8]) -> Option<usize> {
    let length = get_frame_content_size(frame).ok().flatten()?;
    let whole = find_frame_compressed_size(frame).is_ok_and(|bytes| bytes == frame.len());
    usize::try_from(length).ok().filter(|_| whole)
}

/// Why a message is not given to chitchat. It is as if it had never arrived.
///
/// All but [`Busy`](Self::Busy) are the peer's fault: a member that is broken, or was broken into.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub(crate) enum Refusal {
    /// Sending it again does not help.
    #[error("the message is longer than any of gossip")]
    TooLong,
    /// Sending it again does not help.
    #[error("the message is not one of gossip")]
    Malformed,
    /// Sending it again does not help.
    #[error("the message has the kind {0}, which this node does not know")]
    UnknownKind(u8),
    /// Sending it again does not help.
    #[error("the message is of another cluster")]
    OtherCluster,
    /// Sending it again does not help.
    #[error("the message does not name its sender")]
    Anonymous,
    /// Sending it again does not help.
    #[error("the message gives this node, or its sender, another address")]
    Impostor,
    /// Sending it again does not help.
    #[error("the message tells this node about itself")]
    AboutUs,
    /// Sending it again does not help.
    #[error("the message holds a number that no counting comes to")]
    Absurd,
    /// Sending it again does not help.
    #[error("the message holds, or becomes when inflated, more than is ever said")]
    Oversized,
    /// Sending it again helps once dead members have been forgotten, after some minutes.
    #[error("the message names more members than this node keeps track of")]
    TooManyMembers,
    /// Sending it again helps in a moment.
    #[error("too many messages of gossip wait")]
    Busy,
}

/// No message of gossip is longer, with some bytes to spare.
pub(crate) const MAX_MESSAGE_BYTES: usize = 65_536;

/// The generation of every member: a node that is started again has another id.
pub(super) const GENERATION: u64 = 0;

const MAGIC: u16 = 45_139;

const VERSION: u8 = 0;

/// At a thousand a second, a counter comes here in 34 years.
const MAX_NUMBER: u64 = 1 << 40;

/// How much the blocks of a message may become.
const MAX_INFLATED_BYTES: usize = 1 << 20;

/// How many blocks a message may have. chitchat fills each with 16 KiB before it is compressed.
const MAX_BLOCKS: usize = MAX_INFLATED_BYTES / 16_384 + 1;

/// What chitchat has room for when it inflates a block.
const MAX_BLOCK_BYTES: usize = u16::MAX as usize;

/// Keys and values are short words.
const MAX_KEY_BYTES: usize = 32;

const MAX_VALUE_BYTES: usize = 1024;

mod kind {
    pub(super) const SYN: u8 = 0;
    pub(super) const SYN_ACK: u8 = 1;
    pub(super) const ACK: u8 = 2;
}

mod operation {
    pub(super) const MEMBER: u8 = 0;
    pub(super) const ENTRY: u8 = 1;
    pub(super) const BARE_VERSION: u8 = 2;
}

mod block {
    pub(super) const END: u8 = 0;
    pub(super) const ZSTD: u8 = 1;
    pub(super) const PLAIN: u8 = 2;
}

#[cfg(test)]
mod tests {
    use super::{super::forge::*, *};

    const OWN: u64 = 1;
    const PEER: u64 = 2;

    fn check(message: &[u8]) -> Result<BTreeSet<Member>, Refusal> {
        let precheck = Precheck::new(member(OWN), "chat".into());
        precheck.check(member(PEER), message)
    }

    fn ack(operations: &[Vec<u8>]) -> Vec<u8> {
        message(kind::ACK, &[plain_delta(&operations.concat())])
    }

    #[test]
    fn what_chitchat_says_passes() {
        let named = BTreeSet::from([member(PEER), member(3)]);
        let digest = digest(&[(OWN, 9), (PEER, 9), (3, 9)]);
        let all = BTreeSet::from([member(OWN), member(PEER), member(3)]);
        assert_eq!(check(&message(kind::SYN, &[digest.clone(), text("chat")])), Ok(all.clone()));
        let operations =
            [about(PEER, 0), entry("st", "active", 1), entry("x", "", 7), about(3, 0), bare(5)];
        assert_eq!(check(&ack(&operations)), Ok(named));
        let delta = zstd_delta(&operations.concat());
        assert_eq!(check(&message(kind::SYN_ACK, &[digest, delta])), Ok(all));
        assert_eq!(check(&ack(&[])), Ok(BTreeSet::new()));
    }

    #[test]
    fn a_message_cut_short_or_with_a_tail_is_refused() {
        let digest = digest(&[(PEER, 9)]);
        let delta = zstd_delta(&[about(PEER, 0), entry("st", "active", 1)].concat());
        let whole = message(kind::SYN_ACK, &[digest, delta]);
        assert!(check(&whole).is_ok());
        for length in 0..whole.len() {
            assert!(check(&whole[..length]).is_err(), "{length} bytes");
        }
        assert_eq!(check(&[whole, vec![0]].concat()), Err(Refusal::Malformed));
        assert_eq!(check(&vec![0; MAX_MESSAGE_BYTES + 1]), Err(Refusal::TooLong));
    }

    #[test]
    fn no_byte_of_a_message_can_make_the_check_panic() {
        let digest = digest(&[(PEER, 9)]);
        let delta = zstd_delta(&[about(PEER, 0), entry("st", "active", 1)].concat());
        let whole = message(kind::SYN_ACK, &[digest, delta]);
        for at in 0..whole.len() {
            for byte in 0..=u8::MAX {
                let mut changed = whole.clone();
                changed[at] = byte;
                let _ = check(&changed);
            }
        }
    }

    #[test]
    fn a_message_is_of_a_known_kind_and_of_this_cluster() {
        let digest = digest(&[(PEER, 9)]);
        assert_eq!(check(&message(3, &[])), Err(Refusal::UnknownKind(3)));
        assert_eq!(check(&message(255, &[])), Err(Refusal::UnknownKind(255)));
        let other = message(kind::SYN, &[digest, text("game")]);
        assert_eq!(check(&other), Err(Refusal::OtherCluster));
    }

    #[test]
    fn a_digest_names_its_sender_under_its_own_address() {
        let syn = |digest: Vec<u8>| check(&message(kind::SYN, &[digest, text("chat")]));
        assert_eq!(syn(digest(&[])), Err(Refusal::Anonymous));
        assert_eq!(syn(digest(&[(3, 9)])), Err(Refusal::Anonymous));
        assert_eq!(syn(digest(&[(PEER, 9), (PEER, 9)])), Err(Refusal::Malformed));
        for claimed in [OWN, PEER] {
            let entry = [member_at(claimed, "127.0.0.1:9"), [0; 24].to_vec()].concat();
            let digest = [vec![1, 0], entry].concat();
            assert_eq!(syn(digest), Err(Refusal::Impostor));
        }
    }

    #[test]
    fn a_member_has_one_name_and_can_be_reached() {
        let good = (format!("{:016x}", 0xab), 0, "127.0.0.1:1");
        for (name, generation, addr) in [
            ("00000000000000AB".to_owned(), 0, good.2),
            ("ab".to_owned(), 0, good.2),
            (good.0.clone(), 1, good.2),
            (good.0.clone(), 0, "0.0.0.0:1"),
            (good.0.clone(), 0, "239.0.0.1:1"),
            (good.0.clone(), 0, "127.0.0.1:0"),
        ] {
            let member = raw_member(&name, generation, addr);
            let about = [vec![operation::MEMBER], member, [0; 16].to_vec()].concat();
            assert_eq!(check(&ack(&[about])), Err(Refusal::Malformed), "{name} {addr}");
        }
        let about =
            [vec![operation::MEMBER], raw_member(&good.0, 0, good.2), [0; 16].to_vec()].concat();
        assert!(check(&ack(&[about])).is_ok());
    }

    #[test]
    fn a_delta_never_takes_a_version_back() {
        for operations in [
            vec![about(3, 0), entry("a", "", 5), bare(4)],
            vec![about(3, 0), entry("a", "", 5), bare(6)],
            vec![about(3, 0), bare(4), bare(5)],
            vec![about(3, 0), bare(4), entry("a", "", 5)],
            vec![about(3, 0), entry("a", "", 5), entry("b", "", 5)],
            vec![about(3, 0), entry("a", "", 0)],
            vec![about(3, 0), about(3, 0)],
            vec![entry("a", "", 5)],
            vec![bare(5)],
        ] {
            assert_eq!(check(&ack(&operations)), Err(Refusal::Malformed), "{operations:?}");
        }
    }

    #[test]
    fn a_number_that_no_counting_comes_to_is_refused() {
        for number in [MAX_NUMBER + 1, u64::MAX] {
            for operations in [
                vec![about(3, number)],
                vec![about(3, 0), bare(number)],
                vec![about(3, 0), entry("a", "", number)],
            ] {
                assert_eq!(check(&ack(&operations)), Err(Refusal::Absurd), "{operations:?}");
            }
            let syn = message(kind::SYN, &[digest(&[(PEER, number)]), text("chat")]);
            assert_eq!(check(&syn), Err(Refusal::Absurd));
        }
    }

    #[test]
    fn keys_and_values_are_short() {
        for (key, value) in [("", ""), (&*"k".repeat(33), ""), ("k", &*"v".repeat(1025))] {
            assert_eq!(check(&ack(&[about(3, 0), entry(key, value, 1)])), Err(Refusal::Oversized));
        }
        let (key, value) = ("k".repeat(32), "v".repeat(1024));
        assert!(check(&ack(&[about(3, 0), entry(&key, &value, 1)])).is_ok());
    }

    #[test]
    fn a_delta_about_this_node_is_refused() {
        assert_eq!(check(&ack(&[about(OWN, 0), bare(5)])), Err(Refusal::AboutUs));
    }

    #[test]
    fn what_inflates_to_too_much_is_refused_before_it_does() {
        let block = zstd_block(&[0; 65_535]);
        let blocks = |count: usize| [block.repeat(count), vec![block::END]].concat();
        assert_eq!(check(&message(kind::ACK, &[blocks(17)])), Err(Refusal::Oversized));
        assert_eq!(check(&message(kind::ACK, &[blocks(2000)])), Err(Refusal::Oversized));
        let empty = [zstd_block(b"").repeat(MAX_BLOCKS), vec![block::END]].concat();
        assert_eq!(check(&message(kind::ACK, &[empty])), Err(Refusal::Oversized));
        let large = [zstd_block(&[0; 65_536]), vec![block::END]].concat();
        assert_eq!(check(&message(kind::ACK, &[large])), Err(Refusal::Oversized));
    }

    #[test]
    fn a_block_is_one_frame_that_says_its_length() {
        let frame = zstd::bulk::compress(b"", 0).unwrap();
        let twice = [framed(&frame.repeat(2)), vec![block::END]].concat();
        assert_eq!(check(&message(kind::ACK, &[twice])), Err(Refusal::Malformed));
        let silent = zstd::stream::encode_all(&b""[..], 0).unwrap();
        if get_frame_content_size(&silent).ok().flatten().is_none() {
            let silent = [framed(&silent), vec![block::END]].concat();
            assert_eq!(check(&message(kind::ACK, &[silent])), Err(Refusal::Malformed));
        }
        let junk = [framed(b"junk"), vec![block::END]].concat();
        assert_eq!(check(&message(kind::ACK, &[junk])), Err(Refusal::Malformed));
    }
}
