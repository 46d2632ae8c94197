//! Makes gossip messages byte by byte, as an attacker would. For tests.

use std::net::{IpAddr, SocketAddr};

use super::precheck::Member;
use crate::id::NodeId;

pub(super) fn member(id: u64) -> Member {
    (NodeId::from_bits(id), ([127, 0, 0, 1], id as u16).into())
}

pub(super) fn message(kind: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    let head = [&45_139_u16.to_le_bytes()[..], &[0, kind]].concat();
    [head, parts.concat()].concat()
}

pub(super) fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_le_bytes()[..], text.as_bytes()].concat()
}

pub(super) fn raw_member(name: &str, generation: u64, addr: &str) -> Vec<u8> {
    let addr: SocketAddr = addr.parse().unwrap();
    let IpAddr::V4(ip) = addr.ip() else { unreachable!("tests use IPv4") };
    let generation = generation.to_le_bytes();
    [&text(name)[..], &generation, &[4], &ip.octets(), &addr.port().to_le_bytes()].concat()
}

pub(super) fn member_at(id: u64, addr: &str) -> Vec<u8> {
    raw_member(&NodeId::from_bits(id).to_string(), 0, addr)
}

/// A digest of members and their heartbeats.
pub(super) fn digest(members: &[(u64, u64)]) -> Vec<u8> {
    let entries = members.iter().map(|(id, heartbeat)| {
        let member = member_at(*id, &member(*id).1.to_string());
        [&member[..], &heartbeat.to_le_bytes(), &[0; 16]].concat()
    });
    [(members.len() as u16).to_le_bytes().to_vec(), entries.collect::<Vec<_>>().concat()].concat()
}

/// What follows is about this member, whose entries were collected up to `collected`.
pub(super) fn about(id: u64, collected: u64) -> Vec<u8> {
    let member = member_at(id, &member(id).1.to_string());
    [&[0], &member[..], &collected.to_le_bytes(), &[0; 8]].concat()
}

pub(super) fn entry(key: &str, value: &str, version: u64) -> Vec<u8> {
    [&[1], &text(key)[..], &text(value), &version.to_le_bytes(), &[0]].concat()
}

/// The version of a member without entries.
pub(super) fn bare(version: u64) -> Vec<u8> {
    [&[2], &version.to_le_bytes()[..]].concat()
}

pub(super) fn plain_delta(operations: &[u8]) -> Vec<u8> {
    [&[2], &(operations.len() as u16).to_le_bytes()[..], operations, &[0]].concat()
}

pub(super) fn zstd_delta(operations: &[u8]) -> Vec<u8> {
    [zstd_block(operations), vec![0]].concat()
}

pub(super) fn zstd_block(bytes: &[u8]) -> Vec<u8> {
    framed(&zstd::bulk::compress(bytes, 0).unwrap())
}

/// A block that says it is compressed.
pub(super) fn framed(frame: &[u8]) -> Vec<u8> {
    [&[1], &(frame.len() as u16).to_le_bytes()[..], frame].concat()
}
