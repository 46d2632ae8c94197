//! Whom a session belongs to.

use serde::{Deserialize, Serialize};

use crate::id::{BrowserId, Principal};

/// Whom a session belongs to, beside knowing its id: what the request that began it showed. It never
/// changes, and goes with the session wherever that goes.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Holder {
    /// Who the client is, if the application has said so.
    pub principal: Option<Principal>,
    /// The client's browser, if that has shown its cookie.
    pub browser: Option<BrowserId>,
}

impl Holder {
    /// Who has shown this.
    pub const fn new(principal: Option<Principal>, browser: Option<BrowserId>) -> Self {
        Self { principal, browser }
    }

    /// Whether who shows `shown` may use what belongs to this.
    ///
    /// The principal is the very same, or there is none with either: who signs in, or out, begins
    /// anew. A browser is asked for only where the session has one, as programs keep no cookies.
    pub fn admits(&self, shown: &Self) -> bool {
        let is_browser = self.browser.is_none() || self.browser == shown.browser;
        self.principal == shown.principal && is_browser
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_principal_is_admitted_and_only_the_same_browser_if_there_is_one() {
        let principals = [None, Some("alice"), Some("bob")];
        let principals = principals.map(|it| it.map(|name| Principal::new(name).unwrap()));
        let browsers = [None, Some(1), Some(2)].map(|it| it.map(BrowserId::from_bits));
        let all = || principals.iter().flat_map(|it| browsers.map(|browser| (it.clone(), browser)));
        for (principal, browser) in all() {
            let holder = Holder::new(principal.clone(), browser);
            for (shown, by) in all() {
                let is_admitted = holder.admits(&Holder::new(shown.clone(), by));
                let expected = shown == principal && (browser.is_none() || by == browser);
                assert_eq!(is_admitted, expected, "{holder:?} {shown:?} {by:?}");
            }
        }
    }
}
