//! A node's HTTP API, asked.

use std::{error::Error, fs, path::Path, time::Duration};

use serde_json::Value;
use ureq::{
    Agent,
    http::Uri,
    tls::{PemItem, RootCerts, TlsConfig, parse_pem},
};

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
        let in_link = uri.query().unwrap_or_default().split('&');
        let in_link = in_link.filter_map(|pair| pair.strip_prefix("token=")).next();
        let token =
            token.or(in_link).ok_or("there is no token: give --token, or EXOSPHERE_TOKEN")?;
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
            token: token.to_owned(),
        })
    }

    /// Reads something.
    pub(crate) fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, Box<dyn Error>> {
        let request = self.agent.get(format!("{}/api/v1/{path}", self.origin));
        let request = request.query_pairs(query.iter().copied());
        read(request.header("Authorization", format!("Bearer {}", self.token)).call())
    }

    /// Has something done.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value, Box<dyn Error>> {
        let request = self.agent.post(format!("{}/api/v1/{path}", self.origin));
        read(request.header("Authorization", format!("Bearer {}", self.token)).send_json(body))
    }
}

fn read(
    answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> Result<Value, Box<dyn Error>> {
    let mut answer = answer?;
    let value: Value = answer.body_mut().read_json()?;
    if answer.status().is_success() {
        return Ok(value);
    }
    let detail = value["detail"].as_str().unwrap_or_default();
    Err(format!("{}: {detail}", answer.status()).into())
}

/// Text, as it stands in a path.
pub(crate) fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte.is_ascii_alphanumeric() {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}
