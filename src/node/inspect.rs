//! What a node says of itself and of what it knows, as plain data.

mod sessions;
mod sought;
mod topics;

use std::time::{Instant, SystemTime};

pub use sought::InvalidSessionFilter;

use super::{Limits, Node, question::Question};
use crate::{
    connection::Transport,
    id::NodeId,
    license::License,
    proto::{self, Core, Member, wire::MAX_MESSAGE_BYTES},
    report::{
        AccountingReport, ClusterReport, FilterReport, JournalReport, LicenseReport, LimitsReport,
        LinkReport, MemberReport, NodeReport, RouteReport, ServerReport, UsageReport,
        WebSocketReport,
    },
    route::RouteInfo,
    runtime::{FilterInfo, clock},
    store::StoreState,
};

impl Node {
    /// All that this node says of itself.
    pub fn report(&self) -> NodeReport {
        let mut report = NodeReport {
            member: self.this_member(),
            cluster: self.inner.mesh.cluster().to_owned(),
            server: self.server_report(),
            routes: self.routes().into_iter().map(route).collect(),
            handlers: self.handlers(),
            filters: self.filters().into_iter().map(filter).collect(),
            links: self.link_reports(),
            statistics: self.statistics_report(),
            log_filter: self.log_filter(),
            store: self.store_state().map(|state| store(&state)),
            license: self.license().as_ref().map(license),
            security: self.inner.mesh.security().to_owned(),
            websocket: WebSocketReport {
                max_message_bytes: MAX_MESSAGE_BYTES,
                heartbeat_ms: millis(self.limits().heartbeat),
            },
            ..NodeReport::default()
        };
        self.inner.hub.with(|core, _| {
            let accounting = core.accounting();
            report.published = AccountingReport::published(&accounting);
            report.stored = AccountingReport::stored(&accounting);
            report.journal = journal(core, self.id());
            report.usage = usage(core);
            report.limits = limits(core.limits());
        });
        let Limits { connections, parked_polls, posted_bytes, heartbeat, .. } = self.limits();
        report.limits.connections = connections;
        report.limits.parked_polls = parked_polls;
        report.limits.posted_bytes = posted_bytes;
        report.limits.heartbeat_ms = millis(heartbeat);
        report
    }

    /// All that a node of the cluster says of itself.
    ///
    /// # Errors
    ///
    /// [`AskError`](crate::AskError) says why it did not.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn report_of(&self, node: NodeId) -> Result<NodeReport, crate::AskError> {
        self.ask(node, &Question::Node).await
    }

    /// The whole cluster, as this node sees it and the others say within a second.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn cluster_report(&self) -> ClusterReport {
        let mut cluster = ClusterReport {
            name: self.inner.mesh.cluster().to_owned(),
            at_ms: now_ms(),
            license: self.license().as_ref().map(license),
            ..ClusterReport::default()
        };
        self.inner.hub.with(|core, _| {
            cluster.sessions = core.replica().session_count();
            cluster.topics = core.replica().topics().named();
        });
        let roster = self.members().current();
        for (node, answer) in self.ask_all::<NodeReport>(&Question::Node).await {
            match answer {
                Ok(report) => {
                    cluster.accounting.add(&report.published);
                    cluster.links.extend(report.links);
                    let this = node == self.id();
                    cluster.nodes.push(MemberReport { this, ..report.member });
                }
                Err(_) => {
                    cluster.unanswered.push(node.to_string());
                    cluster.nodes.extend(roster.get(node).map(member));
                }
            }
        }
        cluster
    }

    fn this_member(&self) -> MemberReport {
        let announcement = self.inner.mesh.announcement();
        MemberReport {
            id: self.id().to_string(),
            address: self.addr().to_string(),
            state: announcement.state.to_string(),
            this: true,
            answered: true,
            role: announcement.role,
            tags: announcement.tags,
            url: announcement.url,
            version: VERSION.to_owned(),
            uptime_ms: millis(clock::now().saturating_duration_since(self.inner.since)),
            sessions: self.inner.hub.with(|core, _| core.attached()),
            connections: self.open_connections(),
            totals: self.totals(),
        }
    }

    fn server_report(&self) -> ServerReport {
        let protocol = self.inner.mesh.announcement().protocol;
        let offers = |transport: &Transport| match transport {
            Transport::Jsonp => self.inner.server.offers_scripts(),
            Transport::Grpc => cfg!(feature = "grpc"),
            _ => true,
        };
        let transports = Transport::ALL.into_iter().filter(offers);
        ServerReport {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: VERSION.to_owned(),
            transports: transports.map(|transport| transport.name().to_owned()).collect(),
            protocol: (protocol.min, protocol.max),
        }
    }

    pub(super) fn link_reports(&self) -> Vec<LinkReport> {
        let links = self.inner.mesh.links().into_iter().map(|link| {
            let lag = self.inner.hub.with(|core, _| core.lag_of(link.peer));
            LinkReport {
                from: self.id().to_string(),
                to: link.peer.to_string(),
                address: link.addr.to_string(),
                rtt_us: u64::try_from(link.round_trip.as_micros()).unwrap_or(u64::MAX),
                lag: lag.operations,
                queued: lag.queued,
                sent_bytes: link.sent_bytes,
                received_bytes: link.received_bytes,
                lost_packets: link.lost_packets,
            }
        });
        links.collect()
    }
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn route(route: RouteInfo) -> RouteReport {
    let kind = if route.handler.is_some() { "sessions" } else { "websockets" };
    RouteReport { template: route.template, kind: kind.to_owned(), handler: route.handler }
}

