//! `watershed-eventhubs-double ADDRESS PARTITIONS [TOKENS [EVERY]]`: the double as a server. SIGUSR1 adds two partitions,
//! SIGUSR2 detaches every receiver, and SIGHUP every sender. What clients show to be let in is written to the file TOKENS. One
//! of EVERY messages that are sent is not confirmed, though every third of those is taken.

use std::fs::File;
use std::io;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use watershed_eventhubs_double::{Double, Ending, Fault, HUB};

const USAGE: &str = "watershed-eventhubs-double ADDRESS PARTITIONS [TOKENS [EVERY]], for example 127.0.0.1:5672 4";

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

async fn run() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = || io::Error::new(io::ErrorKind::InvalidInput, USAGE);
    let (Some(address), Some(partitions)) = (arguments.next(), arguments.next()) else { return Err(usage()) };
    let partitions: usize = partitions.parse().map_err(|_| usage())?;
    let double = Double::start(address, partitions).await?;
    if let Some(tokens) = arguments.next() {
        double.hub().register_tokens(File::create(tokens)?);
    }
    if let Some(every) = arguments.next() {
        let every = every.parse().map_err(|_| usage())?;
        double.hub().fail_every(every, &[Fault::DetachedAfter, Fault::DetachedBefore, Fault::Released]);
    }
    println!("ready {}: event hubs double, hub `{HUB}`, {partitions} partitions", double.address());
    let mut grow = signal(SignalKind::user_defined1())?;
    let mut detach_senders = signal(SignalKind::hangup())?;
    let mut detach = signal(SignalKind::user_defined2())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    loop {
        tokio::select! {
            _ = grow.recv() => double.hub().grow(2),
            _ = detach_senders.recv() => double.hub().end_senders(),
            _ = detach.recv() => {
                for partition in 0..double.hub().partitions() {
                    double.hub().end_links(partition, Ending::Forced);
                }
            }
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
        }
    }
}
