//! Requests to a bucket that the stores' clients do not know: which uploads are unfinished, an upload with headers of its
//! own, and where the bucket lies.
//!
//! The one idea: S3 and Google answer the same XML to the same questions, so there is one way to ask; only the signature
//! differs. Clients, credentials and addresses are those of the store's own client.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use object_store::aws::{AmazonS3, AwsAuthorizer};
use object_store::client::{HttpClient, HttpRequestBody};
use object_store::gcp::GoogleCloudStorage;
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{Error, Result};
use serde::Deserialize;
use url::Url;

use super::uploads::Unfinished;

/// Tries of a question; what asks it can wait for the next start.
const TRIES: usize = 4;
/// Pause before the second try, doubled each time.
const PAUSE: Duration = Duration::from_millis(100);

/// Says where a bucket of S3 lies.
const BUCKET_REGION: &str = "x-amz-bucket-region";

/// A bucket, asked directly.
pub(super) struct Bucket {
    pub(super) client: HttpClient,
    pub(super) kind: Kind,
}

/// Whose bucket it is.
pub(super) enum Kind {
    S3 { store: Arc<AmazonS3>, region: String, request_payer: bool },
    Google { store: Arc<GoogleCloudStorage>, base: Url },
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::S3 { store, .. } => write!(f, "Bucket({store})"),
            Kind::Google { store, .. } => write!(f, "Bucket({store})"),
        }
    }
}

