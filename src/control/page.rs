//! The console: a page that lives on the API, and is part of the crate.
//!
//! There is nothing to build: what browsers get is what stands in `page/`. It loads nothing else, and
//! runs under a policy that lets nothing else be loaded. It holds no secrets: whoever reads it still has
//! to show a token for everything that it asks.

use std::sync::LazyLock;

use axum::{
    Router,
    body::Body,
    extract::Path,
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use ring::digest;

use super::{problem::Problem, server::Desk};

/// A file of the console.
struct File {
    name: &'static str,
    kind: HeaderValue,
    text: &'static str,
    /// Its name in caches, which is another for each version.
    tag: HeaderValue,
}

impl File {
    fn new(name: &'static str, text: &'static str) -> Self {
        let digest = digest::digest(&digest::SHA256, text.as_bytes());
        let hex: String = digest.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        let tag = HeaderValue::try_from(format!("\"{hex}\"")).expect("hexadecimal is ASCII");
        let kind = match name.rsplit('.').next() {
            Some("html") => "text/html; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            _ => "text/javascript; charset=utf-8",
        };
        Self { name, kind: HeaderValue::from_static(kind), text, tag }
    }

    /// The file; or that it is still the same, for who has it. It may be kept, and is asked for again
    /// each time: a node that is started anew may have another.
    fn answer(&self, headers: &HeaderMap) -> Response {
        let known = headers.get_all(header::IF_NONE_MATCH).into_iter().any(|tags| {
            tags.to_str().is_ok_and(|tags| tags.split(',').any(|tag| self.tag == *tag.trim()))
        });
        let mut response = match known {
            true => StatusCode::NOT_MODIFIED.into_response(),
            false => Body::from(Bytes::from_static(self.text.as_bytes())).into_response(),
        };
        let answer = response.headers_mut();
        answer.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        answer.insert(header::CONTENT_TYPE, self.kind.clone());
        answer.insert(header::ETAG, self.tag.clone());
        response
    }
}

/// Names files of `page/`.
macro_rules! files {
    ($($name:literal)*) => { [$(File::new($name, include_str!(concat!("page/", $name)))),*] };
}

/// The page itself, and what it is made of.
static FILES: LazyLock<Box<[File]>> = LazyLock::new(|| {
    Box::new(files! {
        "index.html" "console.css" "console.js" "api.js" "audit.js" "chart.js" "configuration.js"
        "dom.js" "events.js" "format.js" "ledger.js" "licence.js" "live.js" "messages.js" "motes.js" "nodes.js"
        "overview.js" "parts.js" "picture.js" "search.js" "sessions.js" "statistics.js" "topics.js"
    })
});

/// `/` and `/console/{file}`, which take no token.
pub(super) fn routes() -> Router<Desk> {
    let named = async |Path(name): Path<String>, headers: HeaderMap| answer(&name, &headers);
    Router::new()
        .route("/", get(async |headers: HeaderMap| answer("index.html", &headers)))
        .route("/console/{file}", get(named))
}

fn answer(name: &str, headers: &HeaderMap) -> Response {
    let file = FILES.iter().find(|file| file.name == name);
    file.map_or_else(|| Problem::missing("file").into_response(), |file| file.answer(headers))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    #[test]
    fn a_file_is_sent_once_for_each_version() {
        let first = answer("console.js", &HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        assert_eq!(first.headers()[header::CONTENT_TYPE], "text/javascript; charset=utf-8");
        assert_eq!(first.headers()[header::CACHE_CONTROL], "no-cache");
        let tag = first.headers()[header::ETAG].clone();
        let known = HeaderMap::from_iter([(header::IF_NONE_MATCH, tag)]);
        assert_eq!(answer("console.js", &known).status(), StatusCode::NOT_MODIFIED);
        assert_eq!(answer("console.css", &known).status(), StatusCode::OK);
        assert_eq!(answer("Cargo.toml", &known).status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn every_file_that_was_written_is_served() {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/control/page"));
        let written = fs::read_dir(folder).unwrap();
        let written = written.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let written: BTreeSet<_> = written.collect();
        let served: BTreeSet<_> = FILES.iter().map(|file| file.name.to_owned()).collect();
        assert_eq!(served, written);
    }

    /// What would let a value become part of the page, or load something from elsewhere.
    #[test]
    fn nothing_in_it_makes_markup_of_a_value() {
        let doors = [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "DOMParser",
            "srcdoc",
            "eval(",
            "new Function",
            "createContextualFragment",
            "javascript:",
            " style=",
            "setHTML",
        ];
        for file in FILES.iter() {
            for door in doors {
                assert!(!file.text.contains(door), "{} has {door}", file.name);
            }
            let elsewhere = file.text.replace("http://www.w3.org/2000/svg", "");
            assert!(!elsewhere.contains("://"), "{} names another host", file.name);
        }
    }
}
