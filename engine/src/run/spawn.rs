//! Sets an assembly in motion and waits for every part of it to end.

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use watershed_sinks::SinkError;

use super::drivers::spawn_driver;
use super::error::RunError;
use super::lane::{Lane, PipelineMessage};
use super::setup::{Assembly, Tables};
use crate::checkpoint::Manifest;

/// Runs to the last epoch, which is given back; none where whoever read our standard output went away before. `finish` tells
/// readers that it is published.
pub(super) async fn run(assembly: Assembly, finish: watch::Sender<bool>) -> Result<Option<Manifest>, RunError> {
    let Assembly {
        lanes,
        pipelines,
        letters,
        coordinator,
        drivers,
        discoveries,
        mut reading,
        mut senders,
        tables,
        sweeping: sweeps,
        ..
    } = assembly;
    let (failed, mut failures) = mpsc::unbounded_channel();
    let mut threads = JoinSet::new();
    for lane in lanes {
        spawn_lane(lane, &mut threads, failed.clone())?;
    }
    let mut tasks: JoinSet<Result<(), RunError>> = JoinSet::new();
    for pipeline in pipelines {
        tasks.spawn(pipeline.run());
    }
    for writer in letters {
        tasks.spawn(writer.run());
    }
    let mut refreshing = JoinSet::new();
    for tables in tables {
        refreshing.spawn(refresh(tables));
    }
    let mut sweeping = JoinSet::new();
    for sweeps in sweeps {
        sweeping.spawn(sweeps);
    }
    let mut readers = JoinSet::new();
    for driver in drivers {
        spawn_driver(driver, &mut readers);
    }
    for (drivers, number) in discoveries {
        readers.spawn(drivers.discover(number));
    }

    let coordinating = coordinator.run();
    tokio::pin!(coordinating);
    let mut reads = true;
    let outcome = loop {
        tokio::select! {
            last = &mut coordinating => break last,
            Some(joined) = readers.join_next() => match joined {
                Ok(Ok(())) => {}
                Ok(Err(error)) => break Err(error),
                Err(_) => break Err(RunError::Lost("a reader")),
            },
            _ = reading.recv(), if reads => {
                reads = false;
                for sender in senders.drain(..) {
                    // A pipeline that is gone already tells why itself.
                    let _ = sender.send(PipelineMessage::Drained).await;
                }
            }
            Some(joined) = tasks.join_next() => match joined {
                Ok(Ok(())) => {}
                Ok(Err(error)) => break Err(error),
                Err(_) => break Err(RunError::Lost("a pipeline")),
            },
            Some(error) = failures.recv() => break Err(error),
        }
    };
    let outcome = match outcome {
        Ok(last) => {
            finish.send_replace(true);
            while let Some(joined) = readers.join_next().await {
                joined.unwrap_or(Err(RunError::Lost("a reader")))?;
            }
            while let Some(joined) = tasks.join_next().await {
                joined.unwrap_or(Err(RunError::Lost("a pipeline")))?;
            }
            while let Some(joined) = sweeping.join_next().await {
                joined.map_err(|_| RunError::Lost("what looks after files"))?;
            }
            Ok(Some(last))
        }
        // Whoever read our standard output has seen enough; that is an end, not a failure.
        Err(RunError::Write { error: SinkError::Closed { .. }, .. }) => Ok(None),
        Err(error) => Err(error),
    };
    readers.shutdown().await;
    tasks.shutdown().await;
    refreshing.shutdown().await;
    sweeping.shutdown().await;
    drop(senders);
    outcome
}

/// Gives the lane a thread of its own. A failure is told at once.
fn spawn_lane(lane: Lane, threads: &mut JoinSet<()>, failed: mpsc::UnboundedSender<RunError>) -> Result<(), RunError> {
    let number = lane.number;
    let (done, ended) = tokio::sync::oneshot::channel::<()>();
    std::thread::Builder::new()
        .name(format!("lane-{number}"))
        .spawn(move || {
            if let Err(error) = lane.run() {
                // Nobody listens any more if another failure came first.
                let _ = failed.send(error);
            }
            drop(done);
        })
        .map_err(|error| RunError::Config(format!("can't start a thread for lane {number}: {error}")))?;
    threads.spawn(async move {
        let _ = ended.await;
    });
    Ok(())
}

/// Reads the tables again, each on its own interval. A failed read keeps the rows of the last.
async fn refresh(tables: Tables) {
    let Tables { pipeline, tables, session } = tables;
    let loops = tables.iter().filter_map(|table| {
        let every = table.refresh?;
        let (pipeline, session) = (&pipeline, &session);
        Some(async move {
            loop {
                tokio::time::sleep(every).await;
                if let Err(error) = table.load(session).await {
                    tracing::warn!(%pipeline, %error, "reference table not refreshed; the last rows stay in use");
                }
            }
        })
    });
    futures::future::join_all(loops).await;
}