fn filter(filter: FilterInfo) -> FilterReport {
    let FilterInfo { name, pattern, deliveries } = filter;
    FilterReport { name, pattern, deliveries }
}

/// A node that did not answer, as others know it.
fn member(member: &Member) -> MemberReport {
    MemberReport {
        id: member.id.to_string(),
        address: member.addr.to_string(),
        state: member.state().to_string(),
        this: member.this,
        role: member.role().map(str::to_owned),
        tags: member.tags().clone(),
        url: member.url().map(str::to_owned),
        ..MemberReport::default()
    }
}

fn journal(core: &Core, own: NodeId) -> JournalReport {
    let applied = core.replica().applied();
    JournalReport {
        next: applied.get(own).get(),
        durable: core.durable().map(crate::id::Seq::get),
        origins: applied.iter().map(|(node, next)| (node.to_string(), next.get())).collect(),
    }
}

fn usage(core: &Core) -> UsageReport {
    let usage = core.usage();
    UsageReport {
        messages: usage.messages,
        log_bytes: usage.log_bytes,
        topics: core.replica().topics().named(),
        sessions: core.replica().session_count(),
        tail_operations: usage.tail_ops,
    }
}

fn limits(limits: &proto::Limits) -> LimitsReport {
    LimitsReport {
        topic_messages: limits.log.messages.get(),
        topic_bytes: limits.log.bytes.get(),
        unread_for_ms: millis(limits.log.unread_for),
        node_bytes: limits.logs_bytes,
        session_kept_ms: millis(limits.session_kept),
        sessions: limits.sessions,
        topics: limits.topics,
        durability: format!("{:?}", limits.durability),
        slow_consumers: format!("{:?}", limits.slow_consumers),
        ..LimitsReport::default()
    }
}

fn store(state: &StoreState) -> String {
    match state {
        StoreState::Working => "working".to_owned(),
        StoreState::Failed { reason } => format!("failed: {reason}"),
        StoreState::Closed => "closed".to_owned(),
    }
}

fn license(license: &License) -> LicenseReport {
    let grant = license.grant();
    LicenseReport {
        id: grant.id.clone(),
        customer: grant.customer.clone(),
        max_nodes: grant.max_nodes.get(),
        not_before: grant.not_before,
        expires: grant.expires,
        grace_days: grant.grace_days,
        features: grant.features.clone(),
        cluster: grant.cluster.clone(),
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What tells of an instant when that was, in milliseconds since the Unix epoch, as the clock stands now.
pub(super) fn calendar() -> impl Fn(Instant) -> u64 {
    let (now, now_ms) = (clock::now(), now_ms());
    move |at| now_ms.saturating_sub(millis(now.saturating_duration_since(at)))
}

pub(crate) fn now_ms() -> u64 {
    since_epoch_ms(clock::calendar())
}

fn since_epoch_ms(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, millis)
}
