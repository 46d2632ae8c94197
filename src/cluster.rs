//! The cluster: how nodes find each other, prove who they are, and know who is alive.
//!
//! Nodes that share a secret and a cluster name are one cluster. [`secret`] reads the secret,
//! [`keys`] derives every key from the two, and [`identity`] makes the certificates by which two
//! nodes recognize each other. [`endpoint`] opens the one UDP port of a node. [`beacon`] and
//! [`seeds`] find addresses worth dialing, and say so as [`Sighting`]s. [`gossip`] knows which
//! members are alive, behind the seam of [`membership`]. [`mesh`] decides which links there are, and
//! `link` runs each of them.

pub(crate) mod beacon;
mod dice;
pub(crate) mod endpoint;
pub(crate) mod gossip;
pub(crate) mod identity;
pub(crate) mod keys;
mod lanes;
mod link;
pub(crate) mod membership;
pub(crate) mod mesh;
pub(crate) mod secret;
pub(crate) mod seeds;
mod sighting;

pub(crate) use mesh::{Mesh, MeshConfig, MeshError};
pub(crate) use sighting::Sighting;
