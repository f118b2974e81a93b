//! The command line: what may be typed, what is printed, and how the program ends.
//!
//! The one idea: a command returns what went wrong as a `Failure`; only [`main`] prints it and turns it into an exit
//! code.

mod args;
mod check;
mod compact;
mod ddl;
mod exchange;
mod failure;
mod federation;
mod infer;
mod init;
mod lake;
mod places;
mod progress;
mod query;
mod replay;
mod residency;
mod rows;
mod run;
mod screen;
mod signals;
mod state;
mod tables;
mod widen;

#[cfg(test)]
mod tests;

use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, Parser};

use self::args::{Arguments, Command};
use self::failure::{Failure, Outcome};
use self::screen::Screen;

/// Runs the program with the arguments and the environment of this process.
pub fn main() -> ExitCode {
    // Prints help, version and usage errors itself; the latter end with code 2.
    let arguments = Arguments::parse();
    let screen = Arc::new(Screen::new());
    let outcome = start(arguments, &screen);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            screen.print(&failure.render(screen.color()));
            ExitCode::from(failure.code())
        }
    }
}

fn start(arguments: Arguments, screen: &Arc<Screen>) -> Outcome {
    screen::start_logging(screen, arguments.verbose, arguments.log_format)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::running(format!("cannot start the runtime: {error}")))?;
    let outcome = runtime.block_on(async {
        match arguments.command {
            Command::Run(run) => run::run(run, screen).await,
            Command::Check(check) => check::check(check, screen).await,
            Command::Query(query) if query.all => federation::query_all(query, screen).await,
            Command::Query(query) => query::query(query, screen).await,
            Command::Compact(arguments) => compact::compact(arguments, screen).await,
            Command::Ddl(arguments) => ddl::ddl(arguments, screen).await,
            Command::Replay(replay) => replay::replay(replay, screen).await,
            Command::State(state) => state::state(state, screen).await,
            Command::Init { dir } => init::init(&dir),
            Command::Completions { shell } => {
                clap_complete::generate(shell, &mut Arguments::command(), "watershed", &mut std::io::stdout());
                Ok(())
            }
        }
    });
    // A reader may still hang in a read of standard input, which nothing can interrupt.
    runtime.shutdown_background();
    outcome
}
