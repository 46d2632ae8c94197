//! What is: a running node and its cluster, as plain data for people and machines.
//!
//! Ids, names and addresses are text here. Times are milliseconds since the Unix epoch, durations
//! are in milliseconds unless their name says otherwise. Fields are only ever added.

mod accounting;
mod audit;
mod change;
mod cluster;
mod connection;
mod event;
mod explanation;
mod fate;
mod link;
mod member;
mod message;
mod node;
mod page;
mod session;
mod statistics;
mod topic;

pub use accounting::{AccountingReport, DroppedReport};
pub use audit::AuditEntry;
pub use change::LimitsPatch;
pub use cluster::ClusterReport;
pub use connection::{ConnectionReport, RequestReport};
pub use event::EventReport;
pub(crate) use explanation::end_of;
pub use explanation::{ExplanationReport, KeptReport, StepReport};
pub use fate::{FateReport, MessageDetails};
pub use link::LinkReport;
pub use member::{MemberReport, TotalsReport};
pub use message::MessageEntry;
pub use node::{
    FilterReport, JournalReport, LicenseReport, LimitsReport, NodeReport, RouteReport,
    ServerReport, UsageReport, WebSocketReport,
};
pub use page::Page;
pub use session::{MembershipReport, SessionDetails, SessionFilter, SessionReport};
pub(crate) use statistics::detachment_name;
pub use statistics::{BrowserCount, ConnectionCount, ReasonCount, StatisticsReport, TimesReport};
pub use topic::{ReaderReport, TopicReport};
