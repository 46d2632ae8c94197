//! The filters of a node, in their order.

use std::{
    collections::BTreeSet,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::RwLock;
use thiserror::Error;
use tracing::error;

use super::{Filter, Pattern, Refusal};
use crate::{
    id::{SessionId, TopicName},
    message::Message,
    proto::Entry,
};

/// The filters of a node, in their order.
#[derive(Default)]
pub(crate) struct Filters {
    inner: RwLock<Arc<[Named]>>,
    /// Whether there is any, and whether any is asked about deliveries: who has none pays nothing.
    are_some: AtomicBool,
    are_asked: AtomicBool,
}

/// A filter, and what it is for.
#[derive(Clone)]
pub(crate) struct Named {
    pub(crate) info: FilterInfo,
    pub(crate) pattern: Pattern,
    pub(crate) filter: Arc<dyn Filter>,
}

impl Filters {
    /// These, in this order.
    pub(crate) fn set(&self, filters: impl IntoIterator<Item = Named>) {
        self.put(&mut self.inner.write(), filters);
    }

    /// The same, for who looked at what there was and let nobody else change it meanwhile.
    fn put(&self, inner: &mut Arc<[Named]>, filters: impl IntoIterator<Item = Named>) {
        let filters: Arc<[Named]> = filters.into_iter().collect();
        self.are_some.store(!filters.is_empty(), Ordering::Relaxed);
        let are_asked = filters.iter().any(|it| it.info.deliveries);
        self.are_asked.store(are_asked, Ordering::Relaxed);
        *inner = filters;
    }

    /// What a message is published as, by all filters of its topic, each with what the one before made of
    /// it; or which of them refuses it, and why.
    pub(crate) fn publish(
        &self,
        topic: &TopicName,
        message: Message,
    ) -> Result<Message, (String, Refusal)> {
        if !self.are_some.load(Ordering::Relaxed) {
            return Ok(message);
        }
        let filters = self.current();
        let mut asked = filters.iter().filter(|it| it.pattern.matches(topic));
        asked.try_fold(message, |message, it| {
            let passed = it.filter.publish(topic, message);
            passed.map_err(|refusal| (it.info.name.clone(), refusal))
        })
    }

    /// Whether nobody is asked about deliveries.
    pub(crate) fn let_all_pass(&self) -> bool {
        !self.are_asked.load(Ordering::Relaxed)
    }

    /// Whether a session gets a message.
    pub(crate) fn deliver(&self, session: SessionId, entry: &Entry) -> bool {
        let topic = entry.topic();
        let filters = self.current();
        let mut asked = filters.iter().filter(|it| it.info.deliveries && it.pattern.matches(topic));
        asked.all(|it| {
            let deliver = || it.filter.deliver(topic, session, entry.message());
            catch_unwind(AssertUnwindSafe(deliver)).unwrap_or_else(|_| {
                error!(filter = it.info.name, "a filter panicked; the message passes");
                true
            })
        })
    }

    /// Which there are, in their order.
    pub(crate) fn list(&self) -> Vec<FilterInfo> {
        self.current().iter().map(|it| it.info.clone()).collect()
    }

    /// Removes one.
    pub(crate) fn remove(&self, name: &str) -> Result<(), FilterError> {
        let mut inner = self.inner.write();
        let filters = Arc::clone(&inner);
        if filters.iter().all(|it| it.info.name != name) {
            return Err(FilterError::NoFilter);
        }
        self.put(&mut inner, filters.iter().filter(|it| it.info.name != name).cloned());
        Ok(())
    }

    /// Puts them in this order, which names each once.
    pub(crate) fn reorder(&self, names: &[&str]) -> Result<(), FilterError> {
        let mut inner = self.inner.write();
        let filters = Arc::clone(&inner);
        let named: BTreeSet<_> = names.iter().collect();
        if named.len() != names.len() || names.len() != filters.len() {
            return Err(FilterError::NotAll);
        }
        let ordered = names.iter().map(|name| filters.iter().find(|it| it.info.name == *name));
        let ordered: Option<Vec<_>> = ordered.collect();
        self.put(&mut inner, ordered.ok_or(FilterError::NoFilter)?.into_iter().cloned());
        Ok(())
    }

    fn current(&self) -> Arc<[Named]> {
        Arc::clone(&self.inner.read())
    }
}

impl fmt::Debug for Filters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.list()).finish()
    }
}

