//! The program `watershed`.

use std::process::ExitCode;

/// Rows are made by one thread and freed by another, which makes most allocators keep a multiple of what is in use.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // Clients bring both of rustls's providers along, so it has no default of its own. An error says that one is chosen
    // already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    watershed_engine::cli::main()
}
