//! The licences that a node knows of.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
    sync::Arc,
    time::SystemTime,
};

use super::{License, NotInForce, PublicKey, Terms, grant::DAY, validity::Validity};
use crate::proto::licensing::Allowance;

/// The licences that a node knows of: its own, and those that others show it. The best one holds for
/// all who trust its vendor; they are not added up.
#[derive(Debug)]
pub(crate) struct Licenses {
    cluster: String,
    vendors: Vec<PublicKey>,
    /// How many may be active without any.
    unlicensed: NonZeroU32,
    /// Its own, or a better one: which is kept, whoever showed it goes.
    best: Option<License>,
    /// How many may stay, which becomes no less for as long as the node runs.
    staying: NonZeroU32,
    /// What others show, and what that is.
    shown: BTreeMap<Arc<str>, Option<License>>,
}

impl Licenses {
    /// How long before a licence ends that is worth a warning, in days.
    const WARNING_DAYS: u32 = 30;

    /// What a node of `cluster` knows at its start.
    pub(crate) fn new(terms: Terms, cluster: String, now: SystemTime) -> Self {
        let Terms { license, mut vendors, unlicensed, .. } = terms;
        vendors.extend(license.iter().flat_map(|license| &*license.vendors));
        let unlicensed = unlicensed.unwrap_or(NonZeroU32::MIN);
        let (best, staying, shown) = (license, unlicensed, BTreeMap::new());
        let mut licenses = Self { cluster, vendors, unlicensed, best, staying, shown };
        licenses.settle(now);
        licenses
    }

    /// These are the tokens that others show now. What is none, or of a vendor that this node does not
    /// trust, is ignored.
    pub(crate) fn handle_shown(&mut self, tokens: &BTreeSet<Arc<str>>, now: SystemTime) {
        self.shown.retain(|token, _| tokens.contains(token));
        for token in tokens {
            let vendors = &self.vendors;
            let read = || License::verify(&**token, vendors).ok();
            self.shown.entry(Arc::clone(token)).or_insert_with(read);
        }
        self.settle(now);
    }

    /// How many may be active by what holds now.
    pub(crate) fn allowance(&self, now: SystemTime) -> Allowance {
        let licensed = self.in_force(now).map_or(NonZeroU32::MIN, License::max_nodes);
        Allowance::new(licensed.max(self.unlicensed), self.staying)
    }

    /// The one that holds now.
    pub(crate) fn in_force(&self, now: SystemTime) -> Option<&License> {
        self.best.as_ref().filter(|best| self.check(best, now).is_ok())
    }

    /// The token to show to others, if one is of any use to them.
    pub(crate) fn token(&self, now: SystemTime) -> Option<Arc<str>> {
        let best = self.best.as_ref().filter(|best| self.has_begun(best, now))?;
        Some(Arc::clone(&best.token))
    }

    /// Why the best there is does not count, if it does not.
    pub(crate) fn not_in_force(&self, now: SystemTime) -> Option<NotInForce> {
        self.check(self.best.as_ref()?, now).err()
    }

    /// What an operator should look after, in words, which change only when it does.
    pub(crate) fn concern(&self, now: SystemTime) -> Option<String> {
        let best = self.best.as_ref()?;
        if let Err(reason) = self.check(best, now) {
            return Some(format!("{reason}: the nodes that run go on, and no further one starts"));
        }
        let (customer, end) = (&best.grant.customer, best.grant.end()?);
        match best.validity(now) {
            Validity::Grace => Some(format!(
                "the licence of {customer} ended on {end}: nodes start for {} days after that",
                best.grant.grace_days
            )),
            _ if best.validity(now + DAY * Self::WARNING_DAYS) > Validity::Valid => {
                Some(format!("the licence of {customer} ends on {end}: ask for a new one"))
            }
            _ => None,
        }
    }

    /// Finds the best one: first of all one that counts now, then the one for the most nodes.
    fn settle(&mut self, now: SystemTime) {
        let all = self.best.iter().chain(self.shown.values().flatten());
        let staying = all.clone().filter(|license| self.has_begun(license, now));
        self.staying = staying.map(License::max_nodes).fold(self.staying, NonZeroU32::max);
        let worth = |license: &&License| {
            let end = license.grant.expires.unwrap_or(u64::MAX);
            let token = Arc::clone(&license.token);
            (self.check(license, now).is_ok(), license.max_nodes(), end, token)
        };
        self.best = all.max_by_key(worth).cloned();
    }

    /// Whether it counts, or has.
    fn has_begun(&self, license: &License, now: SystemTime) -> bool {
        matches!(self.check(license, now), Ok(()) | Err(NotInForce::Expired { .. }))
    }

    fn check(&self, license: &License, now: SystemTime) -> Result<(), NotInForce> {
        license.check(&self.cluster, now)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::Grant, *};
    use crate::license::SigningKey;

    const DAYS: u64 = 24 * 60 * 60;

