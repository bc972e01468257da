//! Traces: found by the id of the request that caused them, in the Zipkin or Jaeger that the lab has.

mod spans;
mod whole;

use super::step;
use crate::verify::vocabulary::Entry;

/// The steps, by file.
pub(super) const STEPS: [&[Entry]; 2] = [&whole::STEPS, &spans::STEPS];
