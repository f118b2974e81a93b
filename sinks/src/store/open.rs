//! Clients of S3, Azure and Google, made of a URL and [`StoreOptions`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::client::{HttpClient, HttpConnector, ReqwestConnector};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path;
use object_store::{ClientConfigKey, ClientOptions, RetryConfig};
use serde::Deserialize;
use url::Url;

use super::bucket::{Bucket, Kind};
use super::encrypting::Encrypting;
use super::location::{Address, Location, without_credentials};
use super::options::{Encryption, StoreOptions};
use super::uploads::CloudUploads;
use super::{Cloud, Store};
use crate::error::SinkError;

/// What a client may take for a segment of state, of which whoever asks knows the size.
const SEGMENT: Duration = Duration::from_secs(15 * 60);

/// What it may take for a part of a file, beside the time-out.
const PART: Duration = Duration::from_secs(60);

/// Where S3 is asked if nothing says otherwise.
const DEFAULT_REGION: &str = "us-east-1";

/// Google's own server.
const GOOGLE: &str = "https://storage.googleapis.com";

/// Who watches over requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// The state store: it has time-outs, asks again for minutes, and tells about it. The client asks again twice, quickly.
    State,
    /// A sink, in the same way.
    Sink,
    /// The client: ten times within three minutes.
    Client,
}

/// Opens the store that `url` names. No request is made yet.
pub fn open(url: &str, options: &StoreOptions, patience: Patience) -> Result<Store, SinkError> {
    let shown = without_credentials(url);
    let invalid = |why: &dyn std::fmt::Display| {
        let why = why.to_string().replace(url, &shown);
        SinkError::config(format!("url: {shown:?}: {why}"))
    };
    let address = match Location::of(url)? {
        Location::Store(address) => address,
        Location::Folder(folder) => return Err(invalid(&format!("{} is a local folder", folder.display()))),
    };
    options.check(address.cloud)?;
    let opening = Opening { address: &address, url: address.bucket_url(), options, patience };
    let store = match address.cloud {
        Cloud::S3 => opening.s3(),
        Cloud::Azure => opening.azure(),
        Cloud::Google => opening.google(),
    };
    let opened = store.map_err(|error| invalid(&error))?;
    Ok(Store { root: address.path, shown: shown.trim_end_matches('/').into(), ..opened })
}

struct Opening<'a> {
    address: &'a Address,
    /// Of the bucket.
    url: String,
    options: &'a StoreOptions,
    patience: Patience,
}