    fn day(day: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(day * DAYS)
    }

    fn vendor() -> SigningKey {
        SigningKey::from_bytes([7; 32])
    }

    /// For so many nodes, from day 100 on for 100 days, with 14 days of grace.
    fn license(nodes: u32) -> License {
        vendor().issue(&Grant::new("Example Ltd", nodes).unwrap().for_days(day(100), 100)).unwrap()
    }

    fn licenses(license: Option<License>, unlicensed: Option<u32>) -> Licenses {
        let unlicensed = unlicensed.and_then(NonZeroU32::new);
        let vendors = vec![vendor().public_key()];
        let terms = Terms { license, vendors, unlicensed, waits: false };
        Licenses::new(terms, "chat".to_owned(), day(100))
    }

    fn allowed(licenses: &Licenses, at: u64) -> (u32, u32) {
        let allowance = licenses.allowance(day(at));
        (allowance.joining.get(), allowance.staying.get())
    }

    fn show(licenses: &mut Licenses, shown: &[&License], at: u64) {
        let tokens = shown.iter().map(|license| Arc::clone(&license.token)).collect();
        licenses.handle_shown(&tokens, day(at));
    }

    #[test]
    fn what_ends_lets_nobody_join_but_the_first_and_everybody_stay() {
        let licenses = licenses(Some(license(4)), None);
        assert_eq!(allowed(&licenses, 100), (4, 4));
        assert_eq!(allowed(&licenses, 213), (4, 4), "a day of grace is left");
        assert_eq!(allowed(&licenses, 214), (1, 4));
        assert_eq!(allowed(&licenses, 99), (1, 4), "a clock may be set back");
    }

    #[test]
    fn the_best_one_that_is_shown_is_kept_and_shown_on() {
        let mut ours = licenses(Some(license(4)), None);
        show(&mut ours, &[&license(9), &license(7)], 100);
        assert_eq!(allowed(&ours, 100), (9, 9));
        show(&mut ours, &[], 100);
        assert_eq!(allowed(&ours, 100), (9, 9));
        let mut others = licenses(None, Some(2));
        assert_eq!((allowed(&others, 100), others.token(day(100))), ((2, 2), None));
        others.handle_shown(&ours.token(day(100)).into_iter().collect(), day(100));
        assert_eq!(allowed(&others, 100), (9, 9));
        assert_eq!(allowed(&others, 214), (2, 9));
        // One that counts is better than one for more that does not.
        let renewed = vendor().issue(&Grant::new("Example Ltd", 3).unwrap()).unwrap();
        show(&mut others, &[&renewed], 214);
        assert_eq!(allowed(&others, 214), (3, 9));
    }

    #[test]
    fn what_is_of_no_vendor_of_ours_is_ignored() {
        let ours = license(4);
        let mut licenses = licenses(Some(ours.clone()), None);
        let grant = Grant::new("Example Ltd", 99).unwrap();
        let forged = SigningKey::from_bytes([8; 32]).issue(&grant).unwrap();
        let elsewhere = Grant { cluster: Some("other".to_owned()), ..grant };
        let elsewhere = vendor().issue(&elsewhere).unwrap();
        show(&mut licenses, &[&forged, &elsewhere], 100);
        let more = BTreeSet::from(["EXO1.x.y".into(), "".into(), "x".repeat(9_999).into()]);
        licenses.handle_shown(&more, day(100));
        assert_eq!(allowed(&licenses, 100), (4, 4));
        assert_eq!(licenses.token(day(100)), Some(ours.token));
    }

    #[test]
    fn one_that_does_not_count_lets_the_first_node_start_and_says_why() {
        let early = licenses(Some(license(4)), None);
        let reason = early.not_in_force(day(99)).unwrap();
        assert_eq!(reason.to_string(), "the licence of Example Ltd begins on 1970-04-11");
        let grant = Grant { cluster: Some("other".to_owned()), ..Grant::new("a", 4).unwrap() };
        let other = licenses(Some(vendor().issue(&grant).unwrap()), None);
        assert_eq!(allowed(&other, 100), (1, 1));
        assert!(matches!(other.not_in_force(day(100)), Some(NotInForce::OtherCluster { .. })));
        assert_eq!(other.token(day(100)), None);
    }

    #[test]
    fn an_operator_is_warned_a_month_before_and_ever_after() {
        let licenses = licenses(Some(license(4)), None);
        let concern = |at| licenses.concern(day(at));
        assert_eq!(concern(169), None);
        let ends = "the licence of Example Ltd ends on 1970-07-20: ask for a new one";
        assert_eq!(concern(170).as_deref(), Some(ends));
        assert_eq!(concern(199).as_deref(), Some(ends));
        assert!(concern(200).unwrap().contains("nodes start for 14 days"));
        assert!(concern(213).unwrap().contains("nodes start for 14 days"));
        assert!(concern(214).unwrap().contains("no further one starts"));
    }
}
