//! Holds the model's small types to the real ones: within the scope, they answer the same.

use exosphere::{
    Message, SessionId,
    id::{Cause, MessageId, NodeId, PushKey, Seq},
    proto::{Inbox, OpenPush, Position},
};

use crate::{
    scenario::Scenario,
    small::{Id, NODES, Op, Upto},
    state::State,
};

/// How far the small numbers go here.
const MOST: u8 = 3;

fn node(place: usize) -> NodeId {
    NodeId::from_bits(place as u64 + 1)
}

fn real_id(id: Id) -> MessageId {
    MessageId::new(node(id.origin()), Seq::new(id.seq().into()))
}

fn real(upto: Upto) -> Position {
    (0..NODES).map(|place| (node(place), Seq::new(upto.get(place).into()))).collect()
}

fn all_positions() -> impl Iterator<Item = Upto> {
    let side = MOST + 1;
    let digit = move |number: u8, place: u32| number / side.pow(place) % side;
    (0..side.pow(NODES as u32)).map(move |it| Upto([digit(it, 0), digit(it, 1), digit(it, 2)]))
}

#[test]
fn small_positions_are_like_the_real_ones() {
    for a in all_positions() {
        for (origin, seq) in (0..NODES).flat_map(|it| (0..MOST).map(move |seq| (it, seq))) {
            let id = Id::new(origin, seq);
            assert_eq!(a.covers(id), real(a).covers(real_id(id)), "{a:?} {id:?}");
        }
        for b in all_positions() {
            assert_eq!(a.includes(b), real(a).includes(&real(b)), "{a:?} {b:?}");
            let (mut merged, mut met) = (a, a);
            merged.merge(b);
            met.meet(b);
            let (mut real_merged, mut real_met) = (real(a), real(a));
            real_merged.merge(&real(b));
            real_met.meet(&real(b));
            assert_eq!(real(merged), real_merged, "{a:?} {b:?}");
            assert_eq!(real(met), real_met, "{a:?} {b:?}");
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "some instant to count from")]
fn start() -> std::time::Instant {
    std::time::Instant::now()
}

fn key(push: u8) -> PushKey {
    PushKey::Counted { epoch: 1, number: push.into() }
}

/// All that may stand in one journal about two pushes, accepted once or more.
const OPS: [Op; 6] = [
    Op::Accepted(1),
    Op::Accepted(2),
    Op::Published(1),
    Op::Published(2),
    Op::Handled(1),
    Op::Handled(2),
];

/// Goal: what the model reads from journals is what an inbox says that was told of them.
///
/// Method: every journal of up to five operations, about two pushes.
#[test]
fn pushes_are_open_in_the_model_as_in_an_inbox() {
    let (session, now) = (SessionId::from_bits(1), start());
    for number in 0..OPS.len().pow(5) {
        let journal = (0..5).map(|place| OPS[number / OPS.len().pow(place) % OPS.len()]);
        let mut state = State::new(&Scenario::new("", ""));
        let mut inbox = Inbox::default();
        for (seq, op) in journal.enumerate() {
            let id = real_id(Id::new(0, seq as u8));
            let cause = |push| Cause::new(session, key(push), 0);
            match op {
                Op::Accepted(push) => {
                    let open = OpenPush::new(key(push), id, Message::from("p"));
                    inbox.accept(open, now);
                }
                Op::Published(push) => inbox.note(&cause(push), id),
                Op::Handled(push) => inbox.finish(&key(push), id, now),
                other => unreachable!("{other:?} is not among them"),
            }
            state.journals[0].push(op);
            state.nodes[0].applied.advance(0, seq as u8 + 1);
            let applied = state.nodes[0].applied;
            for push in 1..=2 {
                let is_open = inbox.open().any(|open| open.key == key(push));
                let text = format!("push {push} in {:?}", state.journals[0]);
                assert_eq!(state.is_open(0, push), is_open, "{text}");
                let is_known = state.accepted(applied, push).is_some();
                let has = inbox.has(&key(push), now);
                assert_eq!(is_known || state.is_handled(0, push), has, "{text}");
            }
        }
    }
}
