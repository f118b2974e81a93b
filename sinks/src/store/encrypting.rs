//! What Google's client does not tell of a new object: the key that it is encrypted with, and its class.
//!
//! The one idea: whoever makes an object (a lake, a log, state) goes through one client, which says so of each that begins.
//! Parts of an upload take both from its beginning, and would be refused with headers of their own.
//!
//! | request | key | class |
//! |---|---|---|
//! | a whole object | told | the bucket's: logs, markers and state are read and replaced all the time |
//! | the beginning of an upload: a file of a lake | told | told |
//! | a part of one, its completion, anything that reads | – | – |

use async_trait::async_trait;
use http::{HeaderName, HeaderValue, Method};
use object_store::client::{HttpClient, HttpError, HttpRequest, HttpResponse, HttpService};
use object_store::{Error, Result};

static KEY: HeaderName = HeaderName::from_static("x-goog-encryption-kms-key-name");
static CLASS: HeaderName = HeaderName::from_static("x-goog-storage-class");

/// What new objects are told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Encrypting {
    key: Option<HeaderValue>,
    class: Option<HeaderValue>,
}

impl Encrypting {
    pub(super) fn new(key: Option<&str>, class: Option<&str>) -> Result<Self> {
        let value = |text: Option<&str>| text.map(HeaderValue::from_str).transpose();
        let wrong = |error| Error::Generic { store: "GCS", source: Box::new(error) };
        Ok(Self { key: value(key).map_err(wrong)?, class: value(class).map_err(wrong)? })
    }

    /// A client that tells it.
    pub(super) fn around(&self, client: HttpClient) -> HttpClient {
        if *self == Self::default() {
            return client;
        }
        HttpClient::new(Telling { client, encrypting: self.clone() })
    }

    /// The headers that a request lacks.
    pub(super) fn headers(
        &self,
        method: &Method,
        query: &str,
    ) -> impl Iterator<Item = (HeaderName, HeaderValue)> + use<> {
        let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
        let begins_upload = *method == Method::POST && has("uploads");
        let is_whole = *method == Method::PUT && !has("uploadId");
        let key = self.key.clone().filter(|_| begins_upload || is_whole).map(|key| (KEY.clone(), key));
        let class = self.class.clone().filter(|_| begins_upload).map(|class| (CLASS.clone(), class));
        key.into_iter().chain(class)
    }
}

#[derive(Debug)]
struct Telling {
    client: HttpClient,
    encrypting: Encrypting,
}

#[async_trait]
impl HttpService for Telling {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let headers = self.encrypting.headers(request.method(), &query);
        request.headers_mut().extend(headers);
        self.client.execute(request).await
    }
}
