//! The cluster: how nodes find each other, prove who they are, and know who is alive.
//!
//! Nodes that share a secret and a cluster name are one cluster, or those to whom an authority gives
//! certificates: [`security`] says which. [`secret`] reads the secret, [`keys`] derives every key from
//! the two, [`identity`] has the certificates by which two nodes recognize each other, and by its
//! [`node_key`] each proves which node it is. [`endpoint`] opens the one UDP port of a node.
//! [`beacon`] and [`seeds`] find addresses worth dialing, and say so as [`Sighting`]s. [`gossip`]
//! knows which members are alive, behind the seam of [`membership`]. [`mesh`] decides which links
//! there are, and `link` runs each of them. What others do wrong is counted by `warnings`, and `warden`
//! sees to licences. [`network`] is the seam below all datagrams.

mod address;
pub(crate) mod beacon;
mod dice;
mod discovery;
pub(crate) mod endpoint;
pub(crate) mod gossip;
pub(crate) mod identity;
mod interfaces;
pub(crate) mod keys;
mod lanes;
mod link;
mod link_stats;
pub(crate) mod membership;
pub(crate) mod mesh;
#[cfg_attr(not(feature = "sim"), allow(unreachable_pub, reason = "its door is closed"))]
pub(crate) mod network;
pub(crate) mod node_key;
mod questions;
mod scout;
pub(crate) mod secret;
pub(crate) mod security;
pub(crate) mod seeds;
mod sighting;
mod warden;
mod warnings;

pub use discovery::{Discover, Discovery};
pub(crate) use mesh::{Mesh, MeshConfig, MeshError};
pub(crate) use node_key::NodeKey;
pub use questions::AskError;
pub(crate) use questions::{Answer, Answerer, PATIENCE as ASK_PATIENCE};
pub use security::Security;
pub(crate) use security::SecurityError;
pub(crate) use sighting::Sighting;
pub(crate) use warden::{Denied, Permit};
