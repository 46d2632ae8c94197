//! Keeps a node to what its licences allow: tells the others of its place, hears of theirs, and says
//! whether it may serve clients. The rule itself is that of [`Licensing`].

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::watch;
use tracing::{info, warn};

use crate::{
    id::NodeId,
    license::{License, Licenses, NotInForce, Terms},
    proto::licensing::{Licensing, Papers, Standing},
};

/// Whether a node may serve clients.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Permit {
    /// That is not known yet.
    Pending,
    /// It may.
    Granted,
    /// It may not, or no longer.
    Denied(Denied),
}

/// Why a node may not serve clients.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Denied {
    /// How many may.
    pub(crate) max: u32,
    /// How many did before it.
    pub(crate) active: u32,
    /// Why the licence does not count that would have let it.
    pub(crate) reason: Option<NotInForce>,
}

/// What a node is licensed for, now and whenever that changes.
#[derive(Clone, Debug)]
pub(super) struct Licensed {
    /// Whether it may serve clients.
    pub(super) permits: watch::Receiver<Permit>,
    /// The licence that holds.
    pub(super) license: watch::Receiver<Option<License>>,
}

/// How often a licence that ends, or has ended, is warned of.
const WARN_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// A node's part in keeping to the licences.
#[derive(Debug)]
pub(super) struct Warden {
    rule: Licensing,
    licenses: Licenses,
    permit: watch::Sender<Permit>,
    license: watch::Sender<Option<License>>,
    warned: Option<(String, Instant)>,
}

impl Warden {
    /// For node `own` of `cluster`, which starts now.
    pub(super) fn new(
        own: NodeId,
        terms: Terms,
        cluster: &str,
        now: Instant,
        wall: SystemTime,
    ) -> Self {
        let waits = terms.waits;
        let licenses = Licenses::new(terms, cluster.to_owned(), wall);
        let since = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let started = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let rule = Licensing::new(own, licenses.allowance(wall), waits, started, now);
        let permit = watch::Sender::new(Permit::Pending);
        let license = watch::Sender::new(licenses.in_force(wall).cloned());
        Self { rule, licenses, permit, license, warned: None }
    }

    /// What this sees to, to be watched.
    pub(super) fn licensed(&self) -> Licensed {
        Licensed { permits: self.permit.subscribe(), license: self.license.subscribe() }
    }

    /// These are the members that live and are under a limit. Of those that are gone, `has_left` says
    /// whether that is for certain. To be called several times a second.
    pub(super) fn handle_members(
        &mut self,
        members: &BTreeMap<NodeId, Papers>,
        has_left: impl Fn(NodeId) -> bool,
        now: Instant,
        wall: SystemTime,
    ) {
        let tokens = members.values().filter_map(|told| told.token.clone()).collect();
        self.licenses.handle_shown(&tokens, wall);
        let claims = members.iter().map(|(&node, told)| (node, told.claim.clone())).collect();
        self.rule.handle_members(&claims, has_left, now);
        self.rule.set_allowance(self.licenses.allowance(wall));
        self.rule.handle_timeout(now);
        let permit = self.decide(wall);
        if *self.permit.borrow() != permit {
            info!(?permit, "licensed");
            self.permit.send_replace(permit);
        }
        let in_force = self.licenses.in_force(wall);
        if self.license.borrow().as_ref() != in_force {
            self.license.send_replace(in_force.cloned());
        }
        self.warn(now, wall);
    }

    /// What to tell the others.
    pub(super) fn papers(&self, wall: SystemTime) -> Papers {
        Papers::new(self.rule.claim().clone(), self.licenses.token(wall))
    }

    /// Whether it matters to this node what becomes of another.
    pub(super) fn knows(&self, node: NodeId) -> bool {
        self.rule.knows(node)
    }

    /// Members to have nothing to do with: they should have given way by now.
    pub(super) fn refused(&self, now: Instant) -> BTreeSet<NodeId> {
        self.rule.refused(now)
    }

    fn decide(&self, wall: SystemTime) -> Permit {
        let allowance = self.licenses.allowance(wall);
        match self.rule.standing() {
            Standing::Active => Permit::Granted,
            Standing::Refused { active } => Permit::Denied(Denied {
                max: allowance.joining.get(),
                active,
                reason: self.licenses.not_in_force(wall),
            }),
            Standing::Exceeded { active } => {
                Permit::Denied(Denied { max: allowance.staying.get(), active, reason: None })
            }
            _ => Permit::Pending,
        }
    }

    fn warn(&mut self, now: Instant, wall: SystemTime) {
        let Some(concern) = self.licenses.concern(wall) else { return };
        let is_old =
            |(before, at): &(String, Instant)| *before == concern && now < *at + WARN_EVERY;
        if !self.warned.as_ref().is_some_and(is_old) {
            warn!("{concern}");
            self.warned = Some((concern, now));
        }
    }
}
