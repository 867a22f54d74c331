//! The replicated state: pure apply, immutable views, watches, history, formats.
//!
//! [`apply()`] is a function of (view, entries): no IO, no clock, no randomness, no order that differs
//! between machines; so all servers that apply the same log hold the same bytes. Faces read a
//! [`View`], which never changes; the shell that publishes it is `cluster`.
//!
//! `why` is what keeps an instance out of an answer; faces ask it, so that what they explain is what
//! they do.
//!
//! Decisions 0000, 0004, 0006.

mod acl;
mod apply;
mod entry;
pub mod format;
mod keys;
mod past;
mod reconcile;
mod refusal;
mod state;
mod tables;
mod transaction;
mod view;
mod watch;
pub mod why;

pub use acl::{Acl, Authorizer, Token};
pub use apply::{Applied, apply, replay};
pub use entry::{Claim, Command, Entry, HistoryLimits, KvCondition, KvWrite, Outcome, Reply};
pub use keys::{CheckKey, InstanceKey, KvRowKey, NodeKey, ServiceKey};
pub use past::{PastView, ValuePrint, Window};
pub use reconcile::{Wanted, additions, reconcile};
pub use refusal::{REFUSAL_TEXT, Refusal};
pub use state::{ServiceMark, State, TableIndexes, Tombstone};
pub use tables::history::HistoryEntry;
pub use tables::requests::{REQUEST_WINDOW, REQUESTS_KEPT, RESULTS_KEPT};
pub use tables::sessions::MAX_LOCK_DELAY;
pub use transaction::{
    AnyRow, Cause, Condition, Expectation, Failure, MOST_SHOWN, Operation, RowName, Selection,
    Shown,
};
pub use view::{Health, Held, Holdings, Indexed, Interest, KvRows, NotHeld, Offer, Sizes, View};
pub use watch::{Touched, Watch};
