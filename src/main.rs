//! The command line of istiolab.

fn main() {}
