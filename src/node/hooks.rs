//! What the application does when an operator asks.

use std::fmt;

use parking_lot::Mutex;

use super::Node;

type SetLogFilter = Box<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// Which log lines the application writes.
pub(super) struct LogFilter {
    in_force: Mutex<String>,
    set: SetLogFilter,
}

impl LogFilter {
    /// These, and `set` changes that.
    pub(super) fn new(in_force: String, set: SetLogFilter) -> Self {
        Self { in_force: Mutex::new(in_force), set }
    }
}

type Reload = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// What the application does when an operator asks.
#[derive(Default)]
pub(super) struct Hooks {
    pub(super) log_filter: Option<LogFilter>,
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
            Some(log) => (log.set)(filter).map(|()| *log.in_force.lock() = filter.to_owned()),
            None => Err("the application takes no log filter: see Builder::on_log_filter".into()),
        }
    }

    /// Which log lines the application writes, if operators can change that.
    pub(super) fn log_filter(&self) -> Option<String> {
        self.inner.hooks.log_filter.as_ref().map(|log| log.in_force.lock().clone())
    }

    /// Looks at the files of certificates, and has the application load its configuration again.
    pub(super) fn reload(&self) -> Result<(), String> {
        self.inner.clients.reload();
        self.inner.hub.tasks().reload();
        self.inner.hooks.reload.as_ref().map_or(Ok(()), |reload| reload())
    }
}
