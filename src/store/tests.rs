//! What a store tells after its disk has failed it, in every way and at every place.

use std::sync::Arc;

use super::{
    Cut, DiskStore, Loaded, Recovered, Store,
    faulty::{Fault, FaultyFiles},
    recover,
};
use crate::{
    id::{MessageId, NodeId, Seq, TopicName},
    message::Message,
    proto::{
        Entry, Op, Recipients,
        wire::{Encoded, Frame, SnapshotPart},
    },
};

const NODE: NodeId = NodeId::from_bits(7);

/// Dice, which fall the same for the same seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        for multiplier in [0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb] {
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(multiplier);
        }
        (mixed ^ (mixed >> 31)) as usize % limit
    }
}

fn topic() -> TopicName {
    TopicName::parse("/a").unwrap()
}

fn message(seq: u64) -> Message {
    Message::text(format!("message {seq}"))
}

fn record(seq: u64) -> Encoded {
    let op = Op::Published {
        topic: topic(),
        to: Recipients::Everyone,
        message: message(seq),
        cause: None,
    };
    Encoded::op(MessageId::new(NODE, Seq::new(seq)), &op)
}

fn records(seqs: std::ops::Range<u64>) -> Vec<Encoded> {
    seqs.map(record).collect()
}

/// A checkpoint of all before `next`.
fn checkpoint(next: u64) -> Vec<Encoded> {
    let entry = |seq| {
        let id = MessageId::new(NODE, Seq::new(seq));
        let entry = Arc::new(Entry::new(id, topic(), Recipients::Everyone, message(seq)));
        SnapshotPart::Message { topic: topic(), entry }
    };
    let mut parts: Vec<_> = (0..next).map(entry).collect();
    parts.push(SnapshotPart::End { view: [(NODE, Seq::new(next))].into_iter().collect() });
    (0..).zip(&parts).map(|(index, part)| Encoded::snapshot(1, index, part)).collect()
}

