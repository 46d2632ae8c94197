//! Why a node does not start.

use std::{io, net::SocketAddr, path::PathBuf};

use thiserror::Error;

use super::{InvalidLimit, licensing::too_many};
use crate::{
    cluster::{MeshError, SecurityError},
    license::NotInForce,
    proto::InvalidAnnouncement,
    route::InvalidRoute,
};

/// Why a node did not start. Nothing is left running.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The role, a tag or the public URL cannot be told to others.
    #[error("what this node is to say of itself cannot be told")]
    Announcement(#[from] InvalidAnnouncement),
    /// The address for peers cannot be had. Another address, or waiting until it is free, helps.
    #[error("cannot listen for peers on {addr}")]
    Bind {
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The cluster's name is empty, longer than 64 bytes, or has control characters.
    #[error("the cluster's name {name:?} is not 1 to 64 bytes without control characters")]
    InvalidCluster {
        /// The name.
        name: String,
    },
    /// A host that is to be answered for is not a name, `.name` or `*`.
    #[error("the host {host:?} is not a name without port, a dot and a name, or an asterisk")]
    InvalidHost {
        /// The host.
        host: String,
    },
    /// Two routes cannot be told apart, or one is malformed.
    #[error(transparent)]
    InvalidRoute(#[from] InvalidRoute),
    /// Others are active, and the licence that would let this node be so as well does not count. A new
    /// licence helps, and so does waiting for one that begins.
    #[error("{active} nodes are active, and no further one may start")]
    LicenseNotInForce {
        /// How many are active.
        active: u32,
        /// Why it does not count.
        #[source]
        reason: NotInForce,
    },
    /// As many nodes are active as may be. One that leaves makes room, and so does a licence for more,
    /// on any node. The place of one that died is kept for a minute, or until a node starts at its
    /// address.
    #[error("{}", too_many(*.max, *.active))]
    MaxLicenses {
        /// How many may be active.
        max: u32,
        /// How many are, or were a minute ago.
        active: u32,
    },
    /// A filter cannot be.
    #[error("the filter {name:?} cannot be: {why}")]
    InvalidFilter {
        /// Its name.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// A limit cannot be.
    #[error(transparent)]
    InvalidLimit(#[from] InvalidLimit),
    /// A seed is not `host` or `host:port`.
    #[error("the seed {seed:?} is not a host or host:port")]
    InvalidSeed {
        /// The seed.
        seed: String,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Beacons on a network are sealed with a secret that all nodes are given, and there is none.
    #[error("beacons of multicast are sealed: set a secret that all nodes are given")]
    NoSeal,
    /// The address is not a loopback one, and there is no secret that other machines could know.
    #[error("{addr} is reachable from other machines: set a secret that all nodes are given")]
    NoSecret {
        /// The address.
        addr: SocketAddr,
    },
    /// Nodes have certificates, and no secret to seal with what everybody can see. See
    /// [`Security::sealing`](crate::Security::sealing).
    #[error("{what} are sealed with a secret: set one beside the certificates")]
    NothingToSeal {
        /// What is to be sealed.
        what: &'static str,
    },
    /// The cluster's secret, or the node's certificate, cannot be used.
    #[error("the {what} cannot be used")]
    Security {
        /// Which of them.
        what: &'static str,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The directory of the store cannot be used. Nothing in it was changed. The source says what
    /// would help.
    #[error("the store in {} cannot be used", path.display())]
    Store {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Peers of other machines are looked for, and told a loopback address.
    #[error("nodes of other machines cannot reach {addr}: bind or advertise one that they can")]
    Unreachable {
        /// The address.
        addr: SocketAddr,
    },
    /// The address stands for every address of the machine, and peers must be told one.
    #[error("{addr} is no address that peers can dial: advertise one of this machine's")]
    Unspecified {
        /// The address.
        addr: SocketAddr,
    },
    /// Something in the system failed that no setting can help.
    #[error("the cluster's transport cannot be set up")]
    Transport(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<MeshError> for StartError {
    fn from(err: MeshError) -> Self {
        match err {
            MeshError::Announcement(err) => Self::Announcement(err),
            MeshError::Bind { addr, source } => Self::Bind { addr, source },
            MeshError::NoSeal => Self::NoSeal,
            MeshError::NoSecret { addr } => Self::NoSecret { addr },
            MeshError::Security(err) => {
                let what = match err {
                    SecurityError::Pki(_) => "node's certificate",
                    _ => "cluster's secret",
                };
                Self::Security { what, source: Box::new(err) }
            }
            MeshError::Seed { seed, source } => {
                Self::InvalidSeed { seed, source: Box::new(source) }
            }
            MeshError::Transport(err) => Self::Transport(err),
            MeshError::Unreachable { addr } => Self::Unreachable { addr },
            MeshError::Unspecified { addr } => Self::Unspecified { addr },
        }
    }
}
