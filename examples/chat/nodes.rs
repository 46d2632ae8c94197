//! The options that say how a node finds the others, and how they prove that they belong together.

use std::{env, net::SocketAddr, path::PathBuf};

use clap::Args;
use exosphere::{Builder, Discovery, Security};

#[derive(Args)]
pub(crate) struct Nodes {
    /// Where this node listens for others. Defaults to 127.0.0.1:5701, or the next port that is free.
    #[arg(long, visible_alias = "listen", value_name = "ADDR")]
    node: Option<SocketAddr>,
    /// Where others reach this node, if that is not where it listens.
    #[arg(long, value_name = "ADDR")]
    advertise: Option<SocketAddr>,
    /// A node to ask for the others, as host or host:port. May be given many times.
    #[arg(long, value_name = "ADDR")]
    seed: Vec<String>,
    /// A name whose addresses are all nodes, as name or name:port. May be given many times.
    #[arg(long, value_name = "NAME")]
    dns: Vec<String>,
    /// Finds the nodes of this network by multicast, from all interfaces or from those that are named.
    #[arg(long, value_name = "INTERFACE", num_args = 0.., require_equals = true)]
    multicast: Option<Vec<String>>,
    /// The file with the cluster's secret, which is made if it is missing. May be given four times:
    /// the first is used, and nodes with the others are let in, too.
    #[arg(long, visible_alias = "secret-file", value_name = "FILE")]
    secret: Vec<PathBuf>,
    /// The variable of the environment with the cluster's secret.
    #[arg(long, value_name = "VARIABLE", conflicts_with = "secret")]
    secret_env: Option<String>,
    /// The file with the certificates of those who issue the certificates of nodes, as PEM.
    #[arg(long, value_name = "FILE", requires_all = ["cert", "key"])]
    ca: Option<PathBuf>,
    /// The file with this node's certificate, as PEM.
    #[arg(long, value_name = "FILE", requires = "ca")]
    cert: Option<PathBuf>,
    /// The file with the key of this node's certificate, as PEM.
    #[arg(long, value_name = "FILE", requires = "ca")]
    key: Option<PathBuf>,
}

impl Nodes {
    /// A node that is as these options say.
    pub(crate) fn apply(self, mut builder: Builder) -> Result<Builder, env::VarError> {
        if let Some(security) = self.security()? {
            builder = builder.security(security);
        }
        if let Some(addr) = self.node {
            builder = builder.bind(addr);
        }
        if let Some(addr) = self.advertise {
            builder = builder.advertise(addr);
        }
        for seed in self.seed {
            builder = builder.seed(seed);
        }
        for name in self.dns {
            builder = builder.discover(Discovery::dns(name));
        }
        Ok(match self.multicast {
            None => builder,
            Some(all) if all.is_empty() => builder.discover(Discovery::multicast()),
            Some(interfaces) => builder.discover(Discovery::multicast_on(interfaces)),
        })
    }

    fn security(&self) -> Result<Option<Security>, env::VarError> {
        let files = self.secret.iter().map(Security::secret_file);
        let given = self.secret_env.as_ref().map(env::var).transpose()?;
        let secret = files.chain(given.map(Security::secret)).reduce(Security::accepting);
        let (Some(ca), Some(cert), Some(key)) = (&self.ca, &self.cert, &self.key) else {
            return Ok(secret);
        };
        let pki = Security::pki(ca, cert, key);
        Ok(Some(match secret {
            Some(secret) => pki.sealing(secret),
            None => pki,
        }))
    }
}
