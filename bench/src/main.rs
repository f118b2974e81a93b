//! The program `watershed-bench`.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Clients bring both of rustls's providers along, so it has no default of its own. An error says that one is chosen
    // already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    watershed_bench::cli::main()
}
