//! A message in a topic's log.

use serde::{Deserialize, Serialize};

/// A message in a topic's log.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "control", derive(utoipa::ToSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct MessageEntry {
    /// Its id.
    pub id: String,
    /// The id of the node that published it.
    pub origin: String,
    /// How long it is, in bytes.
    pub bytes: usize,
    /// What it says, if it is text: the first 4,096 bytes.
    pub text: Option<String>,
    /// What it says, if it is bytes, in base64: the first 4,096 of them.
    pub base64: Option<String>,
    /// Whether what it says is cut short here.
    pub cut: bool,
    /// Whom it is for: `everyone`, `only` those named, or all `except` those named.
    pub to: String,
    /// Who is named there.
    pub named: Vec<String>,
    /// How many are named there: of more than 64, the rest is not told.
    pub named_in_all: usize,
    /// The client's push that led to it, if one did.
    pub cause: Option<String>,
    /// When the node that was asked stored it.
    pub stored_ms: Option<u64>,
    /// How many sessions are to get it and have not said to have it, as far as that node has heard. None
    /// where that is not counted, as there are too many sessions: see what became of the message.
    pub waiting: Option<usize>,
}
