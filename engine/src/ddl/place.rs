//! Where a lake is, in the spellings of those who read it.

/// A location, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// A bucket of S3, and a key in it.
    S3(&'a str),
    /// A bucket of Google Cloud Storage, and a key in it.
    Gcs(&'a str),
    /// A container of an Azure storage account, with the host of the account.
    Azure { account: &'a str, container: &'a str, path: &'a str },
    /// A folder of this machine.
    Local(&'a str),
    /// Something else.
    Other,
}

impl<'a> Place<'a> {
    /// Takes a location apart that has no slash at its end.
    pub(super) fn of(location: &'a str) -> Self {
        let Some((scheme, rest)) = location.split_once("://") else { return Self::Local(location) };
        match scheme {
            "s3" | "s3a" => Self::S3(rest),
            "gs" | "gcs" => Self::Gcs(rest),
            "file" => Self::Local(rest),
            "abfs" | "abfss" => Self::by_file_system(rest).unwrap_or(Self::Other),
            "azure" | "https" => Self::by_host(rest).unwrap_or(Self::Other),
            _ => Self::Other,
        }
    }

    /// The place as Hadoop's file systems, and what reads by their names, spell it; `s3` is the scheme of S3. None if there
    /// is no such spelling.
    pub(super) fn url(self, s3: &str) -> Option<String> {
        match self {
            Self::S3(key) => Some(format!("{s3}://{key}")),
            Self::Gcs(key) => Some(format!("gs://{key}")),
            Self::Azure { account, container, path } => {
                let container = format!("{container}@{account}.dfs.core.windows.net");
                Some(format!("abfss://{}", in_container(&container, path)))
            }
            Self::Local(path) => Some(file_url(path)),
            Self::Other => None,
        }
    }

    /// `container@account.dfs.core.windows.net/path`.
    fn by_file_system(rest: &'a str) -> Option<Self> {
        let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (container, host) = place.split_once('@')?;
        Some(Self::Azure { account: account(host)?, container, path })
    }

    /// `account.dfs.core.windows.net/container/path`.
    fn by_host(rest: &'a str) -> Option<Self> {
        let (host, path) = rest.split_once('/')?;
        let (container, path) = path.split_once('/').unwrap_or((path, ""));
        Some(Self::Azure { account: account(host)?, container, path })
    }
}

fn account(host: &str) -> Option<&str> {
    [".dfs.core.windows.net", ".blob.core.windows.net"].iter().find_map(|suffix| host.strip_suffix(suffix))
}

/// `container/path`, without a slash at its end.
pub(super) fn in_container(container: &str, path: &str) -> String {
    if path.is_empty() { container.to_owned() } else { format!("{container}/{path}") }
}

/// A URL for a folder of this machine.
fn file_url(path: &str) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.into());
    format!("file://{}", path.display())
}
