//! One table a file; each is the part of [`crate::state::Tx`] that writes it.

mod checks;
pub(crate) mod history;
pub(crate) mod kv;
mod nodes;
pub(crate) mod requests;
#[cfg(test)]
pub(crate) mod rig;
mod services;
pub(crate) mod sessions;
pub(crate) mod sorted;
