//! Grafana: health, data sources, dashboards and their folders, and the data behind panels.

mod panels;
mod server;

use super::step;
use crate::verify::vocabulary::Entry;

/// The steps, by file.
pub(super) const STEPS: [&[Entry]; 2] = [&server::STEPS, &panels::STEPS];
