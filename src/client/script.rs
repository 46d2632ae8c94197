//! The script for browsers, which every node serves where the application has no route.

use std::sync::LazyLock;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use ring::digest;

use super::{Body, responses};

/// A file that belongs to the script.
struct File {
    path: &'static str,
    kind: HeaderValue,
    text: &'static str,
    /// Its name in caches, which is another for each version.
    tag: HeaderValue,
}

impl File {
    fn new(path: &'static str, kind: &'static str, text: &'static str) -> Self {
        let digest = digest::digest(&digest::SHA256, text.as_bytes());
        let hex: String = digest.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        let tag = HeaderValue::try_from(format!("\"{hex}\"")).expect("hexadecimal is ASCII");
        Self { path, kind: HeaderValue::from_static(kind), text, tag }
    }
}

static FILES: LazyLock<[File; 3]> = LazyLock::new(|| {
    [
        File::new("/exosphere.js", JAVASCRIPT, include_str!("script/exosphere.js")),
        File::new("/exosphere.mjs", JAVASCRIPT, include_str!("script/exosphere.mjs")),
        File::new("/exosphere.d.ts", TEXT, include_str!("script/exosphere.d.ts")),
    ]
});

/// The answer to a request for a file of the script; `None` if it is for something else.
///
/// It may be kept, and is asked for again each time: a node that is started anew may have another.
pub(super) fn answer(method: &Method, path: &str, headers: &HeaderMap) -> Option<Response<Body>> {
    let file = FILES.iter().find(|file| file.path == path)?;
    if !matches!(*method, Method::GET | Method::HEAD) {
        return None;
    }
    let mut response = Response::new(Body::default());
    let known = headers.get_all(header::IF_NONE_MATCH).into_iter().any(|tags| {
        tags.to_str().is_ok_and(|tags| tags.split(',').any(|tag| file.tag == *tag.trim()))
    });
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else if *method == Method::GET {
        *response.body_mut() = Body::from(Bytes::from_static(file.text.as_bytes()));
    }
    let answer = response.headers_mut();
    responses::common(answer);
    for uncached in [header::EXPIRES, header::PRAGMA] {
        answer.remove(uncached);
    }
    answer.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer.insert(header::CONTENT_TYPE, file.kind.clone());
    answer.insert(header::ETAG, file.tag.clone());
    Some(response)
}

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn the_script_is_sent_once_for_each_version() {
        let ask = |path: &str, tag: Option<&HeaderValue>| {
            let tags = tag.map(|tag| (header::IF_NONE_MATCH, tag.clone()));
            answer(&Method::GET, path, &HeaderMap::from_iter(tags))
        };
        let first = ask("/exosphere.js", None).unwrap();
        let tag = first.headers()[header::ETAG].clone();
        assert_eq!(first.headers()[header::CONTENT_TYPE], JAVASCRIPT);
        assert_eq!(first.headers()[header::CACHE_CONTROL], "no-cache");
        assert_eq!(first.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        let script = first.into_body().collect().await.unwrap().to_bytes();
        assert!(script.starts_with(b"// exosphere.js: "));

        let again = ask("/exosphere.js", Some(&tag)).unwrap();
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        assert!(again.into_body().collect().await.unwrap().to_bytes().is_empty());
        let other = ask("/exosphere.mjs", Some(&tag)).unwrap();
        assert_eq!(other.status(), StatusCode::OK);

        assert!(ask("/exosphere.css", None).is_none());
        assert!(answer(&Method::POST, "/exosphere.js", &HeaderMap::new()).is_none());
    }
}
