//! Metrics: targets, values and how they changed during the scenario, series, rules.

mod rules;
mod series;
mod targets;
mod values;

use super::step;
use crate::verify::vocabulary::Entry;

/// The steps, by file.
pub(super) const STEPS: [&[Entry]; 4] = [&targets::STEPS, &values::STEPS, &series::STEPS, &rules::STEPS];
