//! What a licence allows.

use std::{
    fmt,
    num::NonZeroU32,
    time::{Duration, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Day, InvalidLicense};

/// What a licence allows, and to whom.
///
/// Fields may be added in later versions; what a version does not know, it does not mind.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Grant {
    /// What the vendor calls it. Random unless it was set.
    pub id: String,
    /// Whom it is for.
    pub customer: String,
    /// How many nodes of a cluster may be active at the same time.
    pub max_nodes: NonZeroU32,
    /// From when it holds, in seconds since 1970. 0 unless it was set: from ever.
    #[serde(default)]
    pub not_before: u64,
    /// From when it no longer holds, in seconds since 1970. `None` is never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
    /// For how many days after that nodes may still start. 14 unless it was set.
    #[serde(default)]
    pub grace_days: u16,
    /// What else it allows, by names that mean something to the application.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
    /// The one cluster it is for; any if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
}

impl Grant {
    /// For how many days after the end nodes may still start, unless it says otherwise.
    pub const GRACE_DAYS: u16 = 14;

    /// So many nodes for a customer, for ever and in any cluster.
    ///
    /// # Errors
    ///
    /// [`InvalidLicense::NoNodes`] if `max_nodes` is 0.
    pub fn new(customer: impl Into<String>, max_nodes: u32) -> Result<Self, InvalidLicense> {
        Ok(Self {
            id: Uuid::new_v4().to_string(),
            customer: customer.into(),
            max_nodes: NonZeroU32::new(max_nodes).ok_or(InvalidLicense::NoNodes)?,
            not_before: 0,
            expires: None,
            grace_days: Self::GRACE_DAYS,
            features: Vec::new(),
            cluster: None,
        })
    }

    /// The same, from now on for so many days.
    #[must_use]
    pub fn for_days(self, now: SystemTime, days: u32) -> Self {
        let now = seconds(now);
        let expires = now.saturating_add(u64::from(days) * DAY.as_secs());
        Self { not_before: now, expires: Some(expires), ..self }
    }

    /// The day on which it ends, in UTC, as `2026-11-21`; `None` for one that does not.
    pub fn end(&self) -> Option<impl fmt::Display + use<>> {
        self.expires.map(Day)
    }

    /// Whether it allows what the application calls so.
    pub fn has_feature(&self, name: &str) -> bool {
        self.features.iter().any(|feature| feature == name)
    }

    pub(super) fn read(payload: &str) -> Result<Self, InvalidLicense> {
        let payload = BASE64.decode(payload).map_err(|_| InvalidLicense::NotAToken)?;
        serde_json::from_slice(&payload).map_err(|error| InvalidLicense::Payload(error.to_string()))
    }

    pub(super) fn to_payload(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("it is made of texts and numbers")
    }
}

pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Since 1970; 0 for what was before.
pub(super) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
