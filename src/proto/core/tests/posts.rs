//! Posts, to whichever node, of a session that is attached to one.

use super::*;
use crate::{
    id::PushKey,
    proto::{Detachment, Mark, Post, PostKey, Posted, wire::MAX_MESSAGE_BYTES},
};

const SERIES: u64 = 5;

fn key(number: u64) -> PushKey {
    PushKey::Counted { epoch: 9, number }
}

impl Nodes {
    fn attach_series(&mut self, id: u64, series: u64) -> AttachmentKey {
        let key = self.attach(id);
        self.get(id).set_series(key, series);
        key
    }

    fn post(&mut self, id: u64, confirmed: Option<(u64, Mark)>, numbers: &[u64]) -> PostKey {
        let pushes = numbers.iter().map(|&number| (key(number), Message::from("p"))).collect();
        let now = self.now;
        self.get(id).post(Post::new(session(), confirmed, pushes), now)
    }

    /// Posts a push that is as long as one can be.
    fn post_much(&mut self, id: u64, number: u64) -> PostKey {
        let message = Message::binary(vec![0; MAX_MESSAGE_BYTES]);
        let now = self.now;
        self.get(id).post(Post::new(session(), None, vec![(key(number), message)]), now)
    }

    /// What node `from` writes next of its journal to node `to`.
    fn journal(&mut self, from: u64, to: u64, limit_bytes: usize) -> Vec<Frame> {
        let now = self.now;
        let to = NodeId::from_bits(to);
        let frames = self.get(from).poll_transmit(to, Lane::Journal, limit_bytes, now);
        frames.iter().map(|frame| Frame::decode(&frame.to_bytes()).unwrap()).collect()
    }

    /// What became of the one post that was made on node `id`: how many of its pushes are stored.
    fn posted(&mut self, id: u64) -> Option<usize> {
        self.settle();
        match &self.get(id).poll_posted()[..] {
            [(_, Posted::Stored(stored))] => {
                assert!(stored.iter().all(|it| it.nodes > 1), "{stored:?}");
                Some(stored.len())
            }
            [(_, Posted::Later)] => None,
            posted => panic!("{posted:?}"),
        }
    }

    fn open_on(&mut self, id: u64) -> Vec<PushKey> {
        let inbox = self.get(id).replica().inbox(session()).unwrap();
        inbox.open().map(|push| push.key.clone()).collect()
    }
}

#[test]
fn what_is_posted_to_any_node_is_taken_by_the_owner_in_order_and_once() {
    let mut nodes = Nodes::new([1, 2, 3]);
    nodes.attach_series(1, SERIES);
    for (id, numbers) in [(1, [1, 2]), (2, [2, 3]), (3, [3, 4]), (2, [4, 5])] {
        nodes.post(id, None, &numbers);
        assert_eq!(nodes.posted(id), Some(2), "on node {id}");
    }
    let expected: Vec<_> = (1..=5).map(key).collect();
    assert_eq!(nodes.open_on(3), expected);
    let owner = nodes.get(3).replica().session(session()).unwrap().claim.node;
    assert_eq!(owner, NodeId::from_bits(1), "a post claims nothing");
}

#[test]
fn what_does_not_fit_is_left_with_all_that_is_behind_it() {
    let mut nodes = Nodes::new([1, 2]);
    nodes.attach_series(1, SERIES);
    let numbers: Vec<_> = (1..=100).collect();
    nodes.post(2, None, &numbers);
    assert_eq!(nodes.posted(2), Some(64));
    nodes.post(2, None, &numbers[64..]);
    assert_eq!(nodes.posted(2), None);
    nodes.post(2, None, &[65, 1]);
    assert_eq!(nodes.posted(2), None, "one that is known is no exception");
    let (now, first) = (nodes.now, key(1));
    nodes.get(1).finish_push(session(), &first, now);
    nodes.post(1, None, &numbers[64..]);
    assert_eq!(nodes.posted(1), Some(1));
    assert_eq!(nodes.open_on(2), (2..=65).map(key).collect::<Vec<_>>());
}

/// Goal: what is known already is no way around the limit.
#[test]
fn of_a_long_post_the_first_pushes_are_taken() {
    let mut nodes = Nodes::new([1, 2]);
    nodes.attach_series(1, SERIES);
    let numbers: Vec<_> = (1..=100).collect();
    for some in numbers.chunks(50) {
        nodes.post(1, None, some);
        assert_eq!(nodes.posted(1), Some(50));
        let now = nodes.now;
        some.iter().for_each(|&number| nodes.get(1).finish_push(session(), &key(number), now));
    }
    for id in [1, 2] {
        nodes.post(id, None, &numbers);
        assert_eq!(nodes.posted(id), Some(Post::MAX_PUSHES), "on node {id}");
    }
    let pushes: Vec<_> = numbers.iter().map(|&number| (key(number), Message::from("p"))).collect();
    let mut post = Post::new(session(), None, Vec::new());
    post.pushes = pushes;
    let frame = Frame::decode(&Encoded::post(1, &post).to_bytes()).unwrap();
    let Frame::Post { post: read, .. } = frame else { panic!("{frame:?}") };
    assert_eq!(read.pushes, post.pushes[..Post::MAX_PUSHES], "whatever a peer hands on");
}

