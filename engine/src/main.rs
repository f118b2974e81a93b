//! The program `watershed`.

use std::process::ExitCode;

/// Pane building allocates from many threads at once, which the system's allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Clients bring both of rustls's providers along, so it has no default of its own. An error says that one is chosen
    // already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    watershed_engine::cli::main()
}
