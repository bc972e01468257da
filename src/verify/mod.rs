//! Gherkin scenarios: vocabulary, world, runner, and the record of what they saw.

pub mod record;
