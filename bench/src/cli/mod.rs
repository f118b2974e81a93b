//! The command line: what may be typed, what is printed, and how the program ends.

mod args;
mod compare;
mod failure;
mod generate;
mod peers;
mod run;
mod screen;
mod signals;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;

use self::args::{Arguments, Command};
use self::failure::{Failure, Outcome};
use self::screen::Screen;

/// Runs the program with the arguments of this process.
pub fn main() -> ExitCode {
    // Prints help, version and usage errors itself; the latter end with code 2.
    let arguments = Arguments::parse();
    match start(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            Screen::new(false).print(&format!("error: {}\n", failure.message()));
            ExitCode::from(failure.code())
        }
    }
}

fn start(arguments: Arguments) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::running(format!("cannot start the runtime: {error}")))?;
    runtime.block_on(async {
        match arguments.command {
            Command::Generate(generate) => {
                let screen = Arc::new(Screen::new(generate.quiet));
                generate::generate(*generate, &screen).await
            }
            Command::Run(arguments) => run::run(arguments, &Arc::new(Screen::new(false))).await,
            Command::Search(arguments) => run::search(arguments, &Arc::new(Screen::new(false))).await,
            Command::Compare(arguments) => compare::compare(&arguments),
            Command::Peers(arguments) => peers::peers(&arguments),
        }
    })
}
