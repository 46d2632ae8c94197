//! A node's HTTP API, asked.

use std::{borrow::Cow, error::Error, fmt, fs, path::Path, time::Duration};

use serde_json::Value;
use ureq::{
    Agent,
    http::Uri,
    tls::{PemItem, RootCerts, TlsConfig, parse_pem},
};

use crate::table::plain;

/// How long an answer may take: longer than a node waits for its peers.
const PATIENCE: Duration = Duration::from_secs(15);

/// A node's HTTP API.
pub(crate) struct Api {
    agent: Agent,
    /// `scheme://host:port`.
    origin: String,
    token: String,
}

impl Api {
    /// The API at `url`, which may be a link with its token.
    pub(crate) fn new(
        url: &str,
        token: Option<&str>,
        ca: Option<&Path>,
    ) -> Result<Self, Box<dyn Error>> {
        let uri: Uri = url.parse().map_err(|_| format!("{url:?} is no URL"))?;
        let (scheme, authority) =
            uri.scheme_str().zip(uri.authority()).ok_or("the URL is http://HOST:PORT")?;
        let mut in_link = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        let in_link = in_link.find(|(name, _)| name == "token").map(|(_, token)| token);
        let token = token.map(Cow::Borrowed).or(in_link);
        let token = token.ok_or("there is no token: give --token, or EXOSPHERE_TOKEN")?;
        let mut config = Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            .user_agent(concat!("exosphere/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = ca {
            let pem = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
            let certificates = parse_pem(&pem).filter_map(|item| match item {
                Ok(PemItem::Certificate(certificate)) => Some(certificate),
                _ => None,
            });
            let roots = RootCerts::from(certificates);
            config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        Ok(Self {
            agent: config.build().into(),
            origin: format!("{scheme}://{authority}"),
            token: token.into_owned(),
        })
    }

    /// Reads something. An error is [`Silence`] if there is no answer at all.
    pub(crate) fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, Box<dyn Error>> {
        let request = self.agent.get(format!("{}/api/v1/{path}", self.origin));
        let request = request.query_pairs(query.iter().copied());
        self.read(request.header("Authorization", format!("Bearer {}", self.token)).call())
    }

    /// Has something done.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value, Box<dyn Error>> {
        let request = self.agent.post(format!("{}/api/v1/{path}", self.origin));
        self.read(request.header("Authorization", format!("Bearer {}", self.token)).send_json(body))
    }

    /// What is answered; an error says what helps.
    fn read(
        &self,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Value, Box<dyn Error>> {
        let origin = &self.origin;
        let silent = |error| Silence(format!("{origin} cannot be asked: {error}; {WHERE}"));
        let mut answer = answer.map_err(silent)?;
        let status = answer.status();
        let value: Option<Value> = answer.body_mut().read_json().ok();
        let detail = value.as_ref().and_then(|problem| problem["detail"].as_str());
        match (&value, detail) {
            (Some(_), _) if status.is_success() => Ok(value.unwrap_or_default()),
            (_, None) => {
                Err(format!("{origin} answers {status}, but not as Tower Control: {WHERE}").into())
            }
            _ if status.as_u16() == 401 => {
                Err(format!("{origin} does not know this token: {WHICH_TOKEN}").into())
            }
            (_, Some(detail)) => Err(format!("{status}: {}", plain(detail)).into()),
        }
    }
}

/// Why there is no answer at all, and what helps.
#[derive(Debug)]
pub(crate) struct Silence(String);

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Silence {}

/// What helps who asked where there is no Tower Control.
const WHERE: &str = "--url, or EXOSPHERE_URL, is to be where a node serves Tower Control, \
                     which is not where its clients connect";

/// What helps who showed a token that nobody was given.
const WHICH_TOKEN: &str = "--token, or EXOSPHERE_TOKEN, or the link at --url, is to have one that \
                           the node was given; they are lost when it ends if it made them up itself";

/// Text, as it stands in a path.
pub(crate) fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte.is_ascii_alphanumeric() {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}
