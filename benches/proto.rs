//! What the protocol costs: publishing, applying, reading, frames, positions, reports, sweeps.
//!
//! Each group begins with the least that its work could cost, on the same data in the same run, and
//! the ratios to it are printed at the end: they say more from one machine to another than times.

#[path = "proto/world.rs"]
mod world;

use std::{collections::VecDeque, hint::black_box, path::Path, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use criterion::{BenchmarkId, Criterion, Throughput};
use exosphere::{
    id::{MessageId, NodeId, Seq, SessionId, TopicName},
    proto::{
        Core, Entry, Holder, Lane, Position, Recipients,
        progress::Report,
        wire::{Encoded, Frame, split_frame},
    },
};
use world::{ALL, World, now, op, payload, topic};

/// What the least that a group's work could cost is called, in each group.
const LEAST: &str = "least";

/// How many operations are put into one measurement of what costs about a microsecond.
const BURST: u64 = 256;

fn main() {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("criterion-proto");
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20)
        .output_directory(&home)
        .configure_from_args();
    append(&mut criterion);
    apply(&mut criterion);
    read(&mut criterion);
    frames(&mut criterion);
    positions(&mut criterion);
    reports(&mut criterion);
    sweeps(&mut criterion);
    criterion.final_summary();
    if std::env::args().any(|argument| argument == "--bench") {
        print_ratios(&home);
    }
}

/// A message of 128 bytes enters a journal, its log, and the queues of peers and of readers.
fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append");
    group.bench_function(LEAST, |bencher| {
        let (mut queue, entry) = (VecDeque::new(), entry(0));
        bencher.iter(|| {
            queue.push_back(Arc::clone(&entry));
            if queue.len() > 10_000 {
                queue.pop_front();
            }
        });
    });
    for (readers, peers) in [(0, 0), (1, 0), (1_000, 0), (0, 2), (1_000, 2)] {
        let name = BenchmarkId::from_parameter(format!("{readers} readers {peers} peers"));
        group.bench_function(name, |bencher| {
            let mut world = World::new(readers, peers);
            bencher.iter_custom(|count| {
                let mut spent = Duration::ZERO;
                for _ in 0..count {
                    let message = payload(128);
                    let start = now();
                    black_box(world.publish(message));
                    black_box(world.core.poll_wakes());
                    spent += start.elapsed();
                    world.drain();
                }
                spent
            });
        });
    }
    group.finish();
}

/// A message of 128 bytes arrives from a peer: bytes to frame, frame to log.
fn apply(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("apply");
    group.bench_function(LEAST, |bencher| {
        let frame = Encoded::op(MessageId::new(NodeId::from_bits(1), Seq::FIRST), &op(128));
        let bytes = frame.to_bytes();
        bencher.iter(|| Bytes::copy_from_slice(black_box(&bytes)));
    });
    for readers in [0, 1] {
        let name = BenchmarkId::from_parameter(format!("{readers} readers"));
        group.bench_function(name, |bencher| {
            let mut world = World::new(readers, 1);
            let peer = world.peers[0];
            let mut seq = Seq::FIRST;
            bencher.iter_custom(|count| {
                let mut spent = Duration::ZERO;
                for _ in 0..count.div_ceil(BURST) {
                    let mut frames = Vec::new();
                    for _ in 0..BURST {
                        frames.push(Encoded::op(MessageId::new(peer, seq), &op(128)).to_bytes());
                        seq = seq.next();
                    }
                    let start = now();
                    for bytes in &frames {
                        let frame = Frame::decode(bytes).expect("it was just encoded");
                        world.core.handle_frame(peer, frame, world.now);
                    }
                    spent += start.elapsed();
                    world.drain();
                }
                spent.mul_f64(count as f64 / (count.div_ceil(BURST) * BURST) as f64)
            });
            assert_eq!(world.core.replica().applied().get(peer), seq);
        });
    }
    group.finish();
}

