//! SIGTERM and ctrl-c: the first asks for an orderly end, the second ends the process.

use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::failure::{Failure, Outcome};
use super::screen::Screen;

/// Listens until it is dropped.
#[derive(Debug)]
pub(super) struct Signals {
    task: JoinHandle<()>,
}

impl Signals {
    /// Starts to listen. The receiver turns true at the first signal.
    pub(super) fn listen(screen: &Arc<Screen>) -> Outcome<(Self, watch::Receiver<bool>)> {
        let open = |kind| signal(kind).map_err(|error| Failure::running(format!("cannot listen for signals: {error}")));
        let (interrupt, terminate) = (open(SignalKind::interrupt())?, open(SignalKind::terminate())?);
        let (sender, receiver) = watch::channel(false);
        let task = tokio::spawn(wait(interrupt, terminate, sender, screen.clone()));
        Ok((Self { task }, receiver))
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn wait(mut interrupt: Signal, mut terminate: Signal, stop: watch::Sender<bool>, screen: Arc<Screen>) {
    next(&mut interrupt, &mut terminate).await;
    screen.print("stopping: writing what has been read; a second signal ends this at once\n");
    stop.send_replace(true);
    next(&mut interrupt, &mut terminate).await;
    screen.print("stopped by a second signal\n");
    std::process::exit(1);
}

async fn next(interrupt: &mut Signal, terminate: &mut Signal) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}
