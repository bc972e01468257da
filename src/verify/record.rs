//! The record of a scenario: what was asked, what was seen, how it ended. Reports read nothing else.

use serde::Serialize;

/// One scenario that ended.
#[derive(Clone, Debug, Serialize)]
pub struct Scenario {
    /// The feature's name.
    pub feature: String,
    /// The scenario's name.
    pub name: String,
}
