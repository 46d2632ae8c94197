//! Posts: what clients say by requests of their own, to whichever node.
//!
//! ```text
//!            a post       POST: the session is another's
//!   client --------> node ------------------------------> its owner: takes what it can, in order
//!          <--------      <------------------------------
//!           the answer    POSTED: all that it took is stored
//! ```
//!
//! What a client pushes and confirms belongs to the attachment that it reads from, and its order is
//! kept there. So a node that is asked does not claim the session: it hands the post on to the owner,
//! which does what it would do had all of it come on the client's connection. What is not answered,
//! because the owner died, or lost the session, or has no attachment of it for now, the client posts
//! again: what was taken is known by its key.

use std::{collections::BTreeMap, time::Instant};

use super::{Acknowledgement, AttachmentKey, Core, Lane, Push};
use crate::{
    id::NodeId,
    proto::{CloseReason, Mark, Post, Posted, wire::Encoded},
};

/// By which a post is named, on one node.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct PostKey(u64);

/// Who is to be told what became of a post.
#[derive(Clone, Copy, Debug)]
enum Poster {
    /// A client of this node.
    Client(PostKey),
    /// A peer, which calls it so.
    Peer(NodeId, u64),
}

/// A post of which something is not stored yet.
#[derive(Debug)]
struct Taken {
    poster: Poster,
    stored: Vec<Acknowledgement>,
    /// How many pushes are to be stored, and one more while it is being taken.
    left: usize,
}

/// The posts that are not answered.
#[derive(Debug, Default)]
pub(super) struct Posts {
    made: u64,
    taken: BTreeMap<PostKey, Taken>,
    posted: Vec<(PostKey, Posted)>,
}

impl Posts {
    fn make(&mut self) -> PostKey {
        self.made += 1;
        PostKey(self.made)
    }
}

impl Core {
    /// A client has posted something. [`poll_posted`](Self::poll_posted) says what became of it.
    pub fn post(&mut self, post: Post, now: Instant) -> PostKey {
        let key = self.posts.make();
        match self.replica.session(post.session).map(|known| known.claim.node) {
            Some(owner) if owner == self.id => self.take_post(Poster::Client(key), post, now),
            Some(owner) => self.hand_on(key, owner, &post),
            None => self.posts.posted.push((key, Posted::Later)),
        }
        key
    }

    /// Nobody waits any more for what becomes of a post. What it says may be done all the same, unless
    /// it is still to be sent to the owner.
    pub fn forget_post(&mut self, key: PostKey) {
        for peer in self.peers.values_mut() {
            peer.handed_on.remove(key);
        }
    }

    /// What became of posts, each once.
    pub fn poll_posted(&mut self) -> Vec<(PostKey, Posted)> {
        std::mem::take(&mut self.posts.posted)
    }

    /// What an attachment's client confirms by posts is of the series of requests with this name, which
    /// no other attachment has: so what is late confirms nothing of another.
    pub fn set_series(&mut self, key: AttachmentKey, series: u64) {
        if let Some(attachment) = self.attachments.get_mut(key) {
            attachment.series = Some(series);
        }
    }

    /// A peer was asked by a client of a session that it takes to be this node's.
    pub(super) fn handle_post(&mut self, peer: NodeId, number: u64, post: Post, now: Instant) {
        let owner = self.replica.session(post.session).map(|known| known.claim.node);
        match owner == Some(self.id) {
            true => self.take_post(Poster::Peer(peer, number), post, now),
            false => self.answer_post(Poster::Peer(peer, number), Posted::Later),
        }
    }

    /// A peer says what became of a post that was handed on to it.
    pub(super) fn handle_posted(&mut self, peer: NodeId, number: u64, posted: Posted) {
        let key = PostKey(number);
        if self.peers.get_mut(&peer).is_some_and(|peer| peer.handed_on.remove(key)) {
            self.posts.posted.push((key, posted));
        }
    }

    /// There is no link any more to who was to answer.
    pub(super) fn give_posts_back(&mut self, peer: NodeId) {
        if let Some(peer) = self.peers.get_mut(&peer) {
            let lost = std::mem::take(&mut peer.handed_on).into_unanswered();
            self.posts.posted.extend(lost.map(|key| (key, Posted::Later)));
        }
    }

    /// A push that was posted is stored.
    pub(super) fn note_stored(&mut self, key: PostKey, acknowledgement: Acknowledgement) {
        if let Some(taken) = self.posts.taken.get_mut(&key) {
            taken.stored.push(acknowledgement);
            self.finish_one(key);
        }
    }

    fn hand_on(&mut self, key: PostKey, owner: NodeId, post: &Post) {
        let peer = self.peers.get_mut(&owner).filter(|peer| peer.linked);
        match peer.filter(|peer| peer.handed_on.has_room()) {
            Some(peer) => {
                peer.handed_on.insert(key, Encoded::post(key.0, post));
                self.lanes_due.insert(Lane::Journal);
            }
            None => self.posts.posted.push((key, Posted::Later)),
        }
    }

    /// Takes what a client posted, in order, as far as it can be taken now.
    fn take_post(&mut self, poster: Poster, post: Post, now: Instant) {
        if post.is_done {
            // Its attachment may be gone already, as it went with the client.
            self.close_when_idle(post.session, CloseReason::Client, now);
            return self.answer_post(poster, Posted::Stored(Vec::new()));
        }
        let Some(attachment) = self.attachment_of(post.session) else {
            return self.answer_post(poster, Posted::Later);
        };
        if let Some((series, mark)) = post.confirmed {
            self.confirm_posted(attachment, series, mark);
        }
        let key = self.posts.make();
        self.posts.taken.insert(key, Taken { poster, stored: Vec::new(), left: 1 });
        let mut is_taken = post.pushes.is_empty();
        for (name, message) in &post.pushes {
            self.begin_one(key);
            if self.push_for(attachment, Some(key), name, message, now) != Push::Accepted {
                self.finish_one(key);
                break; // What is behind it must not overtake it.
            }
            is_taken = true;
        }
        match is_taken {
            true => self.finish_one(key),
            false => {
                self.posts.taken.remove(&key);
                self.answer_post(poster, Posted::Later);
            }
        }
    }

    fn confirm_posted(&mut self, key: AttachmentKey, series: u64, mark: Mark) {
        if self.attachments.get(key).is_some_and(|it| it.series == Some(series)) {
            self.acknowledge(key, mark);
            self.wake(key); // It may have more to ask about.
        }
    }

    fn begin_one(&mut self, key: PostKey) {
        if let Some(taken) = self.posts.taken.get_mut(&key) {
            taken.left += 1;
        }
    }

    /// One thing less is waited for until a post is answered.
    fn finish_one(&mut self, key: PostKey) {
        let Some(taken) = self.posts.taken.get_mut(&key) else {
            return;
        };
        taken.left -= 1;
        if taken.left == 0
            && let Some(Taken { poster, stored, .. }) = self.posts.taken.remove(&key)
        {
            self.answer_post(poster, Posted::Stored(stored));
        }
    }

    fn answer_post(&mut self, poster: Poster, posted: Posted) {
        match poster {
            Poster::Client(key) => self.posts.posted.push((key, posted)),
            Poster::Peer(node, number) => {
                if let Some(peer) = self.peers.get_mut(&node).filter(|peer| peer.linked) {
                    peer.posted.push_back(Encoded::posted(number, &posted));
                    self.lanes_due.insert(Lane::Journal);
                }
            }
        }
    }
}