impl Opening<'_> {
    fn retries(&self) -> RetryConfig {
        let (tries, within) = match self.patience {
            Patience::State | Patience::Sink => (2, 20),
            Patience::Client => (10, 180),
        };
        RetryConfig {
            max_retries: self.options.retries.unwrap_or(tries),
            retry_timeout: Duration::from_secs(within),
            ..RetryConfig::default()
        }
    }

    /// What the HTTP client is told, by whatever builder.
    fn client(&self) -> Vec<(ClientConfigKey, String)> {
        let timeout = match self.patience {
            Patience::State => SEGMENT,
            Patience::Sink => self.options.timeout() + PART,
            Patience::Client => self.options.timeout(),
        };
        let mut keys = vec![(ClientConfigKey::Timeout, humantime::format_duration(timeout).to_string())];
        if let Some(endpoint) = &self.options.endpoint {
            let is_plain = Url::parse(endpoint).is_ok_and(|url| url.scheme() == "http");
            keys.push((ClientConfigKey::AllowHttp, is_plain.to_string()));
        }
        if let Some(proxy) = &self.options.proxy {
            keys.push((ClientConfigKey::ProxyUrl, proxy.clone()));
        }
        keys
    }

    fn s3(&self) -> object_store::Result<Store> {
        let kept = Kept::default();
        let options = self.options;
        let mut builder = AmazonS3Builder::from_env().with_url(&self.url).with_retry(self.retries());
        for (key, value) in self.client() {
            builder = builder.with_config(AmazonS3ConfigKey::Client(key), value);
        }
        let sse = options.sse.map(|sse| match sse {
            Encryption::S3 => "AES256".to_owned(),
            Encryption::Kms => "aws:kms".to_owned(),
            Encryption::KmsTwice => "aws:kms:dsse".to_owned(),
            Encryption::Customer => "sse-c".to_owned(),
        });
        // These keys have no names but as text.
        let encryption = |name: &str| name.parse::<AmazonS3ConfigKey>();
        let keys = [
            (AmazonS3ConfigKey::Endpoint, &options.endpoint),
            // Where the environment has this one, it would go before the other.
            (AmazonS3ConfigKey::S3Endpoint, &options.endpoint),
            (AmazonS3ConfigKey::Region, &options.aws_region),
            (AmazonS3ConfigKey::AccessKeyId, &options.access_key_id),
            (AmazonS3ConfigKey::SecretAccessKey, &options.secret_access_key),
            (AmazonS3ConfigKey::Token, &options.session_token),
            (encryption("aws_server_side_encryption")?, &sse),
            (encryption("aws_sse_kms_key_id")?, &options.kms_key),
            (encryption("aws_sse_customer_key_base64")?, &options.customer_key),
        ];
        for (key, value) in keys {
            if let Some(value) = value {
                builder = builder.with_config(key, value);
            }
        }
        if options.request_payer {
            builder = builder.with_request_payer(true);
        }
        let of = |key: &AmazonS3ConfigKey| builder.get_config_value(key);
        let region = of(&AmazonS3ConfigKey::Region).filter(|region| !region.is_empty());
        let region = region.unwrap_or_else(|| DEFAULT_REGION.to_owned());
        let request_payer = of(&AmazonS3ConfigKey::RequestPayer).is_some_and(|value| value == "true");
        let builder = self.by_chain(builder.with_region(&region), &region);
        let store = Arc::new(builder.with_http_connector(kept.clone()).build()?);
        let bucket = kept.client().map(|client| {
            let kind = Kind::S3 { store: Arc::clone(&store), region, request_payer };
            Arc::new(Bucket { client, kind })
        });
        let mut headers = Vec::new();
        if let Some(class) = &options.storage_class {
            headers.push(("x-amz-storage-class", class.clone()));
            // What the client would have told of encryption.
            if let Some(sse) = &sse
                && options.sse != Some(Encryption::Customer)
            {
                headers.push(("x-amz-server-side-encryption", sse.clone()));
            }
            if let Some(key) = &options.kms_key {
                headers.push(("x-amz-server-side-encryption-aws-kms-key-id", key.clone()));
            }
        }
        let uploads = CloudUploads { store: Arc::clone(&store), bucket: bucket.clone(), headers };
        Ok(Store { cloud: Some(Cloud::S3), bucket, ..Store::new(store, Arc::new(uploads), Path::ROOT, "") })
    }

    /// Lets AWS's own chain find the keys, where a profile or a role is named.
    fn by_chain(&self, builder: AmazonS3Builder, region: &str) -> AmazonS3Builder {
        #[cfg(feature = "kinesis")]
        if self.options.profile.is_some() || self.options.role_arn.is_some() {
            return builder.with_credentials(Arc::new(super::chain::Chain::new(self.options, region)));
        }
        // The options refuse both.
        #[cfg(not(feature = "kinesis"))]
        let _ = (self.options, region);
        builder
    }

    fn azure(&self) -> object_store::Result<Store> {
        let options = self.options;
        let mut builder = MicrosoftAzureBuilder::from_env().with_url(&self.url).with_retry(self.retries());
        for (key, value) in self.client() {
            builder = builder.with_config(AzureConfigKey::Client(key), value);
        }
        let keys = [
            (AzureConfigKey::Endpoint, &options.endpoint),
            (AzureConfigKey::AccountName, &options.account),
            (AzureConfigKey::AccessKey, &options.account_key),
            (AzureConfigKey::SasKey, &options.sas_token),
            (AzureConfigKey::AuthorityId, &options.tenant_id),
            (AzureConfigKey::ClientId, &options.client_id),
            (AzureConfigKey::ClientSecret, &options.client_secret),
        ];
        for (key, value) in keys {
            if let Some(value) = value {
                builder = builder.with_config(key, value);
            }
        }
        let store = Arc::new(builder.build()?);
        let uploads = CloudUploads { store: Arc::clone(&store), bucket: None, headers: Vec::new() };
        Ok(Store { cloud: Some(Cloud::Azure), ..Store::new(store, Arc::new(uploads), Path::ROOT, "") })
    }

    fn google(&self) -> object_store::Result<Store> {
        let options = self.options;
        let encrypting = Encrypting::new(options.kms_key.as_deref(), options.storage_class.as_deref())?;
        let kept = Kept { encrypting, ..Kept::default() };
        let mut builder = GoogleCloudStorageBuilder::from_env().with_url(&self.url).with_retry(self.retries());
        for (key, value) in self.client() {
            builder = builder.with_config(GoogleConfigKey::Client(key), value);
        }
        if let Some(endpoint) = &options.endpoint {
            builder = builder.with_base_url(endpoint);
        }
        if let Some(path) = &options.credentials {
            builder = builder.with_service_account_path(path);
        }
        let base = google_base(&builder);
        let store = Arc::new(builder.with_http_connector(kept.clone()).build()?);
        let base = Url::parse(&format!("{}/{}", base.trim_end_matches('/'), self.address.bucket));
        let bucket = match (kept.client(), base) {
            (Some(client), Ok(base)) => {
                Some(Arc::new(Bucket { client, kind: Kind::Google { store: Arc::clone(&store), base } }))
            }
            _ => None,
        };
        let uploads = CloudUploads { store: Arc::clone(&store), bucket: bucket.clone(), headers: Vec::new() };
        Ok(Store { cloud: Some(Cloud::Google), bucket, ..Store::new(store, Arc::new(uploads), Path::ROOT, "") })
    }
}

/// The server that a Google client will ask: the one it is told, or the one in the key of its service account.
fn google_base(builder: &GoogleCloudStorageBuilder) -> String {
    #[derive(Deserialize)]
    struct Key {
        gcs_base_url: Option<String>,
    }
    let told = builder.get_config_value(&GoogleConfigKey::BaseUrl);
    let in_key = || {
        let path = builder.get_config_value(&GoogleConfigKey::ServiceAccount);
        let text = match path {
            Some(path) => std::fs::read_to_string(path).ok()?,
            None => builder.get_config_value(&GoogleConfigKey::ServiceAccountKey)?,
        };
        serde_json::from_str::<Key>(&text).ok()?.gcs_base_url
    };
    told.or_else(in_key).unwrap_or_else(|| GOOGLE.to_owned())
}

/// Makes clients, and keeps the last one: a builder makes those for credentials first, its own in the end.
#[derive(Debug, Clone, Default)]
struct Kept {
    last: Arc<Mutex<Option<HttpClient>>>,
    /// What new objects are told.
    encrypting: Encrypting,
}

impl Kept {
    fn client(&self) -> Option<HttpClient> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl HttpConnector for Kept {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = self.encrypting.around(ReqwestConnector::default().connect(options)?);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(client.clone());
        Ok(client)
    }
}
