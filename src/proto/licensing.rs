//! Who may be active: the rule by which the nodes of a cluster keep to the number that is licensed.
//!
//! ```text
//!   start --LOOK--> Joining --PROBATION--> Active --one too many, for GRACE--> Exceeded
//!                    ^  |
//!                    |  +-- PROBATION, and too late --> Refused
//!      a place is    |  |
//!      free          |  +-- the same, if it waits
//!                    |  v
//!                   Standby
//! ```
//!
//! Each node chooses a place when it joins, behind all that it has heard of, and tells it to all.
//! Places are in one order, the same for everybody, and a node's rank is how many others come before
//! it. So nobody needs to be asked: nodes that know of the same others agree on who is one too many.
//! The oldest is never that, a newcomer never ranks before who was there, and of two that come at once
//! for the last place each sees the other before it is active, and one of them gives way.
//!
//! A node that is gone without having left keeps its place for [`HOLD`] against newcomers, as it may
//! be on the other side of a partition; who has lost it tells them so. Once two sides meet again, those
//! give way that came later; and a side that began anew is behind the one that did not, as its lineage
//! is younger. Who does not give way when it should is [refused](Licensing::refused) by the others.
//!
//! Members are believed. Who has the cluster's secret and lies about its place keeps others out; what a
//! licence is good for is that honest nodes are no more than were paid for.

mod claim;
mod papers;

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
    time::{Duration, Instant},
};

use self::claim::Seniority;
pub use self::{
    claim::{Claim, InvalidClaim},
    papers::Papers,
};
use crate::id::NodeId;

/// How long a node looks for others before it chooses its place: two rounds of gossip at least.
pub const LOOK: Duration = Duration::from_secs(1);

/// How long a node that has chosen its place lets others object to it.
pub const PROBATION: Duration = Duration::from_secs(1);

/// How long the place of a node that is gone is kept, unless it has said that it leaves.
pub const HOLD: Duration = Duration::from_secs(60);

/// How long a node that is active may be one too many before it gives way.
pub const GRACE: Duration = Duration::from_secs(30);

/// How much longer than [`GRACE`] the others bear with it, while its clients go elsewhere.
pub const MARGIN: Duration = Duration::from_secs(5);

/// How long a node that was refused, and is gone, stays refused.
pub const REFUSED_FOR: Duration = Duration::from_secs(10 * 60);

/// How many nodes may be active. Neither is zero, so the first node may always be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Allowance {
    /// How many, as far as those are concerned that want to be.
    pub joining: NonZeroU32,
    /// How many, as far as those are concerned that are. What ends a licence changes this not.
    pub staying: NonZeroU32,
}

impl Allowance {
    /// So many may join, and so many may stay.
    pub fn new(joining: NonZeroU32, staying: NonZeroU32) -> Self {
        Self { joining, staying }
    }
}

/// How a node stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Standing {
    /// It looks for others.
    Discovering,
    /// It has a place, and waits for whether somebody is before it.
    Joining,
    /// It serves clients.
    Active,
    /// It waits until it may be active.
    Standby {
        /// How many are.
        active: u32,
    },
    /// It was not let in.
    Refused {
        /// How many were before it.
        active: u32,
    },
    /// It was active, and gives way.
    Exceeded {
        /// How many were before it.
        active: u32,
    },
}

/// A node's part in the rule.
#[derive(Debug)]
pub struct Licensing {
    own: NodeId,
    allowance: Allowance,
    /// Whether it waits for a place if there is none.
    waits: bool,
    claim: Claim,
    standing: Standing,
    /// When it began to look, or to join.
    since: Instant,
    over_since: Option<Instant>,
    others: BTreeMap<NodeId, Other>,
}

#[derive(Debug)]
struct Other {
    claim: Claim,
    place: Option<Seniority>,
    /// Since when it is gone, if it is.
    gone_since: Option<Instant>,
    /// Since when it is one too many, if it is, and this node active.
    over_since: Option<Instant>,
}

impl Other {
    fn is_live(&self) -> bool {
        self.gone_since.is_none()
    }

    fn is_refused(&self, now: Instant) -> bool {
        self.over_since.is_some_and(|over| now >= over + GRACE + MARGIN)
    }
}

impl Licensing {
    /// Node `own` starts, at `now`, which its clock calls `started`, in milliseconds since 1970.
    pub fn new(own: NodeId, allowance: Allowance, waits: bool, started: u64, now: Instant) -> Self {
        Self {
            own,
            allowance,
            waits,
            claim: Claim::new(started),
            standing: Standing::Discovering,
            since: now,
            over_since: None,
            others: BTreeMap::new(),
        }
    }

    /// From now on, other numbers hold.
    pub fn set_allowance(&mut self, allowance: Allowance) {
        self.allowance = allowance;
    }

    /// These are the nodes that live, and what they tell. Of those that are gone, `has_left` says
    /// whether that is for certain, so that their places are free.
    pub fn handle_members(
        &mut self,
        live: &BTreeMap<NodeId, Claim>,
        has_left: impl Fn(NodeId) -> bool,
        now: Instant,
    ) {
        let (own, knew_nobody) = (self.own, self.others.is_empty());
        for (&node, claim) in live.iter().filter(|&(&node, _)| node != own) {
            self.hear(node, claim);
        }
        // Who hears of the others late has as much time to hear of all of them.
        if knew_nobody && !self.others.is_empty() && !self.is_decided() {
            self.since = now;
        }
        self.others.retain(|node, other| {
            if !live.contains_key(node) {
                other.gone_since.get_or_insert(now);
            }
            other.is_live() || other.is_refused(now) || !has_left(*node)
        });
    }

