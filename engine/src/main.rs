//! The program `watershed`.

use std::process::ExitCode;

/// Pane building allocates from many threads at once, which the system's allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    watershed_engine::cli::main()
}
