//! Kubernetes objects: read from files, put in order, applied, waited for, pruned, deleted.
//!
//! Everything that is applied belongs to a set: an `ApplySet` as KEP-3659 defines it, so that what
//! left the set can be pruned, and the whole can be taken away again without touching anything else.

mod api;
mod apply;
mod conflict;
mod definitions;
mod delete;
mod drift;
mod error;
mod inventory;
mod load;
mod object;
mod order;
mod plan;
pub mod ready;
pub(crate) mod request;
mod set;
mod staying;
pub(crate) mod watch;

pub use api::{Api, Served};
pub use apply::{Applied, Conflicts, Options, apply};
pub use conflict::Clash;
pub use delete::{Deleted, delete_set};
pub use error::{Error, Problem};
pub use load::{load, parse};
pub use object::{Object, ObjectRef};
pub use order::Phase;
pub use set::{PART_OF, Parent, SetName};

/// The field manager of every server-side apply.
pub const FIELD_MANAGER: &str = "istiolab";