    /// Takes the steps that are due. To be called whenever something was heard or lost, and several
    /// times a second.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.forget(now);
        self.hold(now);
        self.judge(now);
        let active = self.rank();
        let may_join = active < self.allowance.joining.get();
        match self.standing {
            Standing::Discovering if now >= self.since + LOOK => self.join(now),
            // Not before: who was before it may just have given up.
            Standing::Joining if now >= self.since + PROBATION => match may_join {
                true => self.standing = Standing::Active,
                false => self.give_up(active),
            },
            Standing::Standby { .. } if may_join => self.join(now),
            Standing::Standby { .. } => self.standing = Standing::Standby { active },
            Standing::Active => self.stay(active, now),
            _ => {}
        }
    }

    /// Whether it matters to this node what becomes of another.
    pub fn knows(&self, node: NodeId) -> bool {
        self.others.contains_key(&node)
    }

    /// What is to be told to all others. It changes when something is handled, and only then.
    pub fn claim(&self) -> &Claim {
        &self.claim
    }

    /// How this node stands.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Who should have given way by now, and has not: nothing is to be had to do with them.
    pub fn refused(&self, now: Instant) -> BTreeSet<NodeId> {
        let refused = self.others.iter().filter(|(_, other)| other.is_refused(now));
        refused.map(|(&node, _)| node).collect()
    }

    fn is_decided(&self) -> bool {
        !matches!(self.standing, Standing::Discovering | Standing::Joining)
    }

    fn hear(&mut self, node: NodeId, claim: &Claim) {
        self.claim.highest = self.claim.highest.max(claim.highest);
        if self.claim.seq == 0 {
            self.claim.lineage = self.claim.lineage.min(claim.lineage);
        }
        let (claim, place) = (claim.clone(), claim.place(node));
        let over_since = self.others.get(&node).and_then(|other| other.over_since);
        self.others.insert(node, Other { claim, place, gone_since: None, over_since });
    }

    fn join(&mut self, now: Instant) {
        let seq = (self.claim.highest + 1).min(Claim::MAX_NUMBER);
        (self.claim.seq, self.claim.highest) = (seq, seq);
        (self.standing, self.since) = (Standing::Joining, now);
    }

    /// There is no place for it.
    fn give_up(&mut self, active: u32) {
        self.claim.seq = 0;
        self.standing = match self.waits {
            true => Standing::Standby { active },
            false => Standing::Refused { active },
        };
    }

    fn stay(&mut self, active: u32, now: Instant) {
        if active < self.allowance.staying.get() {
            self.over_since = None;
        } else if now >= *self.over_since.get_or_insert(now) + GRACE {
            self.claim.seq = 0;
            self.standing = Standing::Exceeded { active };
        }
    }

    /// How many are before this node, as it sees it; all, for one that has no place.
    fn rank(&self) -> u32 {
        let own = self.claim.place(self.own);
        let is_before = |place: Seniority| own.is_none_or(|own| place < own);
        let live = self.others.values().filter(|other| other.is_live());
        let live = live.filter_map(|other| other.place).filter(|&place| is_before(place)).count();
        let is_held = |node: &&NodeId| {
            let place = self.others.get(node).and_then(|other| other.place);
            place.is_none_or(is_before)
        };
        let held = match self.standing {
            Standing::Active => 0,
            _ => self.held().iter().filter(is_held).count(),
        };
        u32::try_from(live + held).unwrap_or(u32::MAX)
    }

    /// Those that are gone and whose places are kept: what this node has lost, and what others tell.
    fn held(&self) -> BTreeSet<NodeId> {
        let told = self.others.values().filter(|other| other.is_live());
        let told = told.flat_map(|other| &other.claim.held);
        let is_live = |node: &NodeId| self.others.get(node).is_some_and(Other::is_live);
        let all = self.claim.held.iter().chain(told);
        all.filter(|node| **node != self.own && !is_live(node)).copied().collect()
    }

    /// Takes note of who is one too many. Only who is active itself has waited for what there is to
    /// hear.
    fn judge(&mut self, now: Instant) {
        if self.standing != Standing::Active {
            return;
        }
        let live = self.others.values().filter(|other| other.is_live());
        let mut places: Vec<_> = live.filter_map(|other| other.place).collect();
        places.extend(self.claim.place(self.own));
        places.sort_unstable();
        let most = usize::try_from(self.allowance.staying.get()).unwrap_or(usize::MAX);
        for other in self.others.values_mut() {
            let before = |place: Seniority| places.partition_point(|&other| other < place);
            let is_over = other.place.is_some_and(|place| before(place) >= most);
            let counts = other.is_live() || other.is_refused(now);
            let since = other.over_since.unwrap_or(now);
            other.over_since = (is_over && counts).then_some(since);
        }
    }

    /// Keeps the places of those that are gone, and says so.
    fn hold(&mut self, now: Instant) {
        let is_lost =
            |other: &Other| !other.is_live() && other.place.is_some() && !other.is_refused(now);
        let lost = self.others.iter().filter(|(_, other)| is_lost(other));
        self.claim.held = lost.map(|(&node, _)| node).take(Claim::MAX_HELD).collect();
    }

    fn forget(&mut self, now: Instant) {
        self.others.retain(|_, other| {
            let remembered_for = if other.is_refused(now) { REFUSED_FOR } else { HOLD };
            let is_recent = |gone| now.saturating_duration_since(gone) < remembered_for;
            other.gone_since.is_none_or(is_recent)
        });
    }
}

#[cfg(test)]
mod tests;
