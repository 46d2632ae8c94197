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
    /// What seals, and what else is opened.
    seals: (Seal, Vec<Seal>),
    /// Whether pages of other sites may be clients.
    is_for_other_sites: bool,
}

/// What cookies are sealed with.
struct Seal {
    key: hmac::Key,
    /// Of two clusters on one host, as of two nodes on one machine, each has cookies of its own.
    name: String,
}

impl Seal {
    fn new(key: &[u8]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        let tag = hmac::sign(&key, b"name");
        let tag: String = tag.as_ref()[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        Self { key, name: format!("exosphere-{tag}") }
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

impl Cookies {
    /// The cookies of the cluster that has these keys, for pages of other sites too, or not: sealed
    /// by the first, which all nodes can open. None if there are no keys.
    pub(crate) fn new(keys: &[[u8; 32]], is_for_other_sites: bool) -> Option<Self> {
        let (first, others) = keys.split_first()?;
        let others = others.iter().map(|key| Seal::new(key)).collect();
        Some(Self { seals: (Seal::new(first), others), is_for_other_sites })
    }

    /// The browser that sent these headers, if it shows a cookie of this cluster's.
    pub(crate) fn read(&self, headers: &HeaderMap) -> Option<BrowserId> {
        let cookies = headers.get_all(header::COOKIE).into_iter();
        let mut pairs = cookies.filter_map(|it| it.to_str().ok()).flat_map(|it| it.split(';'));
        pairs.find_map(|pair| {
            let (name, value) = pair.trim().split_once('=')?;
            let mut seals = std::iter::once(&self.seals.0).chain(&self.seals.1);
            seals.find(|seal| seal.name == name)?.open(value)
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
        let seal = &self.seals.0;
        let cookie = format!("{}={}; Path=/; HttpOnly{reach}", seal.name, seal.seal(browser));
        HeaderValue::try_from(cookie).expect("a cookie is ASCII")
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
        f.debug_struct("Cookies").field("name", &self.seals.0.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(cookies: &Cookies, value: &str) -> Option<BrowserId> {
        cookies.read(&HeaderMap::from_iter([(header::COOKIE, value.parse().unwrap())]))
    }

    fn cookies(keys: &[[u8; 32]], is_for_other_sites: bool) -> Cookies {
        Cookies::new(keys, is_for_other_sites).unwrap()
    }

    /// What a browser sends back.
    fn shown(cookies: &Cookies) -> String {
        let set = cookies.fresh(false);
        set.to_str().unwrap().split(';').next().unwrap().to_owned()
    }

    #[test]
    fn a_browser_is_known_by_its_cookie_on_every_node_of_the_cluster() {
        let (one, same) = (cookies(&[[1; 32]], false), cookies(&[[1; 32]], true));
        let (first, second) = (shown(&one), shown(&one));
        let browser = read(&one, &first).unwrap();
        assert_eq!(read(&same, &first), Some(browser));
        assert_eq!(read(&one, &format!("a=b; {first};c")), Some(browser));
        let invalid = format!("{}=AAAA", first.split('=').next().unwrap());
        assert_eq!(read(&one, &format!("{invalid}; {first}")), Some(browser));
        assert_ne!(read(&one, &second), Some(browser));
        assert!(Cookies::new(&[], false).is_none());
    }

    #[test]
    fn a_cookie_of_any_key_that_is_accepted_is_known_while_keys_change() {
        let (old, new) = (cookies(&[[1; 32], [2; 32]], false), cookies(&[[2; 32], [1; 32]], false));
        let [of_old, of_new] = [shown(&old), shown(&new)];
        for cookie in [of_old, of_new] {
            assert!(read(&old, &cookie).is_some());
            assert_eq!(read(&old, &cookie), read(&new, &cookie));
        }
    }

    /// Goal: no cookie but one that a node of the cluster made is taken for one.
    ///
    /// Method: every character of one is changed, and what is left of it is cut at every place.
    #[test]
    fn a_cookie_cannot_be_forged() {
        let one = cookies(&[[1; 32]], false);
        let whole = shown(&one);
        let start = whole.find('=').unwrap() + 1;
        for at in start..whole.len() {
            let other = if &whole[at..=at] == "A" { "E" } else { "A" };
            let changed = format!("{}{other}{}", &whole[..at], &whole[at + 1..]);
            assert_eq!(read(&one, &changed), None, "{changed}");
            assert_eq!(read(&one, &whole[..at]), None, "{at}");
        }
        assert_eq!(read(&one, &format!("{whole}A")), None);
        let foreign = cookies(&[[2; 32]], false);
        let value = shown(&foreign).split_once('=').unwrap().1.to_owned();
        assert_eq!(read(&one, &format!("{}={value}", one.seals.0.name)), None);
        assert_eq!(read(&one, &shown(&foreign)), None, "it has another name");
    }

    #[test]
    fn a_cookie_is_for_the_node_alone_and_for_other_sites_only_over_tls() {
        let set = |other_sites, is_secure| {
            let set = cookies(&[[1; 32]], other_sites).fresh(is_secure);
            let (_, attributes) = set.to_str().unwrap().split_once("; ").unwrap();
            attributes.to_owned()
        };
        assert_eq!(set(false, false), "Path=/; HttpOnly; SameSite=Lax");
        assert_eq!(set(true, false), "Path=/; HttpOnly; SameSite=Lax");
        assert_eq!(set(false, true), "Path=/; HttpOnly; SameSite=Lax; Secure");
        assert_eq!(set(true, true), "Path=/; HttpOnly; SameSite=None; Secure");
    }
}
