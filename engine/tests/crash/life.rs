//! One life of a run, in a process of its own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, raise};
use watershed_engine::plan::plan_region;
use watershed_engine::run::{RunOptions, Step, World, run};

use super::faulty::Faulty;
use super::scenario::Scenario;

/// Longest time that a life may take.
const LONGEST: Duration = Duration::from_secs(120);

/// How a life ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Death {
    /// By itself.
    None,
    /// By SIGKILL when it comes to a step for the n-th time.
    AtStep(Step, usize),
    /// By SIGKILL at some time.
    After(Duration),
}

/// A life to be lived.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) lanes: usize,
    pub(crate) death: Death,
    /// Seed of the faults of its stores.
    pub(crate) faults: Option<u64>,
}

/// How it ended.
#[derive(Debug)]
pub(crate) enum Ended {
    Well,
    Killed,
    Badly(String),
}

impl Life {
    /// Lives it.
    pub(crate) fn live(&self, scenario: &Scenario) -> Ended {
        let mut command = match scenario.program {
            true => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_watershed"));
                let region = scenario.region_file();
                command.args(["run", "--quiet", "--lanes", &self.lanes.to_string()]).arg(region);
                command
            }
            false => self.as_test(scenario),
        };
        let errors = scenario.path("stderr.txt");
        let file = std::fs::File::create(&errors).unwrap();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).spawn().unwrap();
        let status = self.wait(child);
        match status.code() {
            Some(0) => Ended::Well,
            Some(_) => Ended::Badly(std::fs::read_to_string(errors).unwrap()),
            None => Ended::Killed,
        }
    }

    fn as_test(&self, scenario: &Scenario) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "life", "--nocapture"]);
        command.env("LIFE_REGION", scenario.region_file()).env("LIFE_LANES", self.lanes.to_string());
        if let Death::AtStep(step, time) = self.death {
            command.env("LIFE_STEP", format!("{step:?}")).env("LIFE_TIME", time.to_string());
        }
        if let Some(seed) = self.faults {
            command.env("LIFE_FAULTS", seed.to_string());
        }
        command
    }

    /// Waits for the end, and brings it about where it is time.
    fn wait(&self, mut child: Child) -> std::process::ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            let time = match self.death {
                Death::After(time) => time,
                _ => LONGEST,
            };
            if begun.elapsed() >= time {
                child.kill().unwrap();
                let status = child.wait().unwrap();
                assert!(time < LONGEST, "a life of {LONGEST:?} was cut short: {self:?}");
                return status;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Lives the life that the environment describes, if it describes one.
pub(crate) fn be_one() {
    let Ok(region) = std::env::var("LIFE_REGION") else { return };
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let outcome = live(PathBuf::from(region), number("LIFE_LANES").unwrap() as usize, number("LIFE_TIME").unwrap_or(1));
    match outcome {
        Ok(()) => std::process::exit(0),
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(1);
        }
    }
}

fn live(region: PathBuf, lanes: usize, time: u64) -> Result<(), String> {
    let region = watershed_engine::config::load(&region).map_err(|errors| format!("{errors:?}"))?;
    let fatal = std::env::var("LIFE_STEP").ok();
    let reached: Mutex<BTreeMap<Step, u64>> = Mutex::default();
    let watch = move |step: Step| {
        let mut reached = reached.lock().unwrap();
        let times = reached.entry(step).or_default();
        *times += 1;
        if fatal.as_deref() == Some(&format!("{step:?}")) && *times == time {
            raise(Signal::SIGKILL).unwrap();
        }
    };
    let mut world = World { watch: Arc::new(watch), ..World::default() };
    if let Some(seed) = std::env::var("LIFE_FAULTS").ok().and_then(|seed| seed.parse().ok()) {
        world.connect = Arc::new(Faulty { seed, environment: world.environment.clone() });
    }
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let planned = plan_region(&region).await.map_err(|errors| format!("{errors:?}"))?;
        let (_keep, stop) = tokio::sync::watch::channel(false);
        let options = RunOptions { lanes, chunk_bytes: 4096, world, ..RunOptions::new(stop) };
        run(planned, options).await.map(drop).map_err(|error| error.to_string())
    })
}