#[test]
fn neither_posts_nor_operations_wait_until_there_is_nothing_of_the_other() {
    let mut nodes = Nodes::new([1, 2]);
    nodes.attach_series(1, SERIES);
    let now = nodes.now;
    for number in 1..=3 {
        nodes.post(2, None, &[number]);
        let message = Message::from("m");
        nodes.get(2).publish(&topic(), Recipients::Everyone, message, now).unwrap();
    }
    for _ in 0..3 {
        let frames = nodes.journal(2, 1, 1);
        assert!(matches!(frames[..], [Frame::Operation { .. }, Frame::Post { .. }]), "{frames:?}");
    }
    assert!(nodes.journal(2, 1, 1).is_empty());
}

#[test]
fn what_waits_to_be_handed_on_is_bounded_and_what_nobody_waits_for_is_not_sent() {
    let mut nodes = Nodes::new([1, 2]);
    nodes.attach_series(1, SERIES);
    let posts: Vec<_> = (1..=8).map(|number| nodes.post_much(2, number)).collect();
    assert_eq!(nodes.get(2).poll_posted(), []);
    let refused = nodes.post_much(2, 9);
    assert_eq!(nodes.get(2).poll_posted(), [(refused, Posted::Later)]);
    nodes.get(2).forget_post(posts[0]);
    nodes.post_much(2, 10);
    assert_eq!(nodes.get(2).poll_posted(), [], "there is room again");
    let sent = nodes.journal(2, 1, usize::MAX).into_iter().map(|frame| match frame {
        Frame::Post { post, .. } => post.pushes[0].0.clone(),
        frame => panic!("{frame:?}"),
    });
    let expected: Vec<_> = (2..=8).chain([10]).map(key).collect();
    assert_eq!(sent.collect::<Vec<_>>(), expected);
    for number in 11..=18 {
        nodes.post_much(2, number);
    }
    assert_eq!(nodes.get(2).poll_posted(), [], "nothing waits to be sent");
}

#[test]
fn a_post_is_to_be_said_again_where_there_is_nobody_to_take_it() {
    let mut nodes = Nodes::new([1, 2]);
    nodes.post(1, None, &[1]);
    assert_eq!(nodes.posted(1), None, "nobody knows the session");
    let attachment = nodes.attach_series(1, SERIES);
    let now = nodes.now;
    nodes.get(1).detach(attachment, Detachment::Lost, Duration::from_secs(60), now);
    for id in [1, 2] {
        nodes.post(id, None, &[1]);
        assert_eq!(nodes.posted(id), None, "it is attached nowhere");
    }
    nodes.attach_series(1, SERIES);
    nodes.post(2, None, &[1]);
    nodes.kill(1);
    assert_eq!(nodes.posted(2), None, "its owner died before it answered");
    nodes.attach_series(2, SERIES + 1);
    nodes.start(3);
    nodes.pass(Duration::from_secs(4), Duration::from_millis(100));
    nodes.post(3, None, &[1]);
    assert_eq!(nodes.posted(3), Some(1));
    assert_eq!(nodes.open_on(3), [key(1)]);
}

/// Goal: the answer says that what was posted is stored, and not merely taken.
#[test]
fn a_post_is_answered_once_it_is_stored() {
    let mut nodes = Nodes::new([1, 2]);
    nodes.attach_series(1, SERIES);
    let post = nodes.post(1, None, &[1]);
    assert_eq!(nodes.get(1).poll_posted(), [], "nobody else has it");
    nodes.get(1).forget_post(post);
    assert_eq!(nodes.posted(1), Some(1));
}

#[test]
fn a_client_confirms_by_posts_what_it_was_given_on_that_connection() {
    let mut nodes = Nodes::new([1, 2]);
    nodes.attach(1);
    let now = nodes.now;
    nodes.get(1).join(session(), &topic(), now).unwrap();
    nodes.publish(2);
    let mut is_given_again = |series, confirmed| {
        let attachment = nodes.attach_series(1, series);
        assert_eq!(nodes.get(1).read(attachment, ALL).entries.len(), 1);
        let mark = nodes.get(1).mark(attachment).unwrap();
        nodes.post(2, Some((confirmed, mark)), &[]);
        assert_eq!(nodes.posted(2), Some(0));
        let attachment = nodes.attach_series(1, series + 100);
        !nodes.get(1).read(attachment, ALL).entries.is_empty()
    };
    assert!(is_given_again(SERIES + 1, SERIES), "that was another connection");
    assert!(!is_given_again(SERIES + 2, SERIES + 2));
}

/// Goal: an attachment with more to ask about is told that it may.
#[test]
fn who_waits_for_a_confirmation_is_woken_by_it() {
    let mut nodes = Nodes::new([1, 2]);
    let attachment = nodes.attach_series(1, SERIES);
    let now = nodes.now;
    nodes.get(1).join(session(), &topic(), now).unwrap();
    nodes.publish(2);
    nodes.get(1).read(attachment, ALL);
    let mark = nodes.get(1).mark(attachment).unwrap();
    nodes.publish(2);
    nodes.get(1).read(attachment, ALL);
    assert_eq!(nodes.get(1).mark(attachment), None, "one is under way");
    assert!(nodes.get(1).read(attachment, ALL).is_empty());
    nodes.get(1).poll_wakes();
    nodes.post(2, Some((SERIES, mark)), &[]);
    assert_eq!(nodes.posted(2), Some(0));
    assert_eq!(nodes.get(1).poll_wakes(), [attachment]);
    assert!(nodes.get(1).mark(attachment).is_some());
}
