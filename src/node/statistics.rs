//! What a node counts.

use std::collections::BTreeMap;

use super::Node;
use crate::{
    connection::Transport,
    report::{
        BrowserCount, ConnectionCount, ReasonCount, StatisticsReport, TimesReport, TotalsReport,
        detachment_name,
    },
    runtime::{Statistics, Times},
};

impl Node {
    /// What this node has counted since it was started; `None` while that is
    /// [switched off](Self::count_statistics).
    pub fn statistics(&self) -> Option<Statistics> {
        self.inner.hub.statistics()
    }

    /// Counts [statistics](Self::statistics) from now on, or no longer; a node that is started does.
    ///
    /// They cost little, and go on where they were when they are switched on again. What is open is
    /// counted in any case, and so is [what became of messages](Self::accounting).
    pub fn count_statistics(&self, on: bool) {
        self.inner.hub.count_statistics(on);
    }

    /// How many clients are connected, by transport, as far as there are any.
    pub(super) fn open_connections(&self) -> BTreeMap<String, u64> {
        let open = self.inner.hub.counters().open().filter(|(_, open)| *open > 0);
        open.map(|(transport, open)| (name_of(transport).to_owned(), open)).collect()
    }

    /// What this node has counted, summed up.
    pub(super) fn totals(&self) -> TotalsReport {
        let statistics = self.statistics().unwrap_or_default();
        TotalsReport {
            received: statistics.received,
            delivered: statistics.delivered(),
            acknowledged: statistics.confirmed,
            published: self.accounting().published.accepted,
        }
    }

    /// What this node has counted, as plain data; `None` while it does not.
    pub(super) fn statistics_report(&self) -> Option<StatisticsReport> {
        self.statistics().as_ref().map(report)
    }
}

fn report(it: &Statistics) -> StatisticsReport {
    let connections = it.connections.iter().map(|of| ConnectionCount {
        transport: name_of(of.transport).to_owned(),
        open: of.open,
        total: of.total,
    });
    let browsers = it
        .browsers
        .iter()
        .map(|(browser, total)| BrowserCount { browser: browser.name().to_owned(), total: *total });
    let reason = |reason: &str, total: u64| ReasonCount { reason: reason.to_owned(), total };
    StatisticsReport {
        connections: connections.collect(),
        disconnects_clean: it.clean(),
        disconnects_dirty: it.dirty(),
        disconnects: it.detached.iter().map(|&(why, n)| reason(detachment_name(why), n)).collect(),
        browsers: browsers.collect(),
        requests: it.requests,
        received: it.received,
        refused: it.refused,
        delivered: it.delivered(),
        acknowledged: it.confirmed,
        gaps: it.gaps,
        slow: it.slow,
        sessions_begun: it.sessions_begun,
        sessions_closed: it.sessions_closed.iter().map(|&(why, n)| reason(why, n)).collect(),
        parked_polls: it.parked_polls,
        delivery: times(&it.delivery),
        settled: times(&it.settled),
        handler: times(&it.handler),
    }
}

fn name_of(transport: Option<Transport>) -> &'static str {
    transport.map_or("websocket_bare", Transport::name)
}

fn times(times: &Times) -> TimesReport {
    let quantile = |part| times.quantile(part).map(|it| it.as_secs_f64() * 1e3);
    let count = times.count();
    TimesReport {
        count,
        mean_ms: (count > 0).then(|| times.sum.as_secs_f64() * 1e3 / count as f64),
        p50_ms: quantile(0.5),
        p99_ms: quantile(0.99),
    }
}
