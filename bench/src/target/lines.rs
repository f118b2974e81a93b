//! Lines into a file or standard output: one thread writes what comes, in the order in which it comes.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::oneshot;

use super::{Batch, Refused, Target};

type Answer = oneshot::Sender<Result<(), Refused>>;

/// Hands batches to the thread that writes them. It ends when the target is dropped, with all that it was given written.
struct Lines {
    // Bounded by what producers may have under way.
    queue: Sender<(Bytes, Answer)>,
}

/// Writes to standard output.
pub(super) fn stdout() -> Result<Box<dyn Target>, String> {
    start(io::stdout(), "standard output".to_owned())
}

/// Writes to a file, anew.
pub(super) fn file(path: &Path) -> Result<Box<dyn Target>, String> {
    let place = path.display().to_string();
    let file = File::create(path).map_err(|error| format!("cannot write {place}: {error}"))?;
    start(file, place)
}

fn start(writer: impl Write + Send + 'static, place: String) -> Result<Box<dyn Target>, String> {
    let (queue, batches) = channel();
    let write = move || write_all(writer, &place, &batches);
    thread::Builder::new().name("lines".to_owned()).spawn(write).map_err(|error| format!("no thread: {error}"))?;
    Ok(Box::new(Lines { queue }))
}

fn write_all(mut writer: impl Write, place: &str, batches: &Receiver<(Bytes, Answer)>) {
    for (bytes, answer) in batches {
        let written = writer.write_all(&bytes).and_then(|()| writer.flush());
        let outcome = written.map_err(|error| match error.kind() {
            ErrorKind::BrokenPipe => Refused::Closed,
            _ => Refused::Fatal(format!("cannot write {place}: {error}")),
        });
        // Who asked may have been stopped.
        let _ = answer.send(outcome);
    }
}

impl Target for Lines {
    fn submit(&self, batch: Batch) -> BoxFuture<'static, Result<(), Refused>> {
        let (answer, outcome) = oneshot::channel();
        let queued = self.queue.send((batch.bytes, answer));
        Box::pin(async move {
            queued.map_err(|_| Refused::Closed)?;
            outcome.await.unwrap_or(Err(Refused::Closed))
        })
    }
}
