//! Topics and their messages, a page at a time.

use std::{num::NonZeroUsize, ops::Bound, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};

use super::calendar;
use crate::{
    id::{MessageId, SessionId, TopicName},
    node::Node,
    proto::{Core, Entry, Presence, Recipients, Topic},
    report::{AccountingReport, MessageEntry, Page, ReaderReport, TopicReport},
};

/// How many topics are looked at before the node goes on with its work.
const SLICE: usize = 256;

/// How many of a topic's messages a reader's are counted among.
const PENDING_WITHIN: usize = 128;

/// How often a session may be asked whether it waits for a message while the node does nothing else:
/// 100 messages of 1,000 sessions take about a millisecond.
const MAX_COMPARED: usize = 100_000;

/// How much of a message is shown, in bytes.
const MAX_SHOWN_BYTES: usize = 4 << 10;

/// How much of all messages of a page is shown, in bytes.
const MAX_PAGE_BYTES: usize = 512 << 10;

/// How many of those are named whom a message names.
const MAX_NAMED: usize = 64;

impl Node {
    /// The topics whose names begin with `prefix`, behind `after`, by name: `limit` of them at most.
    /// Those of single sessions are not among them.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn topic_reports(
        &self,
        prefix: &str,
        after: Option<&TopicName>,
        limit: NonZeroUsize,
    ) -> Page<TopicReport> {
        let after = after.map(TopicName::as_str).filter(|after| *after >= prefix);
        let mut from = match after {
            Some(after) => Bound::Excluded(after.to_owned()),
            None => Bound::Included(prefix.to_owned()),
        };
        let (mut items, mut is_over) = (Vec::new(), false);
        while items.len() < limit.get() && !is_over {
            let look = |core: &Core| {
                let (first, mut seen) = (from.clone(), 0);
                for (name, key) in core.topics_from(first.as_ref().map(String::as_str)).take(SLICE)
                {
                    seen += 1;
                    from = Bound::Excluded(name.as_str().to_owned());
                    if name.private_session().is_some() {
                        from = Bound::Excluded(TopicName::LAST_PRIVATE.to_owned());
                        return;
                    }
                    if !name.as_str().starts_with(prefix) {
                        break;
                    }
                    items.push(topic_report(core, core.replica().topics().get(key)));
                    if items.len() == limit.get() {
                        return;
                    }
                }
                is_over = seen < SLICE;
            };
            self.in_turn(look).await;
        }
        let total = self.inner.hub.with(|core, _| core.replica().topics().named());
        let next = items.last().filter(|_| !is_over).map(|last| last.name.clone());
        let total = prefix.is_empty().then_some(total);
        Page { items, next, total, unanswered: Vec::new() }
    }

    /// The topics that are closed, by name, whether anything is kept of them or not.
    pub fn closed_topics(&self) -> Vec<TopicName> {
        self.inner.hub.with(|core, _| core.replica().closures().closed().cloned().collect())
    }

    /// A topic, if there is one of that name, or one that is closed.
    pub fn topic_report(&self, name: &TopicName) -> Option<TopicReport> {
        self.inner.hub.with(|core, _| {
            let topics = core.replica().topics();
            let report = topics.find(name).map(|key| topic_report(core, topics.get(key)));
            report.or_else(|| core.is_closed(name).then(|| closed(name)))
        })
    }

    /// The messages of a topic that are kept, the newest first, before `before`; `None` if there is
    /// no such topic. How many sessions wait for each is counted for 100,000 pairs of a message and a
    /// session at most: beyond that it is not said. Of what a message says 4 KiB are shown, or less if
    /// more than 128 are asked for, and of those whom it names the first 64.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn message_reports(
        &self,
        name: &TopicName,
        before: Option<MessageId>,
        limit: NonZeroUsize,
    ) -> Option<Page<MessageEntry>> {
        let calendar = calendar();
        let look = |core: &Core| {
            let topics = core.replica().topics();
            let key = topics.find(name)?;
            let Topic { log, members, .. } = topics.get(key);
            let behind = |entry: &&Arc<Entry>| before.is_some_and(|id| entry.id() != id);
            let skipped = usize::from(before.is_some());
            let rest = log.iter().rev().skip_while(behind).skip(skipped);
            let entries: Vec<_> = rest.take(limit.get() + 1).collect();
            let counts = entries.len().saturating_mul(members.len()) <= MAX_COMPARED;
            let entries = entries.into_iter().map(|entry| {
                let stored = core.stored_at(entry.id());
                (Arc::clone(entry), stored, counts.then(|| core.waiting(key, entry)))
            });
            Some((entries.collect::<Vec<_>>(), log.len()))
        };
        let (entries, total) = self.in_turn(look).await?;
        let shown_bytes = MAX_SHOWN_BYTES.min(MAX_PAGE_BYTES / limit);
        let is_over = entries.len() <= limit.get();
        let items = entries.into_iter().take(limit.get()).map(|(entry, stored, waiting)| {
            let stored_ms = stored.map(&calendar);
            MessageEntry { stored_ms, waiting, ..message_entry(&entry, shown_bytes) }
        });
        let items: Vec<_> = items.collect();
        let next = items.last().filter(|_| !is_over).map(|last| last.id.clone());
        Some(Page { items, next, total: Some(total), unanswered: Vec::new() })
    }

    /// The sessions that read a topic, by id, behind `after`; `None` if there is no such topic.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn reader_reports(
        &self,
        name: &TopicName,
        after: Option<SessionId>,
        limit: NonZeroUsize,
    ) -> Option<Page<ReaderReport>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let look = |core: &Core| {
            let topics = core.replica().topics();
            let key = topics.find(name)?;
            let members = &topics.get(key).members;
            let from = after.map_or(Unbounded, Excluded);
            let part = members.range((from, Unbounded)).take(limit.get() + 1);
            let mut items: Vec<_> = part
                .map(|(&id, member)| {
                    let session = core.replica().session(id);
                    let is_attached =
                        |it: &crate::proto::Session| it.presence == Presence::Attached;
                    let state =
                        if session.is_some_and(is_attached) { "attached" } else { "detached" };
                    ReaderReport {
                        session: id.to_string(),
                        node: session.map(|it| it.claim.node.to_string()).unwrap_or_default(),
                        state: state.to_owned(),
                        position: member.acknowledged.token(),
                        pending: core.pending_in(key, id, PENDING_WITHIN),
                    }
                })
                .collect();
            let has_more = items.len() > limit.get();
            items.truncate(limit.get());
            let next = items.last().filter(|_| has_more).map(|last| last.session.clone());
            Some(Page { items, next, total: Some(members.len()), unanswered: Vec::new() })
        };
        self.in_turn(look).await
    }
}

