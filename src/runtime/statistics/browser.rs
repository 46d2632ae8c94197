//! Which kind of program a client is, by what it says of itself.

/// A kind of program that clients are.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Browser {
    /// Chrome, Chromium, and what is built on it and does not say so otherwise.
    Chrome,
    /// Microsoft Edge.
    Edge,
    /// Firefox.
    Firefox,
    /// Opera.
    Opera,
    /// Safari.
    Safari,
    /// It says what it is, and that is none of the others: a program, mostly.
    Other,
    /// It does not say what it is.
    Unnamed,
}

impl Browser {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Chrome,
        Self::Edge,
        Self::Firefox,
        Self::Opera,
        Self::Safari,
        Self::Other,
        Self::Unnamed,
    ];

    /// Which one it is that says this, as its `User-Agent`.
    pub fn of(user_agent: Option<&str>) -> Self {
        // Each says that it is those that were there before it, so the last comes first.
        let names = [
            ("Edg", Self::Edge),
            ("OPR/", Self::Opera),
            ("Opera", Self::Opera),
            ("Firefox/", Self::Firefox),
            ("FxiOS/", Self::Firefox),
            ("Chrome/", Self::Chrome),
            ("CriOS/", Self::Chrome),
            ("Safari/", Self::Safari),
        ];
        let Some(said) = user_agent.filter(|said| !said.is_empty()) else {
            return Self::Unnamed;
        };
        let found = names.into_iter().find(|(name, _)| said.contains(name));
        found.map_or(Self::Other, |(_, browser)| browser)
    }

    /// Its name, in small letters.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chrome => "chrome",
            Self::Edge => "edge",
            Self::Firefox => "firefox",
            Self::Opera => "opera",
            Self::Safari => "safari",
            Self::Other => "other",
            Self::Unnamed => "unnamed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_told_apart_though_each_says_that_it_is_all_of_them() {
        let like = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)";
        let said = |rest: &str| Browser::of(Some(&format!("{like} {rest}")));
        assert_eq!(said("Chrome/126.0.0.0 Safari/537.36"), Browser::Chrome);
        assert_eq!(said("Chrome/126.0.0.0 Safari/537.36 Edg/126.0"), Browser::Edge);
        assert_eq!(said("Chrome/126.0.0.0 Safari/537.36 OPR/111.0"), Browser::Opera);
        assert_eq!(said("Version/17.5 Safari/605.1.15"), Browser::Safari);
        assert_eq!(said("CriOS/126.0 Mobile/15E148 Safari/604.1"), Browser::Chrome);
        let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0";
        assert_eq!(Browser::of(Some(firefox)), Browser::Firefox);
        assert_eq!(Browser::of(Some("curl/8.8.0")), Browser::Other);
        assert_eq!(Browser::of(Some("")), Browser::Unnamed);
        assert_eq!(Browser::of(None), Browser::Unnamed);
    }
}
