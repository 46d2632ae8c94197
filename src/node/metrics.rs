//! What a node measures, told to whoever collects it: names, units and labels as Prometheus has them.
//!
//! Every label has a bounded set of values: kinds that are known here, and the nodes of the cluster.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

use super::Node;
use crate::{
    proto::{Dropped, Tally},
    report::detachment_name,
    runtime::{Statistics, Times},
};

/// How long something takes, as a histogram of Prometheus.
pub(crate) struct Latency {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) times: Times,
}

impl Node {
    /// Tells the recorder of `metrics` that is installed for this thread what this node has counted, and
    /// how it is. What is measured as a histogram is returned, as its buckets are counted already.
    pub(crate) fn record_metrics(&self) -> Vec<Latency> {
        self.record_node();
        self.record_links();
        self.record_messages();
        match self.statistics() {
            Some(statistics) => {
                self.record_clients(&statistics);
                latencies(statistics)
            }
            None => Vec::new(),
        }
    }

    fn record_node(&self) {
        let report = self.report();
        let (id, version) = (self.id().to_string(), env!("CARGO_PKG_VERSION"));
        let (name, cluster) = ("exosphere_info", report.cluster);
        told(name, "What this node is; always 1.");
        gauge!(name, "node" => id, "cluster" => cluster, "version" => version).set(1.0);
        let (usage, limits) = (report.usage, report.limits);
        let measured = [
            ("uptime_seconds", "Since when the node runs.", seconds(report.member.uptime_ms)),
            (
                "statistics_enabled",
                "Whether what clients do is counted.",
                flag(self.statistics().is_some()),
            ),
            (
                "topics",
                "Topics that are known, those of single sessions apart.",
                usage.topics as f64,
            ),
            ("log_messages", "Messages in the logs of all topics.", usage.messages as f64),
            ("log_bytes", "What the logs of all topics cost.", usage.log_bytes as f64),
            ("log_limit_bytes", "What the logs of all topics may cost.", limits.node_bytes as f64),
            (
                "journal_kept_operations",
                "The most operations that are kept of any journal.",
                usage.tail_operations as f64,
            ),
        ];
        measured.into_iter().for_each(|(name, help, value)| measure(name, help, value));
        if let Some(store) = &report.store {
            measure("store_working", "Whether the store works.", flag(store == "working"));
        }
        if let Some(license) = &report.license {
            measure("license_nodes", "How many nodes may be active.", license.max_nodes.into());
            if let Some(expires) = license.expires {
                let help = "When the licence ends.";
                measure("license_expiry_timestamp_seconds", help, expires as f64);
            }
        }
        self.record_members();
    }

    fn record_members(&self) {
        let (name, states) = ("exosphere_members", ["active", "draining", "other"]);
        told(name, "Nodes that are believed to be alive, by state.");
        let mut counts = [0_u32; 3];
        for member in self.members().current().members() {
            let state = member.state().to_string();
            counts[states.iter().position(|it| *it == state).unwrap_or(2)] += 1;
        }
        for (state, count) in states.into_iter().zip(counts) {
            gauge!(name, "state" => state).set(f64::from(count));
        }
    }

