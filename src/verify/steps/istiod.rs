//! The control plane.

use super::step;
use crate::observe::istiod::Istiod;
use crate::verify::arguments::Arguments;
use crate::verify::unmet::Unmet;
use crate::verify::vocabulary::Entry;
use crate::verify::world::{SYSTEM, Scene};

/// istiod's monitoring port.
const MONITORING: u16 = 15014;

pub(super) const STEPS: [Entry; 2] = [
    step!(
        "istiod",
        Check,
        "at least {int} proxy/proxies is/are connected to istiod",
        connected,
        "istiod counts so many proxies that hold a stream of configuration (its metric pilot_xds)."
    ),
    step!(
        "istiod",
        Check,
        "no proxy has rejected its configuration",
        accepted,
        "Since istiod started, no proxy has refused what it was sent (its metric pilot_total_xds_rejects)."
    ),
];

fn istiod(scene: &Scene) -> Istiod {
    Istiod::new(scene.service(SYSTEM, "istiod", MONITORING))
}

async fn connected(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let wanted: f64 = arguments.number(0)?;
    let found = istiod(scene).metric("pilot_xds").await?;
    if found >= wanted { Ok(()) } else { Err(Unmet::not_yet(format!("{found} proxies are connected"))) }
}

async fn accepted(scene: &mut Scene, _: Arguments) -> Result<(), Unmet> {
    let rejected = istiod(scene).metric("pilot_total_xds_rejects").await?;
    if rejected > 0.0 {
        return Err(Unmet::Never(format!(
            "configuration was rejected {rejected} times; istiod's log says which and why"
        )));
    }
    Ok(())
}
