//! The runtime of a node: its clock, its tasks, and who owns what.

pub(crate) mod clock;
mod tasks;

pub(crate) use tasks::Tasks;
