//! The DNS face: hot path and slow path.
//!
//! Shaped by one sentence: answers are encoded when rows change, not when they are asked. A
//! [`Table`] follows the catalog as a projection; pinned threads answer from it without lock,
//! await or allocation; TCP and everything unusual go through tokio and the same answers.
//!
//! | module | holds |
//! |---|---|
//! | `config`, `zone` | settings as given; settings as asked for a thousand times a second |
//! | `naming` | what a name means, one file a scheme |
//! | `encoded`, `table` | rows in wire form, and how they follow the catalog |
//! | `pick`, `answer` | a random subset; the answer itself, pure |
//! | `explain` | why an answer is as it is, for people |
//! | `responder` | a thread's part of it: table, settings, scratch |
//! | `serve`, `tcp`, `slow`, `server` | sockets |
//!
//! Decisions 0003 and 0007.

mod config;
mod zone;

mod naming;

mod encoded;
mod table;

mod answer;
mod pick;

mod explain;
mod live;
mod meters;
mod responder;
mod serve;
mod server;
mod slow;
mod tcp;

pub use answer::{Channel, Cut, Fate, Reason, Reply, Why};
pub use config::{Config, Limits, Soa};
pub use live::Live;
pub use meters::{Answers, Count, Meters, Path, Snapshot, Transport};
pub use responder::{Responder, Round};
pub use server::{Readers, Server, Sockets, StartError, bind, start};
pub use slow::plain;
pub use table::{Table, table};
pub use zone::BadDomain;