fn topic_report(core: &Core, topic: &Topic) -> TopicReport {
    TopicReport {
        name: topic.name.as_str().to_owned(),
        sessions: topic.members.len(),
        messages: topic.log.len(),
        bytes: topic.log.bytes(),
        closed: core.is_closed(&topic.name),
        accounting: AccountingReport::stored(&topic.log.accounting()),
    }
}

/// A topic that is closed, and of which nothing is kept.
fn closed(name: &TopicName) -> TopicReport {
    TopicReport { name: name.as_str().to_owned(), closed: true, ..TopicReport::default() }
}

fn message_entry(entry: &Entry, shown_bytes: usize) -> MessageEntry {
    let (message, id) = (entry.message(), entry.id());
    let bytes = message.as_bytes();
    let mut shown = bytes.len().min(shown_bytes);
    let text = message.as_text().map(|text| {
        while !text.is_char_boundary(shown) {
            shown -= 1;
        }
        text[..shown].to_owned()
    });
    let (to, named) = match entry.to() {
        Recipients::Everyone => ("everyone", [].as_slice()),
        Recipients::Except(named) => ("except", &named[..]),
        Recipients::Only(named) => ("only", &named[..]),
    };
    MessageEntry {
        id: id.to_string(),
        origin: id.origin.to_string(),
        bytes: bytes.len(),
        base64: text.is_none().then(|| STANDARD.encode(&bytes[..shown])),
        text,
        cut: shown < bytes.len(),
        to: to.to_owned(),
        named: named.iter().take(MAX_NAMED).map(ToString::to_string).collect(),
        named_in_all: named.len(),
        cause: entry.cause().map(|cause| format!("{} {:?}", cause.session, cause.key)),
        ..MessageEntry::default()
    }
}
