//! What a URL names: a folder of this machine, or a place in an object store.
//!
//! The one idea: a place has many spellings, and one [`Address`]. What in a URL could mean nothing is refused, so that two
//! spellings of one place are never taken for two places.
//!
//! | written | is |
//! |---|---|
//! | `s3://lake/x`, `s3a://lake/x`, `S3://lake/x/`, `s3://lake/%78` | `x` in the bucket `lake` of S3 |
//! | `az://lake/x`, `abfs://lake/x` | `x` in the container `lake` of the account that is said elsewhere |
//! | `abfss://lake@acme.dfs.core.windows.net/x` | the same, of the account `acme` |
//! | `s3://lake:99/x`, `s3://u@lake/x`, `s3://lake/x?y`, `s3://lake/a/../x`, `s3://lake//x` | refused |
//! | `s3:/lake/x`, `s3//lake/x`, ` s3://lake/x`, `/` | refused |

use std::path::{Component, Path as LocalPath, PathBuf};

use object_store::path::Path;

use super::{Cloud, StoreOptions};
use crate::error::SinkError;

/// What a URL names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A folder of this machine; a relative one starts from the current folder.
    Folder(PathBuf),
    /// A place in an object store.
    Store(Address),
}

/// A place in an object store, however it was spelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Who runs the store.
    pub cloud: Cloud,
    /// The host of the Azure account, where the URL names it.
    pub account_host: Option<String>,
    /// The bucket or container.
    pub bucket: String,
    /// The folder in it.
    pub path: Path,
}

/// Schemes of URLs, and where they lead; none is this machine.
const SCHEMES: [(&str, Option<Cloud>); 8] = [
    ("file", None),
    ("s3", Some(Cloud::S3)),
    ("s3a", Some(Cloud::S3)),
    ("gs", Some(Cloud::Google)),
    ("az", Some(Cloud::Azure)),
    ("azure", Some(Cloud::Azure)),
    ("abfs", Some(Cloud::Azure)),
    ("abfss", Some(Cloud::Azure)),
];

/// Ends of the hosts of Azure's accounts.
const ACCOUNTS: [&str; 4] =
    ["dfs.core.windows.net", "blob.core.windows.net", "dfs.fabric.microsoft.com", "blob.fabric.microsoft.com"];

impl Location {
    /// Takes `url` apart: a local path, `file://`, `s3://bucket/path`, `gs://bucket/path`, `az://container/path` or
    /// `abfss://container@account.dfs.core.windows.net/path`.
    pub fn of(url: &str) -> Result<Self, SinkError> {
        let refused = |why: &str| SinkError::config(format!("url: {:?} {why}", without_credentials(url)));
        if url.trim().is_empty() {
            return Err(SinkError::config(
                "url: is empty; write a folder, such as \"lake/orders\", or \"s3://bucket/path\"",
            ));
        }
        let Some((scheme, rest)) = url.split_once("://").filter(|(scheme, _)| is_scheme(scheme)) else {
            return local(url).map(Self::Folder).map_err(|why| refused(&why));
        };
        let known = SCHEMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(scheme));
        match known {
            Some((_, None)) => file(rest).map(Self::Folder).map_err(|why| refused(&why)),
            Some((_, Some(cloud))) => Address::of(*cloud, rest).map(Self::Store).map_err(|why| refused(&why)),
            None => Err(SinkError::config(format!(
                "url: {:?}: unknown scheme `{scheme}`; a local path, file://, s3://, gs://, az:// and abfss:// are known",
                without_credentials(url)
            ))),
        }
    }

    /// Who runs the store; none: it is a folder of this machine.
    pub fn cloud(&self) -> Option<Cloud> {
        match self {
            Self::Folder(_) => None,
            Self::Store(address) => Some(address.cloud),
        }
    }

    /// Whether this is the place that `other` is, as far as names tell: one bucket behind two endpoints counts as one. The
    /// options are those beside each URL.
    pub fn is_same(&self, options: &StoreOptions, other: &Self, others: &StoreOptions) -> bool {
        self.holds(options, other, others) && other.holds(others, self, options)
    }

    /// Whether `other` is this place, or one below it.
    pub fn holds(&self, options: &StoreOptions, other: &Self, others: &StoreOptions) -> bool {
        match (self, other) {
            (Self::Folder(one), Self::Folder(other)) => {
                let mut rest = parts(other);
                parts(one).all(|part| rest.next() == Some(part))
            }
            (Self::Store(one), Self::Store(other)) => {
                let accounts = one.account(options).zip(other.account(others));
                one.cloud == other.cloud
                    && one.bucket.eq_ignore_ascii_case(&other.bucket)
                    && other.path.prefix_matches(&one.path)
                    && accounts.is_none_or(|(one, other)| one.eq_ignore_ascii_case(other))
            }
            _ => false,
        }
    }
}