    fn record_links(&self) {
        let links = self.link_reports();
        measure("links", "Links to other nodes.", links.len() as f64);
        let journal =
            |core: &mut crate::proto::Core| core.replica().applied().iter().collect::<Vec<_>>();
        told(
            "exosphere_journal_next_operation",
            "The first operation of each node's journal that this node lacks.",
        );
        for (origin, next) in self.inner.hub.with(|core, _| journal(core)) {
            gauge!("exosphere_journal_next_operation", "origin" => origin.to_string())
                .set(next.get() as f64);
        }
        let gauges = [
            (
                "exosphere_link_lag_operations",
                "Operations of this node's journal that the peer has not said to have.",
            ),
            (
                "exosphere_link_queued_frames",
                "Frames that wait to be sent to the peer, those of the journal apart.",
            ),
            ("exosphere_link_round_trip_seconds", "How long it takes to the peer and back."),
        ];
        gauges.into_iter().for_each(|(name, help)| told(name, help));
        let counters = [
            ("exosphere_link_sent_bytes_total", "Bytes sent to the peer since the link began."),
            (
                "exosphere_link_received_bytes_total",
                "Bytes received from the peer since the link began.",
            ),
            (
                "exosphere_link_lost_packets_total",
                "Packets to the peer that were lost, and sent again.",
            ),
        ];
        counters.into_iter().for_each(|(name, help)| describe_counter!(name, Unit::Count, help));
        for link in links {
            let set = |name, value| gauge!(name, "peer" => link.to.clone()).set(value);
            set(gauges[0].0, link.lag as f64);
            set(gauges[1].0, link.queued as f64);
            set(gauges[2].0, Duration::from_micros(link.rtt_us).as_secs_f64());
            let totals = [link.sent_bytes, link.received_bytes, link.lost_packets];
            for ((name, _), total) in counters.into_iter().zip(totals) {
                counter!(name, "peer" => link.to.clone()).absolute(total);
            }
        }
        let gossip = self.inner.mesh.gossip_traffic();
        count("gossip_sent_total", "Messages of gossip that were sent.", gossip.sent);
        count(
            "gossip_sent_bytes_total",
            "Bytes of gossip that were sent, before they are compressed.",
            gossip.sent_bytes,
        );
        count("gossip_received_total", "Messages of gossip that came.", gossip.received);
        count(
            "gossip_received_bytes_total",
            "Bytes of gossip that came, once they are not compressed any more.",
            gossip.received_bytes,
        );
    }

    fn record_messages(&self) {
        let (accounting, usage, sessions) = self.inner.hub.with(|core, _| {
            let known = core.replica().session_count();
            (core.accounting(), core.usage(), [core.detached(), known])
        });
        tally("exosphere_messages", "published on this node", &accounting.published);
        tally(
            "exosphere_stored_messages",
            "stored on this node, whichever published them",
            &accounting.stored,
        );
        measure(
            "messages_unaccounted",
            "Messages of which it is not known what became of them: always 0.",
            accounting.unaccounted() as f64,
        );
        self.record_sessions(sessions[0]);
        measure(
            "sessions_known",
            "Sessions of the whole cluster, as this node knows it.",
            sessions[1] as f64,
        );
        told(
            "exosphere_flight_records",
            "What the flight recorder remembers, of sessions and of deliveries.",
        );
        for (ring, records) in
            [("sessions", usage.remembered), ("deliveries", usage.remembered_deliveries)]
        {
            gauge!("exosphere_flight_records", "ring" => ring).set(records as f64);
        }
    }

    fn record_sessions(&self, detached: usize) {
        let name = "exosphere_sessions";
        told(
            name,
            "Sessions of this node, by whether their clients are there, and by which transport; who is away has none.",
        );
        let attached = self.inner.hub.counters().open();
        let attached = attached.filter_map(|(transport, open)| Some((transport?, open)));
        for (transport, sessions) in attached {
            gauge!(name, "state" => "attached", "transport" => transport.name())
                .set(sessions as f64);
        }
        gauge!(name, "state" => "detached", "transport" => "none").set(detached as f64);
    }

