//! What a URL names: a folder of this machine, or a place in an object store.

use std::path::PathBuf;

use super::Cloud;
use crate::error::SinkError;

/// What a URL names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A folder of this machine; a relative one starts from the current folder.
    Folder(PathBuf),
    /// A place in an object store.
    Store(Cloud),
}

impl Location {
    /// Takes `url` apart: a local path, `file://`, `s3://bucket/path`, `gs://bucket/path`, `az://container/path` or
    /// `abfss://container@account.dfs.core.windows.net/path`.
    pub fn of(url: &str) -> Result<Self, SinkError> {
        let shown = || format!("{:?}", without_credentials(url));
        if url.trim().is_empty() {
            return Err(SinkError::config(
                "url: is empty; write a folder, such as \"lake/orders\", or \"s3://bucket/path\"",
            ));
        }
        let Some((scheme, rest)) = url.split_once("://").filter(|(scheme, _)| is_scheme(scheme)) else {
            return Ok(Self::Folder(PathBuf::from(url)));
        };
        let cloud = match scheme.to_ascii_lowercase().as_str() {
            "file" => return local_path(rest, &shown()).map(Self::Folder),
            "s3" | "s3a" => Cloud::S3,
            "gs" => Cloud::Google,
            "az" | "azure" | "abfs" | "abfss" => Cloud::Azure,
            _ => {
                return Err(SinkError::config(format!(
                    "url: {}: unknown scheme `{scheme}`; a local path, file://, s3://, gs://, az:// and abfss:// are known",
                    shown()
                )));
            }
        };
        if rest.is_empty() || rest.starts_with('/') {
            return Err(SinkError::config(format!("url: {} names no bucket or container", shown())));
        }
        Ok(Self::Store(cloud))
    }
}

fn local_path(rest: &str, shown: &str) -> Result<PathBuf, SinkError> {
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    if !path.starts_with('/') {
        return Err(SinkError::config(format!(
            "url: {shown} names a host; a local folder has three slashes, as in \"file:///var/lake\""
        )));
    }
    percent_decoded(path)
        .map(PathBuf::from)
        .ok_or_else(|| SinkError::config(format!("url: {shown} has a broken % escape; write % itself as %25")))
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
        Some((user, host)) if scheme.starts_with("abfs") && !user.contains(':') => format!("{user}@{host}"),
        Some((_, host)) => host.to_owned(),
        None => authority.to_owned(),
    };
    format!("{scheme}://{authority}{path}")
}