impl Address {
    /// Takes apart what stands behind the scheme; if it can't be right, what is wrong with it.
    fn of(cloud: Cloud, rest: &str) -> Result<Self, String> {
        if rest.contains(['?', '#']) {
            let why = "has a query or a fragment, which a place in a store does not have: what the store wants to know is said by \
                       keys beside the url; in a name write ? as %3F and # as %23";
            return Err(why.to_owned());
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        let host = host.to_ascii_lowercase();
        let (bucket, account_host) = match (cloud, user) {
            (_, None) => (authority, None),
            (Cloud::Azure, Some(container)) if !container.contains(':') => {
                let known =
                    host.split_once('.').is_some_and(|(account, end)| !account.is_empty() && ACCOUNTS.contains(&end));
                if !known {
                    return Err("names no storage account: behind the @ stands one such as acme.dfs.core.windows.net"
                        .to_owned());
                }
                (container, Some(host))
            }
            (_, Some(_)) => {
                return Err("names a user: who asks is said by keys beside the url".to_owned());
            }
        };
        if bucket.is_empty() {
            return Err("names no bucket or container".to_owned());
        }
        if bucket.contains(':') {
            return Err("names a port: another server is named by `endpoint` beside the url".to_owned());
        }
        let letters: &[u8] = if cloud == Cloud::Azure { b"-$" } else { b"-._" };
        if !bucket.bytes().all(|byte| byte.is_ascii_alphanumeric() || letters.contains(&byte)) {
            return Err("names a bucket or container that none can be called".to_owned());
        }
        // One slash at the end makes no other place.
        let path = path.strip_suffix('/').unwrap_or(path);
        if !path.is_empty() && path.split('/').any(str::is_empty) {
            return Err("has a folder without a name: write one slash between two folders".to_owned());
        }
        let path = Path::from_url_path(path).map_err(|_| {
            "has a folder that none can be called, such as `..`, which leads nowhere in a store: write the folder itself"
                .to_owned()
        })?;
        Ok(Self { cloud, account_host, bucket: bucket.to_owned(), path })
    }

    /// The URL of the bucket, as clients of stores know it.
    pub(super) fn bucket_url(&self) -> String {
        let bucket = &self.bucket;
        match (self.cloud, &self.account_host) {
            (Cloud::S3, _) => format!("s3://{bucket}"),
            (Cloud::Google, _) => format!("gs://{bucket}"),
            (Cloud::Azure, Some(host)) => format!("abfss://{bucket}@{host}"),
            (Cloud::Azure, None) => format!("az://{bucket}"),
        }
    }

    /// The Azure account, where the URL or a key says it.
    fn account<'a>(&'a self, options: &'a StoreOptions) -> Option<&'a str> {
        let named = self.account_host.as_deref().and_then(|host| host.split('.').next());
        named.or(options.account.as_deref())
    }
}

/// A local path; one that was meant for a URL is refused, and says so.
fn local(path: &str) -> Result<PathBuf, String> {
    let head = path.split('/').next().unwrap_or_default().trim();
    let word = head.trim_end_matches([':', '.', ';']);
    let is_known = SCHEMES.iter().any(|(name, _)| name.eq_ignore_ascii_case(word));
    let looks_like_url = match head.split_once(':') {
        // `s3:/lake`, `s3:lake`, ` s3://lake`, `http:/x`; not `C:/lake`.
        Some((scheme, rest)) => {
            let is_known = SCHEMES.iter().any(|(name, _)| name.eq_ignore_ascii_case(scheme));
            is_known || (rest.is_empty() && is_scheme(scheme) && scheme.len() > 1)
        }
        None => is_known && path.split_once('/').is_some_and(|(_, rest)| rest.starts_with('/')),
    };
    if looks_like_url {
        let why = "is neither a URL, which has :// behind its scheme, as in \"s3://bucket/path\", nor a folder, which would be \
                   written with ./ before it";
        return Err(why.to_owned());
    }
    not_root(PathBuf::from(path))
}

/// What stands behind `file://`.
fn file(rest: &str) -> Result<PathBuf, String> {
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    if !path.starts_with('/') {
        return Err("names a host; a local folder has three slashes, as in \"file:///var/lake\"".to_owned());
    }
    match percent_decoded(path) {
        Some(path) => not_root(PathBuf::from(path)),
        None => Err("has a broken % escape; write % itself as %25".to_owned()),
    }
}

fn not_root(path: PathBuf) -> Result<PathBuf, String> {
    match path.components().all(|part| matches!(part, Component::RootDir | Component::CurDir)) && path.has_root() {
        true => Err("is the root of this machine's disk, and no folder for data".to_owned()),
        false => Ok(path),
    }
}

/// The parts of a path that lead somewhere.
fn parts(path: &LocalPath) -> impl Iterator<Item = Component<'_>> {
    path.components().filter(|part| *part != Component::CurDir)
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(byte);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

/// The URL without password, query and fragment; a user stays only where it names an Azure container.
pub fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
    let authority = match authority.rsplit_once('@') {
        Some((user, host)) if scheme.to_ascii_lowercase().starts_with("abfs") && !user.contains(':') => {
            format!("{user}@{host}")
        }
        Some((_, host)) => host.to_owned(),
        None => authority.to_owned(),
    };
    format!("{scheme}://{authority}{path}")
}