/// Readers take what is in a log: one a thousand messages, or a thousand one each.
fn read(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read");
    group.throughput(Throughput::Elements(1_000));
    group.bench_function(LEAST, |bencher| {
        let queue: VecDeque<_> = (0..1_000).map(entry).collect();
        bencher.iter(|| queue.iter().map(Arc::clone).collect::<Vec<_>>());
    });
    for (name, messages, readers) in
        [("1000 messages to 1 reader", 1_000, 1), ("1 message to 1000 readers", 1, 1_000)]
    {
        group.bench_function(name, |bencher| {
            let mut world = World::new(readers, 0);
            bencher.iter_custom(|count| {
                let mut spent = Duration::ZERO;
                for _ in 0..count {
                    for _ in 0..messages {
                        world.publish(payload(128));
                    }
                    let woken = world.core.poll_wakes();
                    assert_eq!(woken.len(), readers);
                    let start = now();
                    for key in woken {
                        assert_eq!(black_box(world.core.read(key, ALL)).entries.len(), messages);
                    }
                    spent += start.elapsed();
                    world.drain();
                }
                spent
            });
        });
    }
    group.finish();
}

/// Frames to bytes, and bytes to frames.
fn frames(criterion: &mut Criterion) {
    for (size, name) in [(128, "128 B"), (1 << 10, "1 KiB"), (64 << 10, "64 KiB")] {
        let mut group = criterion.benchmark_group(format!("frame of {name}"));
        let id = MessageId::new(NodeId::from_bits(u64::MAX), Seq::new(1_000_000));
        let (op, bytes) = (op(size), Encoded::op(id, &op(size)).to_bytes());
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(LEAST, |bencher| {
            let mut copy = vec![0; bytes.len()];
            bencher.iter(|| copy.copy_from_slice(black_box(&bytes)));
        });
        group.bench_function("encode", |bencher| {
            bencher.iter(|| Encoded::op(id, black_box(&op)).into_pieces());
        });
        group.bench_function("decode", |bencher| {
            bencher.iter(|| Frame::decode(black_box(&bytes)));
        });
        group.bench_function("split and decode", |bencher| {
            let stream = || BytesMut::from(&bytes[..]);
            let take = |mut stream: BytesMut| {
                let bytes = split_frame(&mut stream).expect("it is not too large");
                Frame::decode(&bytes.expect("it is whole"))
            };
            bencher.iter_batched(stream, take, criterion::BatchSize::SmallInput);
        });
        group.finish();
    }
}

/// What is done with positions, of as many origins as a cluster has.
fn positions(criterion: &mut Criterion) {
    for origins in [3, 32] {
        let mut group = criterion.benchmark_group(format!("position of {origins} origins"));
        let position = |more: u64| -> Position {
            let entry = |node| (NodeId::from_bits(node << 40), Seq::new(1_000_000 + node * more));
            (1..=origins).map(entry).collect()
        };
        let (low, high) = (position(1), position(2));
        let token = high.token();
        group.bench_function(LEAST, |bencher| bencher.iter(|| black_box(&low).clone()));
        group.bench_function("merge", |bencher| {
            bencher.iter(|| {
                let mut position = low.clone();
                position.merge(black_box(&high));
                position
            });
        });
        group.bench_function("meet", |bencher| {
            bencher.iter(|| {
                let mut position = high.clone();
                position.meet(black_box(&low));
                position
            });
        });
        group.bench_function("write token", |bencher| bencher.iter(|| black_box(&high).token()));
        group.bench_function("read token", |bencher| {
            bencher.iter(|| Position::parse_token(black_box(&token)));
        });
        group.finish();
    }
}