/// How many messages a directory tells of, each of which must be what was stored.
fn recovered(files: &FaultyFiles) -> (u64, Recovered) {
    let mut next = 0;
    let recovered = recover(files, |loaded| match loaded {
        Loaded::Checkpoint(parts) => {
            for part in &parts {
                match part {
                    SnapshotPart::Message { entry, .. } => {
                        assert_eq!(entry.message(), &message(entry.id().seq.get()));
                    }
                    SnapshotPart::End { view } => next = view.get(NODE).get(),
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(parts.len() as u64, next + 1);
            true
        }
        Loaded::Record(Frame::Operation { id, op, .. }) => {
            let Op::Published { message: told, .. } = op else { panic!("{op:?}") };
            assert_eq!(told, message(id.seq.get()));
            let is_next = id.seq.get() == next;
            next += u64::from(is_next);
            is_next
        }
        Loaded::Record(other) => panic!("{other:?}"),
    });
    (next, recovered.unwrap())
}

/// A store whose first checkpoint is there.
fn begun(files: &FaultyFiles) -> DiskStore<FaultyFiles> {
    let mut store = DiskStore::new(files.clone(), NODE).unwrap();
    store.begin_checkpoint(checkpoint(0)).unwrap();
    assert!(store.continue_checkpoint().unwrap().is_some());
    store
}

/// Where each record of a journal ends, the head first.
fn ends(journal: &[u8]) -> Vec<usize> {
    let mut ends = vec![super::head::Head::BYTES];
    while *ends.last().unwrap() < journal.len() {
        let at = ends.last().unwrap() + 4;
        let length = u32::from_be_bytes(journal[at..at + 4].try_into().unwrap());
        ends.push(at + 4 + length as usize);
    }
    ends
}

#[test]
fn what_was_stored_is_told_again() {
    let files = FaultyFiles::default();
    let mut store = begun(&files);
    store.append(records(0..5)).unwrap();
    store.append(records(5..9)).unwrap();
    let (next, recovered) = recovered(&files);
    assert_eq!(next, 9);
    assert_eq!(recovered, Recovered { records: 10, unfit: 0, cuts: Vec::new() });
}

#[test]
fn a_journal_is_cut_at_the_last_whole_record_wherever_it_was_torn() {
    let files = FaultyFiles::default();
    begun(&files).append(records(0..4)).unwrap();
    let journal = files.get("1.journal");
    let ends = ends(&journal);
    for length in 0..journal.len() {
        files.put("1.journal", journal[..length].to_vec());
        let (next, recovered) = recovered(&files);
        let whole = ends.iter().rposition(|&end| end <= length);
        assert_eq!(next, whole.unwrap_or(0) as u64, "torn at {length}");
        let at = whole.map_or(0, |whole| ends[whole]);
        let cut = Cut { file: "1.journal".into(), at: at as u64, bytes: (length - at) as u64 };
        let cuts = if whole.is_some() && at == length { vec![] } else { vec![cut] };
        assert_eq!(recovered.cuts, cuts, "torn at {length}");
    }
}

#[test]
fn a_journal_is_cut_before_the_record_that_has_a_flipped_bit() {
    let files = FaultyFiles::default();
    begun(&files).append(records(0..4)).unwrap();
    let journal = files.get("1.journal");
    let ends = ends(&journal);
    for at in 0..journal.len() {
        for bit in 0..8 {
            let mut flipped = journal.clone();
            flipped[at] ^= 1 << bit;
            files.put("1.journal", flipped);
            let (next, recovered) = recovered(&files);
            let whole = ends.iter().rposition(|&end| end <= at);
            assert_eq!(next, whole.unwrap_or(0) as u64, "bit {bit} of byte {at}");
            assert_eq!(recovered.cuts.len(), 1, "bit {bit} of byte {at}");
            assert_eq!(recovered.cuts[0].at, whole.map_or(0, |whole| ends[whole]) as u64);
        }
    }
}

#[test]
fn a_checkpoint_that_cannot_be_read_costs_nothing() {
    let files = FaultyFiles::default();
    let mut store = begun(&files);
    store.append(records(0..4)).unwrap();
    store.begin_checkpoint(checkpoint(4)).unwrap();
    assert!(store.continue_checkpoint().unwrap().is_some());
    store.append(records(4..7)).unwrap();
    let whole = files.get("2.checkpoint");
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        files.put("2.checkpoint", flipped);
        let (next, recovered) = recovered(&files);
        assert_eq!((next, recovered.cuts.len()), (7, 1), "byte {at}");
    }
}

#[test]
fn a_record_of_another_file_is_none() {
    let files = FaultyFiles::default();
    begun(&files).append(records(0..2)).unwrap();
    let head = super::head::Head::BYTES;
    let first = files.get("1.journal");
    begun(&files).append(records(0..2)).unwrap();
    let second = files.get("2.journal");
    let mixed = [&second[..head], &first[head..]].concat();
    files.put("2.journal", mixed);
    let (_, recovered) = recovered(&files);
    assert_eq!(recovered.cuts[0].at, head as u64);
}

#[test]
fn old_files_go_and_the_checkpoint_before_the_last_stays() {
    let files = FaultyFiles::default();
    let mut store = begun(&files);
    for next in 1..10 {
        store.append(records(next - 1..next)).unwrap();
        store.begin_checkpoint(checkpoint(next)).unwrap();
        assert!(store.continue_checkpoint().unwrap().is_some());
    }
    let names = super::files::Files::list(&files).unwrap();
    assert_eq!(names, ["10.checkpoint", "10.journal", "9.checkpoint", "9.journal"]);
    assert_eq!(recovered(&files).0, 9);
}

/// Stores some, with checkpoints, until that fails or is done. Returns how many were handed to the
/// store, and how many it said were stored.
fn store_some(files: &FaultyFiles, from: u64, dice: &mut Dice) -> (u64, u64) {
    let (mut handed, mut stored) = (from, from);
    let mut attempt = || {
        let mut store = DiskStore::new(files.clone(), NODE)?;
        let mut under_way = true;
        store.begin_checkpoint(checkpoint(from))?;
        for _ in 0..dice.below(30) {
            if !under_way && dice.below(4) == 0 {
                store.begin_checkpoint(checkpoint(handed))?;
                under_way = true;
            } else if under_way && dice.below(2) == 0 {
                under_way = store.continue_checkpoint()?.is_none();
            } else {
                let more = dice.below(5) as u64;
                handed += more;
                store.append(records(handed - more..handed))?;
                stored = handed;
            }
        }
        std::io::Result::Ok(())
    };
    let _ = attempt(); // Whoever hears of the failure asks for nothing more.
    (handed, stored)
}

/// Goal: what was said to be stored is there after the power failed, and nothing else than what was
/// handed over, whatever failed before.
///
/// Method: store, let something fail at some call, or nothing, cut the power, start again on what is
/// left, for many seeds.
#[test]
fn what_is_said_to_be_stored_outlives_every_failure() {
    for seed in 0..3_000 {
        let files = FaultyFiles::default();
        let mut dice = Dice(seed);
        let mut from = 0;
        for life in 0..5 {
            let faults = [Fault::Broken, Fault::Full, Fault::SyncFails];
            match dice.below(4) {
                3 => {}
                fault => files.fail_after(dice.below(60) as u64, faults[fault]),
            }
            let (handed, stored) = store_some(&files, from, &mut dice);
            files.crash(|limit| dice.below(limit));
            let (next, recovered) = recovered(&files);
            assert!(stored <= next, "seed {seed}, life {life}: {stored} stored, {recovered:?}");
            assert!(next <= handed, "seed {seed}, life {life}: made up");
            from = next;
        }
    }
}

#[test]
fn a_disk_that_lies_loses_the_end_and_nothing_in_between() {
    for seed in 0..1_000 {
        let files = FaultyFiles::default();
        let mut dice = Dice(seed);
        let (first, _) = store_some(&files, 0, &mut dice);
        files.lie();
        let (handed, _) = store_some(&files, first, &mut dice);
        files.crash(|limit| dice.below(limit));
        // That each message is what it was, and follows on the one before, is looked at inside.
        let (next, _) = recovered(&files);
        assert!(next <= handed, "seed {seed}");
    }
}

#[test]
fn an_empty_directory_tells_nothing() {
    assert_eq!(recovered(&FaultyFiles::default()), (0, Recovered::default()));
}

/// The file that the notes describe is the one that is written, and reads as they say.
#[test]
fn a_file_is_what_the_notes_say() {
    let notes = include_str!("../../proto-notes.md");
    let block = notes.split("```store\n").nth(1).and_then(|rest| rest.split("```").next());
    let hex = block.and_then(|block| block.split("hex:").nth(1)).unwrap();
    let node = |bits: u64| NodeId::from_bits(0x0198_c9c4_0000_0000 + bits);
    let session = "1b4e28ba-2fa1-41d2-883f-0016d3cca401".parse().unwrap();
    let (id, op) = (MessageId::new(node(2), Seq::new(7)), Op::SessionReady { session });

    let files = FaultyFiles::default();
    let mut store = DiskStore::new(files.clone(), node(1)).unwrap();
    for _ in 0..2 {
        store.begin_checkpoint(checkpoint(0)).unwrap();
        store.continue_checkpoint().unwrap();
    }
    store.append(vec![Encoded::op(id, &op)]).unwrap();
    let file = files.get("2.journal");
    let written = file.iter().map(|byte| format!("{byte:02x}"));
    assert_eq!(
        hex.split_whitespace().collect::<Vec<_>>(),
        written.collect::<Vec<_>>(),
        "what the notes say, and what is written"
    );
}