    fn record_clients(&self, it: &Statistics) {
        let (open, opened) = ("exosphere_connections", "exosphere_connections_opened_total");
        told(open, "Clients that are connected, by transport.");
        describe_counter!(opened, Unit::Count, "Connections of clients, by transport.");
        for of in &it.connections {
            let transport = of.transport.map_or("websocket_bare", |it| it.name());
            gauge!(open, "transport" => transport).set(of.open as f64);
            counter!(opened, "transport" => transport).absolute(of.total);
        }
        let name = "exosphere_disconnects_total";
        describe_counter!(name, Unit::Count, "Connections of sessions that ended, by why.");
        it.detached.iter().for_each(|(why, total)| {
            counter!(name, "reason" => detachment_name(*why)).absolute(*total)
        });
        let name = "exosphere_clients_total";
        describe_counter!(name, Unit::Count, "Clients that connected, by what they say they are.");
        it.browsers.iter().for_each(|(browser, total)| {
            counter!(name, "browser" => browser.name()).absolute(*total)
        });
        let name = "exosphere_sessions_closed_total";
        describe_counter!(name, Unit::Count, "Sessions that are over, by what ended them.");
        it.sessions_closed
            .iter()
            .for_each(|(why, total)| counter!(name, "reason" => *why).absolute(*total));
        count("sessions_begun_total", "Sessions that began on this node.", it.sessions_begun);
        count("requests_total", "Requests of clients.", it.requests);
        count(
            "messages_received_total",
            "Messages of clients that handlers were told of.",
            it.received,
        );
        count(
            "messages_delivered_total",
            "Messages that were taken for connections of clients, those withheld included.",
            it.given,
        );
        count(
            "messages_withheld_total",
            "Messages that a filter kept back from connections of clients.",
            it.withheld,
        );
        count(
            "messages_confirmed_total",
            "Messages that clients have confirmed to have.",
            it.confirmed,
        );
        count(
            "messages_refused_total",
            "Messages that a filter did not let be published.",
            it.refused,
        );
        count("gaps_total", "How often a client was told that messages are gone.", it.gaps);
        count(
            "slow_consumers_total",
            "How often a client that was connected did not read as fast as was published, and was told that messages are gone, or closed.",
            it.slow,
        );
        measure(
            "polls_parked",
            "Polls that wait for something to be said.",
            it.parked_polls as f64,
        );
    }
}

/// How long things take.
fn latencies(it: Statistics) -> Vec<Latency> {
    let of = |name, help, times| Latency { name, help, times };
    vec![
        of(
            "exosphere_delivery_seconds",
            "From when this node had a message until it was handed to the connection of a client that was there all the while; one wake-up in 16.",
            it.delivery,
        ),
        of(
            "exosphere_settled_seconds",
            "From when a message was published on this node until all who were to get it had it; one message every quarter of a second.",
            it.settled,
        ),
        of(
            "exosphere_handler_seconds",
            "How long handlers took for what they were told.",
            it.handler,
        ),
    ]
}

/// What became of messages of one kind.
fn tally(prefix: &'static str, which: &str, tally: &Tally) {
    let Tally { accepted, acknowledged, pending, expired, dropped, .. } = *tally;
    // A counter never goes down: what was taken for settled is dropped beside that.
    let settled = acknowledged + dropped.unheard;
    let say = |what: &str| format!("Messages {which}{what}.");
    let totals = [
        ("accepted", "", accepted),
        (
            "settled",
            " that all had who were to get them, as far as was known: see dropped, cause unheard",
            settled,
        ),
        ("expired", " that waited for too long", expired),
    ];
    for (what, help, total) in totals {
        count_named(format!("{prefix}_{what}_total"), say(help), total);
    }
    let name = format!("{prefix}_dropped_total");
    describe_counter!(
        name.clone(),
        Unit::Count,
        say(" that were dropped before all had them, by cause")
    );
    let Dropped { topic_messages, topic_bytes, node_bytes, unheard, withdrawn, .. } = dropped;
    let causes = [
        ("topic_messages", topic_messages),
        ("topic_bytes", topic_bytes),
        ("node_bytes", node_bytes),
        ("unheard", unheard),
        ("withdrawn", withdrawn),
    ];
    for (cause, total) in causes {
        counter!(name.clone(), "cause" => cause).absolute(total);
    }
    let name = format!("{prefix}_pending");
    describe_gauge!(name.clone(), say(" that are kept still"));
    gauge!(name).set(pending as f64);
}

fn told(name: &'static str, help: &'static str) {
    describe_gauge!(name, help);
}

fn measure(name: &str, help: &'static str, value: f64) {
    let name = format!("exosphere_{name}");
    describe_gauge!(name.clone(), help);
    gauge!(name).set(value);
}

fn count(name: &str, help: &'static str, total: u64) {
    count_named(format!("exosphere_{name}"), help.to_owned(), total);
}

fn count_named(name: String, help: String, total: u64) {
    describe_counter!(name.clone(), Unit::Count, help);
    counter!(name).absolute(total);
}

fn flag(is_so: bool) -> f64 {
    f64::from(u8::from(is_so))
}

fn seconds(millis: u64) -> f64 {
    Duration::from_millis(millis).as_secs_f64()
}
