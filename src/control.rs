//! Tower Control: everything that a cluster knows and can be told, for people and machines.
//!
//! It is served on a listener of its own, by [`Node::serve_control`](crate::Node::serve_control):
//! a console for browsers at `/`, an HTTP API below `/api/v1`, which describes itself in
//! `/api/v1/openapi.json`, the same in the shapes of Atmosphere's below `/api/admin`, and metrics for
//! Prometheus at `/metrics`. Whichever node is asked speaks for the whole cluster.

mod admin;
mod api;
mod error;
mod events;
mod guard;
mod metrics;
mod page;
mod patience;
mod problem;
mod queue;
mod role;
mod server;
mod token;
mod told;
mod tracker;

use std::net::{SocketAddr, ToSocketAddrs};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{
    client::{Hosts, HttpLimits, Slots, Tls, TlsFiles},
    node::Node,
    service::AppService,
};

pub use error::ControlError;
pub use role::Role;
use token::Token;

/// The bytes of a random token: nobody guesses 256 bits.
const TOKEN_BYTES: usize = 32;

/// The shortest that a token may be, in bytes.
const MIN_TOKEN_BYTES: usize = 16;

/// How many connections there may be to the console and the API at a time, each with one request: they
/// speak HTTP/1.1 only.
const MAX_CONNECTIONS: usize = 256;

/// Who may see and steer a cluster, and how they reach it.
///
/// # Examples
///
/// ```no_run
/// # async fn example(node: exosphere::Node) -> Result<(), Box<dyn std::error::Error>> {
/// use exosphere::{Control, Role};
///
/// let token = Control::random_token();
/// println!("http://127.0.0.1:9090/?token={token}");
/// let control = Control::new().token("me", Role::Admin, token);
/// node.serve_control("127.0.0.1:9090", control).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
#[must_use = "nothing is served until `Node::serve_control`"]
pub struct Control {
    tokens: Vec<Token>,
    hosts: Hosts,
    tls: Option<TlsFiles>,
    mistake: Option<ControlError>,
}

impl Control {
    /// Nobody may do anything yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whoever shows `token` may do what `role` may, and stands in the audit log as `name`.
    ///
    /// Of the token only a hash is kept. It has 16 bytes at least; take
    /// [`random_token`](Self::random_token), or a secret of your own.
    pub fn token(mut self, name: impl Into<String>, role: Role, token: impl AsRef<str>) -> Self {
        let token = token.as_ref();
        if token.len() < MIN_TOKEN_BYTES {
            self.mistake.get_or_insert(ControlError::WeakToken);
        }
        self.tokens.push(Token::new(name.into(), role, token));
        self
    }

    /// A token that nobody guesses: 256 random bits, as 43 characters that a URL may hold.
    pub fn random_token() -> String {
        let mut bytes = [0; TOKEN_BYTES];
        getrandom::fill(&mut bytes).expect("the system has random bytes");
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Answers requests for this host: a name, `.name` for it and all below it, or `*` for all.
    ///
    /// Addresses and `localhost` are answered for in any case. On a loopback address nothing else is,
    /// unless it is said here, so that no page can make a name of its own stand for this one.
    pub fn allow_host(mut self, host: impl Into<String>) -> Self {
        if let Err(host) = self.hosts.allow(host.into()) {
            self.mistake.get_or_insert(ControlError::InvalidHost { host });
        }
        self
    }

    /// Serves over TLS, as it must be where others than this machine can reach it. The certificate
    /// may be renewed meanwhile: see [`TlsFiles`].
    pub fn tls(mut self, files: TlsFiles) -> Self {
        self.tls = Some(files);
        self
    }

    fn check(&mut self, addr: SocketAddr) -> Result<(), ControlError> {
        if let Some(mistake) = self.mistake.take() {
            return Err(mistake);
        }
        if self.tokens.is_empty() {
            return Err(ControlError::NoToken);
        }
        if !addr.ip().to_canonical().is_loopback() && self.tls.is_none() {
            return Err(ControlError::Exposed { addr });
        }
        Ok(())
    }
}

impl Node {
    /// Serves Tower Control on `addr`, until the node has been shut down. A node serves it nowhere
    /// unless this is called.
    ///
    /// # Errors
    ///
    /// [`ControlError`] if nobody could use it, or strangers could; or if `addr` cannot be listened
    /// on. The node goes on.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops accepting; connections that are open stay open.
    pub async fn serve_control(
        &self,
        addr: impl ToSocketAddrs,
        control: Control,
    ) -> Result<(), ControlError> {
        let addrs: Vec<_> = addr.to_socket_addrs().map_err(ControlError::Bind)?.collect();
        let listener = std::net::TcpListener::bind(&*addrs).map_err(ControlError::Bind)?;
        self.serve_control_listener(listener, control).await
    }

    /// Serves Tower Control on a socket that listens already, until the node has been shut down.
    ///
    /// # Errors
    ///
    /// As [`serve_control`](Self::serve_control); what is wrong with `control` is told the first time
    /// that the future is polled, and it serves if it is not done then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops accepting; connections that are open stay open.
    pub async fn serve_control_listener(
        &self,
        listener: std::net::TcpListener,
        mut control: Control,
    ) -> Result<(), ControlError> {
        control.check(listener.local_addr().map_err(ControlError::Bind)?)?;
        let tls = control.tls.take().map(|files| Tls::watch(files, self.client_tasks()));
        let tls = tls.transpose().map_err(ControlError::Tls)?;
        let service = AppService::new(server::router(self, control));
        let slots = Slots::new(MAX_CONNECTIONS);
        let limits = HttpLimits { streams: 0, ..HttpLimits::default() };
        self.serve_on(listener, service, tls.as_deref(), &slots, limits).await?;
        Ok(())
    }
}
