//! Ctrl-c and SIGTERM: the first asks for an orderly end, the second ends the process.

use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::failure::{Failure, Outcome};
use super::screen::Screen;

/// Listens from now on. The receiver turns true at the first signal.
pub(crate) fn listen(screen: &Arc<Screen>) -> Outcome<watch::Receiver<bool>> {
    let open = |kind| signal(kind).map_err(|error| Failure::running(format!("cannot listen for signals: {error}")));
    let (mut interrupt, mut terminate) = (open(SignalKind::interrupt())?, open(SignalKind::terminate())?);
    let (stop, receiver) = watch::channel(false);
    let screen = screen.clone();
    tokio::spawn(async move {
        for said in ["stopping: waiting for what is under way; a second signal ends this at once\n", ""] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if stop.send_replace(true) {
                std::process::exit(1);
            }
            screen.say(said);
        }
    });
    Ok(receiver)
}
