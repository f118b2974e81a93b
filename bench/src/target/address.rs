//! What may be written behind `--to`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use url::Url;

/// Where events are sent, as it was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// Standard output.
    Stdout,
    /// A file, which is written anew.
    File(PathBuf),
    /// A web server that takes `application/x-ndjson`.
    Http(Url),
    /// A Kafka topic.
    Kafka {
        /// As `host:port`, separated by commas.
        brokers: String,
        topic: String,
    },
    /// An event hub, by its name.
    EventHubs(String),
    /// A Kinesis stream, by its name or ARN.
    Kinesis(String),
    /// A Pub/Sub topic, as Google names it.
    PubSub(String),
}

/// Text that names no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" {why}; write one of {FORMS}")]
pub(crate) struct InvalidAddress {
    text: String,
    why: String,
}

/// How targets are written.
pub(crate) const FORMS: &str = "stdout, file:PATH, http://HOST:PORT/ingest/SOURCE, kafka://HOST:PORT/TOPIC, kinesis:STREAM, \
                                eventhubs:HUB, pubsub:projects/PROJECT/topics/TOPIC";

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let invalid = |why: &str| InvalidAddress { text: without_password(text), why: why.to_owned() };
        if text == "stdout" || text == "-" {
            return Ok(Self::Stdout);
        }
        let (scheme, rest) = text.split_once(':').ok_or_else(|| invalid("names no target"))?;
        match scheme {
            "file" if rest.is_empty() => Err(invalid("names no file")),
            "file" => Ok(Self::File(PathBuf::from(rest.strip_prefix("//").unwrap_or(rest)))),
            "http" | "https" => {
                let url = Url::parse(text).map_err(|error| invalid(&format!("is no URL ({error})")))?;
                Ok(Self::Http(url))
            }
            "kafka" => {
                let named = rest.strip_prefix("//").and_then(|rest| rest.split_once('/'));
                match named.filter(|(brokers, topic)| !brokers.is_empty() && !topic.is_empty()) {
                    Some((brokers, _)) if brokers.contains('@') => {
                        Err(invalid("holds a user: say who you are by --property sasl.username=…"))
                    }
                    Some((brokers, topic)) => Ok(Self::Kafka { brokers: brokers.to_owned(), topic: topic.to_owned() }),
                    None => Err(invalid("names no broker and topic")),
                }
            }
            "eventhubs" if !rest.is_empty() => Ok(Self::EventHubs(rest.to_owned())),
            "kinesis" if !rest.is_empty() => Ok(Self::Kinesis(rest.to_owned())),
            "pubsub" => match rest.split('/').collect::<Vec<_>>()[..] {
                ["projects", project, "topics", topic] if !project.is_empty() && !topic.is_empty() => {
                    Ok(Self::PubSub(rest.to_owned()))
                }
                _ => Err(invalid("names no topic as projects/PROJECT/topics/TOPIC")),
            },
            _ => Err(invalid("names no target that is known")),
        }
    }
}

/// The text less what stands between a scheme and an `@`.
fn without_password(text: &str) -> String {
    match (text.find("://"), text.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => format!("{}://{}", &text[..scheme], &text[at + 1..]),
        _ => text.to_owned(),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("stdout"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            // Neither password nor what may stand behind a question mark is shown.
            Self::Http(url) => {
                write!(f, "{}://{}", url.scheme(), url.host_str().unwrap_or_default())?;
                if let Some(port) = url.port() {
                    write!(f, ":{port}")?;
                }
                f.write_str(url.path())
            }
            Self::Kafka { brokers, topic } => write!(f, "kafka://{brokers}/{topic}"),
            Self::EventHubs(hub) => write!(f, "eventhubs:{hub}"),
            Self::Kinesis(stream) => write!(f, "kinesis:{stream}"),
            Self::PubSub(topic) => write!(f, "pubsub:{topic}"),
        }
    }
}
