//! What of a node can be removed, put into another order or given elsewhere while it runs.

use std::sync::Arc;

use super::Builder;
use crate::{
    handler::Handler,
    node::StartError,
    runtime::{Filter, FilterInfo, InvalidPattern, Named, Pattern},
};

/// How many filters a node may have.
const MAX_FILTERS: usize = 64;

impl Builder {
    /// Calls a handler `name`, by which routes can be given it while the node runs: see
    /// [`Node::swap`](crate::Node::swap). May be given many times; of two with one name the later
    /// counts. The handlers of routes are called as the routes are.
    pub fn handler(mut self, name: impl AsRef<str>, handler: impl Handler) -> Self {
        self.routes.name(name.as_ref(), Arc::new(handler));
        self
    }

    /// Has `filter` look at the messages of topics on their way, as long as it is not
    /// [removed](crate::Node::remove_filter): at those that are published on this node to a topic whose name
    /// matches `pattern`, as for [`Node::topics`](crate::Node::topics), and, if it wants, at each delivery to
    /// a client of this node. What is sent to a session alone is not filtered.
    ///
    /// May be given many times, 64 at most: a message passes all that its topic matches, in the order in
    /// which they were given, and each has what the one before made of it. Give all nodes the same ones.
    pub fn filter(
        mut self,
        name: impl Into<String>,
        pattern: impl Into<String>,
        filter: impl Filter,
    ) -> Self {
        let (name, pattern) = (name.into(), pattern.into());
        let deliveries = filter.filters_deliveries();
        match self.check_filter(&name, &pattern) {
            Ok(parsed) => {
                let (info, filter) = (FilterInfo { name, pattern, deliveries }, Arc::new(filter));
                self.filters.push(Named { info, pattern: parsed, filter });
            }
            Err(why) => {
                self.mistake.get_or_insert(StartError::InvalidFilter { name, why });
            }
        }
        self
    }

    fn check_filter(&self, name: &str, pattern: &str) -> Result<Pattern, String> {
        if self.filters.iter().any(|it| it.info.name == name) {
            return Err("another has its name".to_owned());
        }
        if self.filters.len() == MAX_FILTERS {
            return Err(format!("there are {MAX_FILTERS} already"));
        }
        pattern.parse().map_err(|err: InvalidPattern| err.to_string())
    }
}
