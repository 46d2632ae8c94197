//! What operators did.

use serde::{Deserialize, Serialize};

/// What an operator did, or tried to. Of each text 512 bytes are kept at most; what was cut ends in `...`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "control", derive(utoipa::ToSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct AuditEntry {
    /// Its number, among those of the same node.
    pub number: u64,
    /// When it was over.
    pub at_ms: u64,
    /// The id of the node that was asked.
    pub node: String,
    /// The name of who asked.
    pub who: String,
    /// What was to be done.
    pub what: String,
    /// To what. Of what an operator's role did not allow, the path.
    pub target: String,
    /// Whether it was done. If not, nothing was changed, unless `detail` says otherwise.
    pub done: bool,
    /// What came of it, if it was not simply done: why it was not, or which nodes it was not done on.
    pub detail: String,
}
