//! The registry's HTTP: three kinds of question, and what their answers mean.

use std::collections::HashSet;
use std::time::Duration;

use reqwest::header::ACCEPT;
use reqwest::{Certificate, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;
use watershed_connectors::{Secret, SourceError};

use super::RegistryOptions;
use crate::decode::{RegisteredSchema, SchemaKind};

/// The largest answer.
const MAX_BYTES: usize = 4 << 20;
/// Schemas that one may refer to, directly or not.
const MAX_REFERENCES: usize = 256;
/// A registry answers from memory: one that takes longer is in trouble.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Error codes of the API that say: there is no such thing. All others with the same status come from something else.
const NOT_FOUND: std::ops::RangeInclusive<u32> = 40_400..=40_499;

#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    url: Url,
    username: Option<String>,
    password: Option<Secret>,
    token: Option<Secret>,
}

/// `GET /schemas/ids/{id}` and `GET /subjects/{subject}/versions/{version}`.
#[derive(Debug, Deserialize)]
struct SchemaAnswer {
    schema: String,
    #[serde(rename = "schemaType")]
    kind: Option<String>,
    #[serde(default)]
    references: Option<Vec<Reference>>,
}

#[derive(Debug, Clone, Deserialize)]
struct Reference {
    name: String,
    subject: String,
    version: i64,
}

#[derive(Debug, Deserialize)]
struct ErrorAnswer {
    error_code: u32,
}

impl Client {
    pub(super) fn new(options: &RegistryOptions) -> Result<Self, SourceError> {
        let url = &options.url;
        let wrong = |why: String| SourceError::config(format!("registry {url}: {why}"));
        let mut builder = reqwest::Client::builder().timeout(TIMEOUT).connect_timeout(TIMEOUT);
        if let Some(path) = &options.ca {
            let ca = || format!("the certificates in {}", path.display());
            let pem = std::fs::read(path).map_err(|e| wrong(format!("{} cannot be read: {e}", ca())))?;
            let certificates = Certificate::from_pem_bundle(&pem).map_err(|e| wrong(format!("{}: {e}", ca())))?;
            if certificates.is_empty() {
                return Err(wrong(format!("{}: there are none", ca())));
            }
            builder = builder.tls_certs_only(certificates);
        }
        let http = builder.build().map_err(|e| wrong(chain(&e)))?;
        Ok(Self {
            http,
            url: Url::parse(url).map_err(|e| wrong(e.to_string()))?,
            username: options.username.clone(),
            password: options.password.clone(),
            token: options.token.clone(),
        })
    }

    pub(super) fn address(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }

    /// The schema `id` with all that it refers to; none if there is none.
    pub(super) async fn schema(&self, id: u32) -> Result<Option<RegisteredSchema>, SourceError> {
        let Some(answer) = self.get::<SchemaAnswer>(&["schemas", "ids", &id.to_string()]).await? else {
            return Ok(None);
        };
        let references = self.references(id, answer.references.unwrap_or_default()).await?;
        let kind = match answer.kind.as_deref() {
            None | Some("AVRO") => SchemaKind::Avro,
            Some("PROTOBUF") => SchemaKind::Protobuf,
            Some(_) => SchemaKind::Other,
        };
        Ok(Some(RegisteredSchema { kind, text: answer.schema, references }))
    }

    /// Names and texts of everything that is referred to, each after what it refers to itself.
    async fn references(&self, id: u32, wanted: Vec<Reference>) -> Result<Vec<(String, String)>, SourceError> {
        enum Step {
            Fetch(Reference),
            /// All that it refers to is there.
            Add(String, String),
        }
        let mut steps: Vec<Step> = wanted.into_iter().rev().map(Step::Fetch).collect();
        let (mut found, mut seen) = (Vec::new(), HashSet::new());
        while let Some(step) = steps.pop() {
            let reference = match step {
                Step::Add(name, text) => {
                    found.push((name, text));
                    continue;
                }
                Step::Fetch(reference) => reference,
            };
            if !seen.insert(reference.name.clone()) {
                continue;
            }
            if seen.len() > MAX_REFERENCES {
                return Err(self.trouble(format!("schema {id} refers to more than {MAX_REFERENCES} others")));
            }
            let version = reference.version.to_string();
            let answer: Option<SchemaAnswer> =
                self.get(&["subjects", &reference.subject, "versions", &version]).await?;
            let Some(answer) = answer else {
                let Reference { subject, version, .. } = reference;
                return Err(
                    self.trouble(format!("schema {id} refers to {subject} version {version}, which is not there"))
                );
            };
            steps.push(Step::Add(reference.name, answer.schema));
            steps.extend(answer.references.unwrap_or_default().into_iter().rev().map(Step::Fetch));
        }
        Ok(found)
    }

    fn trouble(&self, why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> SourceError {
        SourceError::retry(format!("registry {}", self.address()), why)
    }

    /// Asks for what is at `path`; none if the registry says that there is no such thing.
    async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<Option<T>, SourceError> {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let mut request = self.http.get(url).header(
            ACCEPT,
            "application/vnd.schemaregistry.v1+json, application/vnd.schemaregistry+json, application/json",
        );
        if let Some(username) = &self.username {
            request = request.basic_auth(username, self.password.as_ref().map(Secret::expose));
        }
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose());
        }
        let response = request.send().await.map_err(|error| self.trouble(chain(&error.without_url())))?;
        let status = response.status();
        let body = self.body(response).await?;
        let not_one = || self.trouble(format!("it answers with {status}, but not as a schema registry; check the URL"));
        match status {
            StatusCode::OK => serde_json::from_slice(&body).map(Some).map_err(|_| not_one()),
            StatusCode::NOT_FOUND => match serde_json::from_slice::<ErrorAnswer>(&body) {
                Ok(answer) if NOT_FOUND.contains(&answer.error_code) || answer.error_code == 404 => Ok(None),
                _ => Err(not_one()),
            },
            StatusCode::UNAUTHORIZED => Err(SourceError::config(format!(
                "registry {} does not know who asks (401): check `username` and `password`, or `token`",
                self.address()
            ))),
            StatusCode::FORBIDDEN => Err(SourceError::config(format!(
                "registry {} does not let us read (403): give the user the right to read schemas (Confluent: DeveloperRead)",
                self.address()
            ))),
            other => Err(self.trouble(format!("it answers with {other}"))),
        }
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, SourceError> {
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| self.trouble(chain(&error.without_url())))? {
            body.extend_from_slice(&piece);
            if body.len() > MAX_BYTES {
                return Err(self.trouble(format!("it answers with more than {MAX_BYTES} bytes")));
            }
        }
        Ok(body)
    }
}

/// An error with all its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
