//! A whole cluster.

use serde::{Deserialize, Serialize};

use super::{AccountingReport, LicenseReport, LinkReport, MemberReport};

/// A whole cluster, as one of its nodes sees it and the others say.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "control", derive(utoipa::ToSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct ClusterReport {
    /// The cluster's name.
    pub name: String,
    /// Its nodes, by id.
    pub nodes: Vec<MemberReport>,
    /// The ids of those that did not answer in time: what only they know is missing here.
    pub unanswered: Vec<String>,
    /// How many sessions there are, attached or not.
    pub sessions: usize,
    /// How many topics there are, those of single sessions apart.
    pub topics: usize,
    /// What became of the messages that the nodes which answered have published.
    pub accounting: AccountingReport,
    /// The links between the nodes, each as both of its ends see it.
    pub links: Vec<LinkReport>,
    /// The licence that holds, if one does.
    pub license: Option<LicenseReport>,
    /// When this was.
    pub at_ms: u64,
}
