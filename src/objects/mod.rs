//! Kubernetes objects: read from files, converted, put in order, applied, waited for, pruned, deleted.
//!
//! Everything that is applied belongs to a set: an `ApplySet` as KEP-3659 defines it, so that what
//! left the set can be pruned, and the whole can be taken away again without touching anything else.

mod api;
mod apply;
mod conflict;
pub mod convert;
mod definitions;
mod delete;
mod depends;
mod diff;
mod drift;
mod error;
mod execute;
mod graph;
mod handover;
mod immutable;
mod inventory;
mod load;
mod needs;
mod object;
mod order;
mod planned;
pub mod ready;
pub(crate) mod request;
mod resolve;
mod retire;
mod send;
mod set;
mod staying;
pub(crate) mod watch;

pub use api::{Api, Served};
pub use apply::{Applied, Conflicts, Options, apply};
pub use conflict::Clash;
pub use convert::Conversion;
pub use delete::{Deleted, delete_set};
pub use diff::Change;
pub use error::{Error, Problem};
pub use immutable::{Fixed, lost};
pub use load::{load, load_with_repeats, parse};
pub use object::{Object, ObjectRef};
pub use order::Phase;
pub use planned::{Expected, Intent, Item, Planned, plan};
pub use resolve::Place;
pub use retire::{Heirs, plan_retiring, retire_set, unwanted};
pub use set::{PART_OF, Parent, SetName};

/// The field manager of every server-side apply.
pub const FIELD_MANAGER: &str = "istiolab";