/// What a bucket answers.
struct Answer {
    headers: HeaderMap,
    body: Bytes,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    #[serde(default)]
    is_truncated: bool,
    next_key_marker: Option<String>,
    next_upload_id_marker: Option<String>,
    #[serde(default, rename = "Upload")]
    uploads: Vec<ListedUpload>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedUpload {
    key: String,
    upload_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Begun {
    upload_id: String,
}

#[derive(Deserialize)]
struct LocationConstraint {
    #[serde(rename = "$text")]
    name: Option<String>,
}

impl Bucket {
    /// The unfinished uploads below a folder.
    pub(super) async fn unfinished(&self, below: &Path) -> Result<Vec<Unfinished>> {
        let prefix = if below.is_root() { String::new() } else { format!("{below}/") };
        let mut found = Vec::new();
        let mut after: Option<(String, String)> = None;
        loop {
            let mut query = vec![("uploads", ""), ("prefix", prefix.as_str())];
            if let Some((key, id)) = &after {
                query.extend([("key-marker", key.as_str()), ("upload-id-marker", id.as_str())]);
            }
            let answer = self.ask(Method::GET, None, &query, &[]).await?;
            let listed: Listed = self.parsed(&answer.body)?;
            for upload in listed.uploads {
                // What can be no name of ours is somebody else's.
                if let Ok(key) = Path::parse(&upload.key) {
                    found.push(Unfinished { key, id: upload.upload_id });
                }
            }
            match (listed.is_truncated, listed.next_key_marker) {
                (true, Some(key)) => after = Some((key, listed.next_upload_id_marker.unwrap_or_default())),
                _ => return Ok(found),
            }
        }
    }

    /// Begins an upload with `headers`; gives its id.
    pub(super) async fn begin(&self, key: &Path, headers: &[(&'static str, String)]) -> Result<String> {
        let answer = self.ask(Method::POST, Some(key), &[("uploads", "")], headers).await?;
        let begun: Begun = self.parsed(&answer.body)?;
        Ok(begun.upload_id)
    }

    /// The region in which the bucket lies.
    pub(super) async fn region(&self) -> Result<Option<String>> {
        match &self.kind {
            Kind::S3 { .. } => {
                let answer = self.ask(Method::HEAD, None, &[], &[]).await?;
                let region = answer.headers.get(BUCKET_REGION);
                Ok(region.and_then(|region| region.to_str().ok()).map(str::to_owned))
            }
            Kind::Google { .. } => {
                let answer = self.ask(Method::GET, None, &[("location", "")], &[]).await?;
                let location: LocationConstraint = self.parsed(&answer.body)?;
                Ok(location.name.map(|name| name.to_ascii_lowercase()))
            }
        }
    }

    async fn ask(
        &self,
        method: Method,
        key: Option<&Path>,
        query: &[(&str, &str)],
        headers: &[(&'static str, String)],
    ) -> Result<Answer> {
        let mut url = self.url(key).await?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut pause = PAUSE;
        for _ in 1..TRIES {
            match self.once(&method, &url, headers).await {
                Err(Error::Generic { .. }) => tokio::time::sleep(pause).await,
                answer => return answer,
            }
            pause *= 2;
        }
        self.once(&method, &url, headers).await
    }

    async fn once(&self, method: &Method, url: &Url, headers: &[(&'static str, String)]) -> Result<Answer> {
        let mut request = Request::builder().method(method.clone()).uri(url.as_str()).header("content-length", "0");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let mut request = request.body(HttpRequestBody::empty()).map_err(generic)?;
        match &self.kind {
            Kind::S3 { store, region, request_payer } => {
                let credential = store.credentials().get_credential().await?;
                let signer = AwsAuthorizer::new(&credential, "s3", region).with_request_payer(*request_payer);
                signer.authorize(&mut request, None);
            }
            Kind::Google { store, .. } => {
                let credential = store.credentials().get_credential().await?;
                let value = format!("Bearer {}", credential.bearer).parse::<HeaderValue>().map_err(generic)?;
                request.headers_mut().insert("authorization", value);
            }
        }
        let (parts, body) = self.client.execute(request).await.map_err(generic)?.into_parts();
        let body = body.bytes().await.map_err(generic)?;
        // S3 says where a bucket lies even to those who asked in another region, or may not ask for more.
        let tells = *method == Method::HEAD && parts.headers.contains_key(BUCKET_REGION);
        if parts.status.is_success() || tells {
            return Ok(Answer { headers: parts.headers, body });
        }
        Err(refused(parts.status, url.path(), &String::from_utf8_lossy(&body)))
    }

    /// The address of the bucket, or of an object in it.
    async fn url(&self, key: Option<&Path>) -> Result<Url> {
        let mut url = match &self.kind {
            // The client tells its addresses only as signed ones.
            Kind::S3 { store, .. } => {
                let any = Path::from("any");
                let mut url = store.signed_url(Method::GET, key.unwrap_or(&any), Duration::from_secs(60)).await?;
                if key.is_none()
                    && let Ok(mut segments) = url.path_segments_mut()
                {
                    segments.pop();
                }
                url
            }
            Kind::Google { base, .. } => {
                let mut url = base.clone();
                if let (Some(key), Ok(mut segments)) = (key, url.path_segments_mut()) {
                    segments.extend(key.parts().map(|part| part.as_ref().to_owned()));
                }
                url
            }
        };
        url.set_query(None);
        Ok(url)
    }

    fn parsed<'de, T: Deserialize<'de>>(&self, body: &'de Bytes) -> Result<T> {
        let text = std::str::from_utf8(body).map_err(generic)?;
        quick_xml::de::from_str(text).map_err(generic)
    }
}

fn generic(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Generic { store: "bucket", source: Box::new(error) }
}

fn refused(status: StatusCode, path: &str, body: &str) -> Error {
    let (path, source) = (path.to_owned(), format!("{status}: {body}").into());
    match status {
        StatusCode::FORBIDDEN => Error::PermissionDenied { path, source },
        StatusCode::UNAUTHORIZED => Error::Unauthenticated { path, source },
        StatusCode::NOT_FOUND => Error::NotFound { path, source },
        StatusCode::NOT_IMPLEMENTED | StatusCode::METHOD_NOT_ALLOWED => Error::NotSupported { source },
        _ => Error::Generic { store: "bucket", source },
    }
}
