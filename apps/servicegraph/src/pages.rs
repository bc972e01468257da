//! The pages: they stand alone, so that they work where there is no internet.

/// The graph as a picture that moves.
pub(crate) const FORCE: &str = include_str!("pages/forcegraph.html");

const DRAWING: &str = include_str!("pages/drawing.html");

/// The graph as a drawing.
pub(crate) fn drawing(window: &str, svg: &str) -> String {
    DRAWING.replacen("{window}", window, 1).replacen("{svg}", svg, 1)
}
