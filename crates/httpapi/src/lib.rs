//! The HTTP face: Consul's dialect, and a little of our own.
//!
//! A request is matched on its raw path against one table (`dialects`), its token is turned into an
//! authorizer of the view it reads, and a read is a plain function of that view, so that a blocking
//! query is the same function asked again. What Consul does is in `consul`, a file an endpoint family; what is ours alone in `rutter`.
//!
//! Decision 0005.

mod admission;
mod answer;
mod aside;
mod call;
mod consul;
mod context;
mod dialects;
mod events;
mod face;
mod kept;
mod meters;
mod recent;
mod rutter;
mod target;

pub use consul::bodies;
pub use consul::definitions;
pub use consul::metrics::Metrics;
pub use context::{Context, Identity, Settings};
pub use dialects::endpoints;
pub use face::{Server, start};
pub use meters::Meters;
