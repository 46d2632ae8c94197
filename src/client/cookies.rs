//! The cookie of a browser: which browser it is, sealed by the cluster.
//!
//! A page cannot read it, and nobody can make one without the cluster's key. It says nothing of any
//! session: all tabs of a browser share it, and a session that was begun by a request with it is
//! found by requests with it alone. A browser that does not have it yet is given one, and is bound by
//! it from its next session on: who does not keep cookies, such as a program, is never bound.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, header};
use ring::hmac;
use uuid::Uuid;

use crate::id::BrowserId;

/// Reads and makes the cookies of browsers.
pub(crate) struct Cookies {
    key: hmac::Key,
    /// Of two clusters on one host, as of two nodes on one machine, each has cookies of its own.
    name: String,
    /// Whether pages of other sites may be clients.
    is_for_other_sites: bool,
}

impl Cookies {
    /// The cookies of the cluster that has this key, for pages of other sites too, or not.
    pub(crate) fn new(key: &[u8], is_for_other_sites: bool) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        let tag = hmac::sign(&key, b"name");
        let tag: String = tag.as_ref()[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        Self { key, name: format!("exosphere-{tag}"), is_for_other_sites }
    }

    /// The browser that sent these headers, if it shows a cookie of this cluster's.
    pub(crate) fn read(&self, headers: &HeaderMap) -> Option<BrowserId> {
        let cookies = headers.get_all(header::COOKIE).into_iter();
        let mut pairs = cookies.filter_map(|it| it.to_str().ok()).flat_map(|it| it.split(';'));
        pairs.find_map(|pair| {
            let (name, value) = pair.trim().split_once('=')?;
            (name == self.name).then(|| self.open(value)).flatten()
        })
    }

    /// A cookie for a browser that has none, for the value of `Set-Cookie`.
    pub(crate) fn fresh(&self, is_secure: bool) -> HeaderValue {
        let browser = BrowserId::from_bits(Uuid::new_v4().as_u128());
        // A browser takes a cookie from another site only over TLS.
        let reach = match (is_secure, self.is_for_other_sites) {
            (true, true) => "; SameSite=None; Secure",
            (true, false) => "; SameSite=Lax; Secure",
            (false, _) => "; SameSite=Lax",
        };
        let cookie = format!("{}={}; Path=/; HttpOnly{reach}", self.name, self.seal(browser));
        HeaderValue::try_from(cookie).expect("a cookie is ASCII")
    }

    fn seal(&self, browser: BrowserId) -> String {
        let id = browser.to_bits().to_be_bytes();
        let tag = hmac::sign(&self.key, &sealed(id));
        URL_SAFE_NO_PAD.encode([&id[..], tag.as_ref()].concat())
    }

    fn open(&self, value: &str) -> Option<BrowserId> {
        let bytes = URL_SAFE_NO_PAD.decode(value).ok()?;
        let (id, tag) = bytes.split_first_chunk::<ID_BYTES>()?;
        hmac::verify(&self.key, &sealed(*id), tag).ok()?;
        Some(BrowserId::from_bits(u128::from_be_bytes(*id)))
    }
}

/// What is signed of a browser's id: nothing else that this key signs begins so.
fn sealed(id: [u8; ID_BYTES]) -> [u8; ID_BYTES + 1] {
    let mut sealed = [0; ID_BYTES + 1];
    sealed[1..].copy_from_slice(&id);
    sealed
}

const ID_BYTES: usize = 16;

impl fmt::Debug for Cookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cookies").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(cookies: &Cookies, value: &str) -> Option<BrowserId> {
        cookies.read(&HeaderMap::from_iter([(header::COOKIE, value.parse().unwrap())]))
    }

    /// What a browser sends back.
    fn shown(cookies: &Cookies) -> String {
        let set = cookies.fresh(false);
        set.to_str().unwrap().split(';').next().unwrap().to_owned()
    }

    #[test]
    fn a_browser_is_known_by_its_cookie_on_every_node_of_the_cluster() {
        let (one, same) = (Cookies::new(&[1; 32], false), Cookies::new(&[1; 32], true));
        let (first, second) = (shown(&one), shown(&one));
        let browser = read(&one, &first).unwrap();
        assert_eq!(read(&same, &first), Some(browser));
        assert_eq!(read(&one, &format!("a=b; {first};c")), Some(browser));
        let invalid = format!("{}=AAAA", first.split('=').next().unwrap());
        assert_eq!(read(&one, &format!("{invalid}; {first}")), Some(browser));
        assert_ne!(read(&one, &second), Some(browser));
    }

    /// Goal: no cookie but one that a node of the cluster made is taken for one.
    ///
    /// Method: every character of one is changed, and what is left of it is cut at every place.
    #[test]
    fn a_cookie_cannot_be_forged() {
        let cookies = Cookies::new(&[1; 32], false);
        let whole = shown(&cookies);
        let start = whole.find('=').unwrap() + 1;
        for at in start..whole.len() {
            let other = if &whole[at..=at] == "A" { "E" } else { "A" };
            let changed = format!("{}{other}{}", &whole[..at], &whole[at + 1..]);
            assert_eq!(read(&cookies, &changed), None, "{changed}");
            assert_eq!(read(&cookies, &whole[..at]), None, "{at}");
        }
        assert_eq!(read(&cookies, &format!("{whole}A")), None);
        let foreign = Cookies::new(&[2; 32], false);
        let value = shown(&foreign).split_once('=').unwrap().1.to_owned();
        assert_eq!(read(&cookies, &format!("{}={value}", cookies.name)), None);
        assert_eq!(read(&cookies, &shown(&foreign)), None, "it has another name");
    }

    #[test]
    fn a_cookie_is_for_the_node_alone_and_for_other_sites_only_over_tls() {
        let set = |other_sites, is_secure| {
            let set = Cookies::new(&[1; 32], other_sites).fresh(is_secure);
            let (_, attributes) = set.to_str().unwrap().split_once("; ").unwrap();
            attributes.to_owned()
        };
        assert_eq!(set(false, false), "Path=/; HttpOnly; SameSite=Lax");
        assert_eq!(set(true, false), "Path=/; HttpOnly; SameSite=Lax");
        assert_eq!(set(false, true), "Path=/; HttpOnly; SameSite=Lax; Secure");
        assert_eq!(set(true, true), "Path=/; HttpOnly; SameSite=None; Secure");
    }
}