/// A filter of a node.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct FilterInfo {
    /// Its name.
    pub name: String,
    /// Which topics it is for.
    pub pattern: String,
    /// Whether it is asked about each delivery, too.
    pub deliveries: bool,
}

/// Why the filters are as they were.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum FilterError {
    /// There is none of this name. Trying again does not help.
    #[error("there is no such filter")]
    NoFilter,
    /// An order names each filter, and once.
    #[error("an order names each filter, and once")]
    NotAll,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        id::{MessageId, NodeId, Seq},
        proto::Recipients,
    };

    /// Appends its name to texts, refuses what says `no` and its name, and delivers to nobody but 1.
    struct Stamp(&'static str);

    impl Filter for Stamp {
        fn publish(&self, _: &TopicName, message: Message) -> Result<Message, Refusal> {
            let text = message.as_text().unwrap();
            match text == format!("no {}", self.0) {
                true => Err(Refusal::new("as it was asked to")),
                false => Ok(format!("{text}{}", self.0).into()),
            }
        }

        fn filters_deliveries(&self) -> bool {
            self.0 == "b"
        }

        fn deliver(&self, _: &TopicName, session: SessionId, message: &Message) -> bool {
            assert_ne!(message.as_text(), Some("panic"));
            session == SessionId::from_bits(1)
        }
    }

    fn stamps(names: &[&'static str]) -> Filters {
        let filters = Filters::default();
        filters.set(names.iter().map(|&name| {
            let filter = Arc::new(Stamp(name));
            let deliveries = filter.filters_deliveries();
            let pattern = "/a/*".to_owned();
            Named {
                pattern: pattern.parse().unwrap(),
                info: FilterInfo { name: name.to_owned(), pattern, deliveries },
                filter,
            }
        }));
        filters
    }

    fn published(filters: &Filters, topic: &str, text: &str) -> Result<Message, (String, Refusal)> {
        filters.publish(&TopicName::parse(topic).unwrap(), text.into())
    }

    #[test]
    fn each_is_given_what_the_one_before_made_of_it_in_their_order() {
        let filters = stamps(&["a", "b"]);
        assert_eq!(published(&filters, "/a/x", "m").unwrap(), "mab".into());
        assert_eq!(published(&filters, "/b/x", "m").unwrap(), "m".into());
        let (name, refusal) = published(&filters, "/a/x", "no a").unwrap_err();
        assert_eq!((&*name, refusal.reason()), ("a", "as it was asked to"));
        filters.reorder(&["b", "a"]).unwrap();
        assert_eq!(published(&filters, "/a/x", "m").unwrap(), "mba".into());
        for wrong in [&["a"][..], &["a", "a"], &["a", "b", "b"]] {
            assert_eq!(filters.reorder(wrong), Err(FilterError::NotAll));
        }
        assert_eq!(filters.reorder(&["a", "c"]), Err(FilterError::NoFilter));
        filters.remove("b").unwrap();
        assert_eq!(published(&filters, "/a/x", "m").unwrap(), "ma".into());
        assert_eq!(filters.remove("b"), Err(FilterError::NoFilter));
        assert_eq!(filters.list().len(), 1);
    }

    #[test]
    fn one_that_asks_for_it_says_who_gets_what() {
        let filters = stamps(&["a", "b"]);
        let deliver = |topic: &str, session, text: &str| {
            let (topic, session) =
                (TopicName::parse(topic).unwrap(), SessionId::from_bits(session));
            let id = MessageId::new(NodeId::from_bits(1), Seq::FIRST);
            filters.deliver(session, &Entry::new(id, topic, Recipients::Everyone, text.into()))
        };
        assert!(!filters.let_all_pass());
        assert!(deliver("/a/x", 1, "m") && !deliver("/a/x", 2, "m") && deliver("/b/x", 2, "m"));
        assert!(deliver("/a/x", 2, "panic"), "a filter that fails holds nothing up");
        filters.remove("b").unwrap();
        assert!(filters.let_all_pass());
    }
}
