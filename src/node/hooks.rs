//! What the application does when an operator asks.

use std::fmt;

use super::Node;

type SetLogFilter = Box<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

type Reload = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// What the application does when an operator asks.
#[derive(Default)]
pub(super) struct Hooks {
    pub(super) log_filter: Option<SetLogFilter>,
    pub(super) reload: Option<Reload>,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").finish_non_exhaustive()
    }
}

impl Node {
    /// Sets which log lines the application writes.
    pub(super) fn set_log_filter(&self, filter: &str) -> Result<(), String> {
        match &self.inner.hooks.log_filter {
            Some(set) => set(filter),
            None => Err("the application takes no log filter: see Builder::on_log_filter".into()),
        }
    }

    /// Looks at the files of certificates, and has the application load its configuration again.
    pub(super) fn reload(&self) -> Result<(), String> {
        self.inner.clients.reload();
        self.inner.hub.tasks().reload();
        self.inner.hooks.reload.as_ref().map_or(Ok(()), |reload| reload())
    }
}