/// One report on 10,000 sessions.
fn reports(criterion: &mut Criterion) {
    const SESSIONS: u64 = 10_000;
    let mut group = criterion.benchmark_group("report on 10000 sessions");
    let positions = |behind: u64| -> Vec<_> {
        let entry = |node, seq| (NodeId::from_bits(node), Seq::new(seq));
        let of = |session| [entry(1, if session < behind { 900 } else { 1_000 }), entry(2, 500)];
        (0..SESSIONS).map(|session| of(session).into_iter().collect::<Position>()).collect()
    };
    group.throughput(Throughput::Elements(SESSIONS));
    let acknowledged = positions(0);
    group.bench_function(LEAST, |bencher| {
        let total = || acknowledged.iter().map(|position| position.total()).sum::<u64>();
        bencher.iter(total);
    });
    for (name, behind) in [("all alike", 0), ("64 behind", 64), ("half behind", SESSIONS / 2)] {
        let acknowledged = positions(behind);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let sessions = (0..).map(SessionId::from_bits).zip(&acknowledged);
                Report::of(acknowledged[9_999].clone(), topic(), sessions)
            });
        });
    }
    group.bench_function("through a node", |bencher| {
        let mut world = World::new(SESSIONS as usize, 1);
        let (peer, key) = (world.peers[0], world.readers[0]);
        bencher.iter_custom(|count| {
            let mut spent = Duration::ZERO;
            for _ in 0..count {
                world.publish(payload(1));
                world.core.read(key, ALL);
                let mark = world.core.mark(key).expect("there was a message");
                world.core.acknowledge(key, mark);
                let start = now();
                let sent = world.core.poll_transmit(peer, Lane::Progress, usize::MAX, world.now);
                spent += start.elapsed();
                assert_eq!(sent.len(), 1);
            }
            spent
        });
    });
    group.finish();
}

/// What a node does for itself ten times a second, and how long it takes to say how much it holds, with
/// as many sessions as it may have, each in a topic of its own.
fn sweeps(criterion: &mut Criterion) {
    const TOPICS: usize = 100_000;
    let mut group = criterion.benchmark_group("sweep of 100000 topics");
    let mut world = world_of_topics(TOPICS);
    let sizes = |core: &Core| -> usize {
        core.replica().topics().iter().map(|(_, topic)| topic.log.bytes()).sum()
    };
    group.bench_function(LEAST, |bencher| bencher.iter(|| sizes(&world.core)));
    group.bench_function("usage and accounting", |bencher| {
        bencher.iter(|| (world.core.usage(), world.core.accounting()));
    });
    for (name, every) in [("each 100 ms", 100), ("each second", 1_000)] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|count| {
                let mut spent = Duration::ZERO;
                for _ in 0..count {
                    world.now += Duration::from_millis(every);
                    let start = now();
                    world.core.handle_timeout(world.now);
                    spent += start.elapsed();
                    world.drain();
                }
                spent
            });
        });
    }
    group.finish();
}

/// A node with as many topics, each with one reader, and a peer.
fn world_of_topics(topics: usize) -> World {
    let mut world = World::new(0, 1);
    for number in 0..topics {
        let session = SessionId::from_bits(number as u128);
        let holder = Holder::default();
        let key = world.core.attach(None, session, "/chat/lobby", &holder, world.now).key;
        let topic = TopicName::parse(&format!("/users/{number}")).expect("it is a name");
        world.core.join(session, &topic, world.now).expect("the session was just attached");
        world.readers.push(key);
    }
    world.drain();
    world
}

fn entry(seq: u64) -> Arc<Entry> {
    let id = MessageId::new(NodeId::from_bits(1), Seq::new(seq));
    Arc::new(Entry::new(id, topic(), Recipients::Everyone, payload(128)))
}

/// Prints, for each group, how many times the least each of its benches took.
fn print_ratios(home: &Path) {
    let time = |folder: &Path| -> Option<f64> {
        let estimates = std::fs::read(folder.join("new/estimates.json")).ok()?;
        let estimates: serde_json::Value = serde_json::from_slice(&estimates).ok()?;
        estimates["median"]["point_estimate"].as_f64()
    };
    let folders = |folder: &Path| -> Vec<_> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut folders: Vec<_> = entries.map(|entry| entry.path()).collect();
        folders.sort();
        folders
    };
    for group in folders(home) {
        let Some(least) = time(&group.join(LEAST)) else { continue };
        for bench in folders(&group) {
            let name = bench.strip_prefix(home).unwrap_or(&bench).display();
            if let Some(time) = time(&bench) {
                println!("{name}: {time:.0} ns, {:.2} times the least", time / least);
            }
        }
    }
}
