//! How many instructions the hot operations take, as valgrind counts them: the same on each run.
//!
//! This needs `valgrind`, and `gungraun-runner` of the version that `Cargo.lock` has of `gungraun`.
//! Without them it says so and measures nothing.

#[path = "proto/world.rs"]
mod world;

use std::{env, process::Command};

fn main() {
    let has = |option| env::args().any(|argument| argument == option);
    if has("--gungraun-run") {
        return counted::run(); // Under valgrind, for one measurement.
    }
    if !has("--bench") {
        return; // As a test there is nothing to do.
    }
    let missing: Vec<_> = TOOLS.iter().filter(|(tool, _)| !is_there(tool)).collect();
    for (tool, install) in &missing {
        println!("{tool} is missing, so no instructions are counted. To install it: {install}");
    }
    if missing.is_empty() {
        counted::run();
    }
}

/// What has to be there, and how it gets there.
const TOOLS: &[(&str, &str)] = &[
    ("valgrind", "apt-get install valgrind"),
    ("gungraun-runner", "cargo install gungraun-runner --locked --version 0.20.0"),
];

fn is_there(tool: &str) -> bool {
    Command::new(tool).arg("--version").output().is_ok()
}

/// What is counted.
mod counted {
    use std::hint::black_box;

    use bytes::Bytes;
    use exosphere::{
        Message,
        id::{MessageId, NodeId, Seq},
        proto::{
            Batch, Lane, Op, Position,
            wire::{Encoded, Frame, WireError},
        },
    };
    use gungraun::{library_benchmark, library_benchmark_group, main};

    use crate::world::{ALL, World, op, payload};

    pub(super) fn run() {
        main();
    }

    fn id() -> MessageId {
        MessageId::new(NodeId::from_bits(u64::MAX), Seq::new(1_000_000))
    }

    fn bytes_of(size: usize) -> Bytes {
        Encoded::op(id(), &op(size)).to_bytes()
    }

    /// A node that has been at it for a while.
    fn warm(readers: usize, peers: usize) -> (World, Message) {
        let mut world = World::new(readers, peers);
        for _ in 0..1_000 {
            world.publish(payload(128));
        }
        world.drain();
        (world, payload(128))
    }

    #[library_benchmark]
    #[bench::alone(args = (0, 0), setup = warm)]
    #[bench::one_reader(args = (1, 0), setup = warm)]
    #[bench::thousand_readers(args = (1_000, 0), setup = warm)]
    #[bench::two_peers(args = (0, 2), setup = warm)]
    fn publish((mut world, message): (World, Message)) -> World {
        black_box(world.publish(message));
        black_box(world.core.poll_wakes());
        world
    }

    #[library_benchmark]
    #[bench::one_reader(args = (1, 0), setup = warm)]
    #[bench::thousand_readers(args = (1_000, 0), setup = warm)]
    fn publish_and_read((mut world, message): (World, Message)) -> (World, Vec<Batch>) {
        world.publish(message);
        let woken = world.core.poll_wakes();
        let batches = woken.into_iter().map(|key| world.core.read(key, ALL)).collect();
        (world, batches)
    }

    #[library_benchmark]
    #[bench::two_peers(args = (0, 2), setup = warm)]
    fn publish_and_send((mut world, message): (World, Message)) -> (World, Vec<Encoded>) {
        world.publish(message);
        let (now, core) = (world.now, &mut world.core);
        let sent = world
            .peers
            .iter()
            .flat_map(|&peer| core.poll_transmit(peer, Lane::Journal, usize::MAX, now));
        let sent = sent.collect();
        (world, sent)
    }

    fn warm_and_frame(readers: usize) -> (World, Bytes) {
        let (world, _) = warm(readers, 1);
        let id = MessageId::new(world.peers[0], Seq::FIRST);
        (world, Encoded::op(id, &op(128)).to_bytes())
    }

    #[library_benchmark]
    #[bench::no_reader(args = (0), setup = warm_and_frame)]
    #[bench::one_reader(args = (1), setup = warm_and_frame)]
    fn apply((mut world, bytes): (World, Bytes)) -> World {
        let frame = Frame::decode(&bytes).expect("it was just encoded");
        world.core.handle_frame(world.peers[0], frame, world.now);
        world
    }

    #[library_benchmark]
    #[bench::bytes_128(args = (128), setup = op)]
    #[bench::bytes_1024(args = (1 << 10), setup = op)]
    #[bench::bytes_65536(args = (64 << 10), setup = op)]
    fn encode(op: Op) -> (Op, [Bytes; 2]) {
        let pieces = Encoded::op(id(), &op).into_pieces();
        (op, pieces)
    }

    #[library_benchmark]
    #[bench::bytes_128(args = (128), setup = bytes_of)]
    #[bench::bytes_1024(args = (1 << 10), setup = bytes_of)]
    #[bench::bytes_65536(args = (64 << 10), setup = bytes_of)]
    fn decode(bytes: Bytes) -> Result<Frame, WireError> {
        Frame::decode(&bytes)
    }

    fn two_positions(origins: u64) -> (Position, Position) {
        let position = |more| -> Position {
            let entry = |node| (NodeId::from_bits(node << 40), Seq::new(1_000 + node * more));
            (1..=origins).map(entry).collect()
        };
        (position(1), position(2))
    }

    #[library_benchmark]
    #[bench::origins_3(args = (3), setup = two_positions)]
    #[bench::origins_32(args = (32), setup = two_positions)]
    fn merge((mut low, high): (Position, Position)) -> (Position, Position) {
        low.merge(&high);
        (low, high)
    }

    library_benchmark_group!(
        name = proto,
        benchmarks = [publish, publish_and_read, publish_and_send, apply, encode, decode, merge]
    );

    main!(library_benchmark_groups = proto);
}
