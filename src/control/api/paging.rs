//! Which part of a list is asked for.

use std::num::NonZeroUsize;

use serde::Deserialize;
use utoipa::IntoParams;

use crate::control::problem::Problem;

/// How many items are answered unless it is said.
const DEFAULT_LIMIT: usize = 100;

/// How many items are answered at most.
const MAX_LIMIT: usize = 1_000;

/// Which part of a list is asked for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub(super) struct Paging {
    /// The `next` of the part before; none for the first part.
    pub(super) after: Option<String>,
    /// How many items to answer: 1 to 1,000. Defaults to 100.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

impl Paging {
    pub(super) fn limit(&self) -> Result<NonZeroUsize, Problem> {
        let limit = NonZeroUsize::new(self.limit.unwrap_or(DEFAULT_LIMIT));
        let limit = limit.filter(|limit| limit.get() <= MAX_LIMIT);
        limit.ok_or_else(|| Problem::invalid("`limit` is 1 to 1000"))
    }

    /// Where the part begins.
    pub(super) fn after<T: std::str::FromStr>(&self) -> Result<Option<T>, Problem> {
        let after = self.after.as_deref().map(str::parse).transpose();
        after.map_err(|_| Self::wrong())
    }

    /// What is wrong if a part cannot begin there.
    pub(super) fn wrong() -> Problem {
        Problem::invalid("`after` is no `next` of this list")
    }
}
