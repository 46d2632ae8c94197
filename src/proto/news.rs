//! What happened of late and was not told yet, to those who follow it.

use std::time::{Duration, Instant};

use super::{Ending, NodeEvent};
use crate::id::TopicName;

/// How many events wait to be told. At the limit further ones are counted only.
const MAX_WAITING: usize = 1_024;

/// How many kinds of drops are told apart in a second. At the limit further ones count for the last.
const MAX_KINDS: usize = 64;

/// How long drops are gathered, to be told together.
const GATHER_FOR: Duration = Duration::from_secs(1);

/// What happened of late, if somebody follows it.
#[derive(Debug, Default)]
pub(super) struct News {
    is_followed: bool,
    waiting: Vec<NodeEvent>,
    missed: u64,
    drops: Vec<(TopicName, Ending, u64)>,
    /// When drops were told last.
    told: Option<Instant>,
}

impl News {
    /// Whether anybody follows. What happened is forgotten if nobody does.
    pub(super) fn set_followed(&mut self, is_followed: bool) {
        if !is_followed {
            *self = Self::default();
        }
        self.is_followed = is_followed;
    }

    /// Something happened, which is only made if it is to be told.
    pub(super) fn tell(&mut self, event: impl FnOnce() -> NodeEvent) {
        if !self.is_followed {
            return;
        }
        match self.waiting.len() < MAX_WAITING {
            true => self.waiting.push(event()),
            false => self.missed += 1,
        }
    }

    /// A message went before all had it.
    pub(super) fn drop_one(&mut self, topic: &TopicName, ending: Ending) {
        if !self.is_followed {
            return;
        }
        let is_it = |(of, how, _): &&mut (TopicName, Ending, u64)| of == topic && *how == ending;
        let is_full = self.drops.len() >= MAX_KINDS;
        match self.drops.iter_mut().find(is_it) {
            Some((.., count)) => *count += 1,
            None if is_full => self.drops.last_mut().into_iter().for_each(|it| it.2 += 1),
            None => self.drops.push((topic.clone(), ending, 1)),
        }
    }

    /// Whether drops wait to be told.
    pub(super) fn has_drops(&self) -> bool {
        !self.drops.is_empty()
    }

    /// What is to be told now.
    pub(super) fn poll(&mut self, now: Instant) -> Vec<NodeEvent> {
        let mut told = std::mem::take(&mut self.waiting);
        let is_due = self.told.is_none_or(|told| now.saturating_duration_since(told) >= GATHER_FOR);
        if is_due && self.has_drops() {
            self.told = Some(now);
            let drops = self.drops.drain(..);
            told.extend(drops.map(|(topic, ending, messages)| NodeEvent::Dropped {
                topic,
                ending,
                messages,
            }));
        }
        if self.missed > 0 {
            told.push(NodeEvent::Missed(std::mem::take(&mut self.missed)));
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "some instant to count from")]
    fn start() -> Instant {
        Instant::now()
    }

    fn topic(number: usize) -> TopicName {
        TopicName::parse(&format!("/{number}")).unwrap()
    }

    #[test]
    fn drops_of_a_second_are_told_together() {
        let (mut news, begin) = (News::default(), start());
        news.drop_one(&topic(0), Ending::Expired);
        assert!(!news.has_drops(), "nobody follows");
        news.set_followed(true);
        news.drop_one(&topic(0), Ending::Expired);
        let of = |number, messages| {
            let (topic, ending) = (topic(number), Ending::Expired);
            NodeEvent::Dropped { topic, ending, messages }
        };
        assert_eq!(news.poll(begin), [of(0, 1)]);
        for _ in 0..1_000 {
            news.drop_one(&topic(0), Ending::Expired);
        }
        for number in 1..100 {
            news.drop_one(&topic(number), Ending::Expired);
        }
        assert!(news.poll(begin + GATHER_FOR / 2).is_empty());
        let told = news.poll(begin + GATHER_FOR);
        assert_eq!((told.len(), &told[0]), (MAX_KINDS, &of(0, 1_000)));
        assert_eq!(told[MAX_KINDS - 1], of(63, 1 + 36), "the rest counts for the last");
        assert!(!news.has_drops());
    }

    #[test]
    fn what_is_too_much_is_counted() {
        let mut news = News::default();
        news.set_followed(true);
        let opened = || NodeEvent::TopicOpened(topic(0));
        (0..MAX_WAITING + 7).for_each(|_| news.tell(opened));
        let told = news.poll(start());
        assert_eq!((told.len(), told.last()), (MAX_WAITING + 1, Some(&NodeEvent::Missed(7))));
        news.tell(opened);
        news.set_followed(false);
        news.set_followed(true);
        assert!(news.poll(start()).is_empty());
    }
}
