//! Why a licence does not count.

use thiserror::Error;

use super::Day;

/// Why a licence that is genuine does not count. What runs goes on, and the first node of a cluster may
/// start all the same. A new licence helps.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum NotInForce {
    /// It begins later.
    #[error("the licence of {customer} begins on {}", Day(*.not_before))]
    NotYet {
        /// Whom it is for.
        customer: String,
        /// When it begins, in seconds since 1970.
        not_before: u64,
    },
    /// It has ended, and its days of grace too.
    #[error(
        "the licence of {customer} ended on {}, and its {grace_days} days of grace are over",
        Day(*.expires)
    )]
    Expired {
        /// Whom it is for.
        customer: String,
        /// When it ended, in seconds since 1970.
        expires: u64,
        /// The days of grace that it had.
        grace_days: u16,
    },
    /// It is for another cluster.
    #[error(
        "the licence of {customer} is for the cluster {licensed:?}, and this one is {cluster:?}"
    )]
    OtherCluster {
        /// Whom it is for.
        customer: String,
        /// Which cluster it is for.
        licensed: String,
        /// Which cluster the node is of.
        cluster: String,
    },
}
