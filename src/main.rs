//! The command line of istiolab.

use std::process::ExitCode;

fn main() -> ExitCode {
    istiolab::cli::main(std::env::args_os())
}
