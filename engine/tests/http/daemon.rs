//! One daemon in a folder of its own, to be stopped, killed and started again.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::{Client, RequestBuilder, Response};
use serde_json::Value;
use tempfile::TempDir;

/// How every region file here begins: where the daemon answers, and where rows go.
pub(crate) const OPENING: &str = r#"
region = "eu"
[http]
listen = "127.0.0.1:{port}"
[checkpoint]
interval = "1s"
[sinks.lake]
connector = "parquet"
url = "lake"
partition_by = ["region"]
"#;

/// How long a test waits for what takes a moment: longer than any machine is busy, so that a test of broken code fails
/// instead of hanging.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where a daemon lives, over all its lives.
pub(crate) struct Place {
    folder: TempDir,
    port: u16,
    pub(crate) client: Client,
}

/// A daemon that runs. Dropped, it is killed.
pub(crate) struct Daemon {
    process: Child,
    errors: Option<JoinHandle<String>>,
    pub(crate) said: String,
}

/// Looks until it is so.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut so: impl FnMut() -> F) {
    let looking = async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, looking).await.is_ok(), "waited in vain: {what}");
}

/// How a daemon ended.
pub(crate) struct Ended {
    pub(crate) report: Value,
    /// Everything that it said.
    pub(crate) said: String,
}

impl Place {
    /// A place with this region file, in which `{port}` stands for a port that is free.
    pub(crate) fn new(region: &str) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        fs::write(folder.path().join("eu.toml"), region.replace("{port}", &port.to_string())).unwrap();
        Self { folder, port, client: Client::builder().no_proxy().build().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(crate) fn push(&self, source: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        let request = self.client.post(self.url(&format!("/ingest/{source}")));
        request.header("content-type", "application/x-ndjson").body(body)
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let response = self.client.get(self.url(path)).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_watershed"));
        command.current_dir(self.folder.path()).env_remove("RUST_LOG").stdin(Stdio::null());
        command
    }

    /// Starts a daemon, and waits until it listens.
    pub(crate) fn start(&self) -> Daemon {
        let mut command = self.command();
        command.args(["run", "eu.toml", "-v", "--report", "report.json"]);
        let mut process = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut errors = BufReader::new(process.stderr.take().unwrap());
        let mut said = String::new();
        while !said.contains("answering HTTP requests") {
            assert!(errors.read_line(&mut said).unwrap() > 0, "it ended: {said}");
        }
        // Read on, or a full pipe would stop it.
        let errors = std::thread::spawn(move || {
            let mut rest = String::new();
            errors.read_to_string(&mut rest).unwrap();
            rest
        });
        Daemon { process, errors: Some(errors), said }
    }

    /// Waits until requests to `source` are taken.
    pub(crate) async fn takes(&self, source: &str, token: &str) {
        until("requests are taken", || async {
            self.push(source, "").bearer_auth(token).send().await.unwrap().status() != 503
        })
        .await;
    }

    /// Asks for an orderly end, which must come.
    pub(crate) fn stop(&self, mut daemon: Daemon) -> Ended {
        kill(Pid::from_raw(daemon.process.id() as i32), Signal::SIGTERM).unwrap();
        let asked = Instant::now();
        let status = loop {
            match daemon.process.try_wait().unwrap() {
                // What it has said so far comes out only when it has ended.
                None if asked.elapsed() >= PATIENCE => daemon.process.kill().unwrap(),
                None => std::thread::sleep(Duration::from_millis(5)),
                Some(status) => break status,
            }
        };
        let said = format!("{}{}", daemon.said, daemon.errors.take().unwrap().join().unwrap());
        assert_eq!(status.code(), Some(0), "after {:?}: {said}", asked.elapsed());
        let report = serde_json::from_slice(&fs::read(self.path("report.json")).unwrap()).unwrap();
        Ended { report, said }
    }

    /// Rows of a query over the lake.
    pub(crate) fn query(&self, sql: &str) -> Vec<Value> {
        let output = self.command().args(["query", "eu.toml", sql, "--format", "ndjson"]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        serde_json::Deserializer::from_slice(&output.stdout).into_iter().map(Result::unwrap).collect()
    }

    /// True if `needle` stands in any file of the place but its region file.
    pub(crate) fn holds(&self, needle: &str) -> bool {
        search(self.folder.path(), needle.as_bytes(), |path| !path.ends_with("eu.toml"))
    }

    /// True if `needle` stands in a manifest that has been stored: one on its way has another name.
    pub(crate) fn stored(&self, needle: &str) -> bool {
        let manifest = |path: &Path| path.extension().is_some_and(|extension| extension == "json");
        search(&self.folder.path().join("var"), needle.as_bytes(), manifest)
    }
}

/// Files come and go while a daemon runs.
fn search(folder: &Path, needle: &[u8], wanted: fn(&Path) -> bool) -> bool {
    let paths = fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    paths.into_iter().any(|path| match path.is_dir() {
        true => search(&path, needle, wanted),
        false if !wanted(&path) => false,
        false => fs::read(path).is_ok_and(|bytes| bytes.windows(needle.len()).any(|window| window == needle)),
    })
}

impl Daemon {
    /// Ends it without a word.
    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Status and body.
pub(crate) async fn answer(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    (status, response.json().await.unwrap())
}
