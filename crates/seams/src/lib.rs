//! The traits between shells.
//!
//! A face reads through a [`Reader`] and writes through a [`Writer`] of its datacenter, registers on
//! this node through the [`Registrar`], and keeps what it derives from a view in a [`Projection`].
//! `cluster` and `agent` implement them; nobody above knows more of those than this. What an operator
//! may ask of the process is its [`Lifecycle`], which `cmd` has.

mod datacenters;
pub mod fakes;
mod lifecycle;
mod marks;
mod names;
mod projection;
mod reader;
mod registrar;
mod sessions;
mod waiters;
mod writer;

pub use datacenters::{Datacenters, Doors};
pub use lifecycle::{Lifecycle, ReloadError};
pub use marks::Marks;
pub use names::{Meaning, NameAnswer, NameQuestion, Names};
pub use projection::Projection;
pub use reader::{Consistency, Leadership, LogPosition, ReadError, Reader};
pub use registrar::{ExistingChecks, RegisterError, Registrar};
pub use sessions::Sessions;
pub use waiters::{Subscription, Waiters};
pub use writer::{Committed, Proposal, WriteError, Writer};

/// A future in a box, as every seam returns it.
///
/// An `async fn` is compiled in the crate that polls it; a box keeps it where it was written.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
