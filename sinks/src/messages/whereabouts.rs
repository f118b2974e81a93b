//! Where a host lies, as far as its name says: what `[residency]` is held against.
//!
//! The one idea: nobody can ask a broker or a web server in which region it stands, but the clouds write it into the names
//! that they give.
//!
//! | name | lies in |
//! |---|---|
//! | `b-1.orders.a1b2c3.c2.kafka.eu-west-1.amazonaws.com` | `eu-west-1` |
//! | `abc.execute-api.us-gov-west-1.amazonaws.com`, `abc.lambda-url.us-east-1.on.aws` | `us-gov-west-1`, `us-east-1` |
//! | `pkc-41973.westeurope.azure.confluent.cloud:9092` | `westeurope` |
//! | `bootstrap.orders.europe-west3.managedkafka.acme.cloud.goog` | `europe-west3` |
//! | `europe-west1-pubsub.googleapis.com`, `pubsub.europe-west1.rep.googleapis.com` | `europe-west1` |
//! | `alerts-512.europe-west3.run.app`, `alerts.westeurope.cloudapp.azure.com` | `europe-west3`, `westeurope` |
//! | `localhost`, `127.0.0.1`, `::1` | here |
//! | any other | nobody knows |

use std::net::IpAddr;

use url::Url;

/// Where a host lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whereabouts {
    /// On this machine.
    Here,
    /// In the region of this name.
    Region(String),
    /// Its name does not say.
    Unknown,
}

/// What stands behind the region in names of clouds that have it at one place.
const BEHIND: [&str; 6] = [
    ".aws.confluent.cloud",
    ".azure.confluent.cloud",
    ".gcp.confluent.cloud",
    ".run.app",
    ".cloudapp.azure.com",
    ".rep.googleapis.com",
];

/// Of Amazon, whose names have it anywhere.
const AMAZON: [&str; 4] = [".amazonaws.com", ".amazonaws.com.cn", ".on.aws", ".api.aws"];

impl Whereabouts {
    /// Where the host called `name` lies; `name` has no port.
    pub fn of(name: &str) -> Self {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let address: Option<IpAddr> = name.trim_start_matches('[').trim_end_matches(']').parse().ok();
        if name == "localhost" || name.ends_with(".localhost") || address.is_some_and(|address| address.is_loopback()) {
            return Self::Here;
        }
        let label = AMAZON
            .iter()
            .find_map(|end| name.strip_suffix(end)?.rsplit('.').find(|label| is_amazon_region(label)))
            .or_else(|| BEHIND.iter().find_map(|end| name.strip_suffix(end)?.rsplit('.').next()))
            .or_else(|| name.strip_suffix(".cloud.goog")?.split_once(".managedkafka.")?.0.rsplit('.').next())
            .or_else(|| name.strip_suffix("-pubsub.googleapis.com").filter(|region| !region.contains('.')));
        match label {
            // `alerts-abc-ew.a.run.app` has a cell where others have the region.
            Some(label) if label.len() > 2 => Self::Region(label.to_owned()),
            _ => Self::Unknown,
        }
    }
}

/// Two letters, words and a number: `eu-west-1`, `us-gov-east-1`.
fn is_amazon_region(label: &str) -> bool {
    let mut words = label.split('-');
    let first = words.next().is_some_and(|word| word.len() == 2 && word.bytes().all(|b| b.is_ascii_lowercase()));
    let words: Vec<&str> = words.collect();
    let Some((number, middle)) = words.split_last() else { return false };
    first
        && !middle.is_empty()
        && middle.iter().all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase()))
        && number.parse::<u8>().is_ok()
}

/// The host of an address like `https://host:port`; none if it has none.
pub(crate) fn host_of_url(address: &str) -> Option<String> {
    Some(Url::parse(address).ok()?.host_str()?.to_owned())
}

/// The host of `host:port`.
pub(crate) fn host_of(address: &str) -> &str {
    match address.rsplit_once(':') {
        // An address of IPv6 without brackets has no port.
        Some((host, _)) if !host.contains(':') || host.ends_with(']') => host,
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_lie_where_the_table_says() {
        let regions = [
            ("b-1.orders.a1b2c3.c2.kafka.eu-west-1.amazonaws.com", "eu-west-1"),
            ("abc.execute-api.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
            ("abc.lambda-url.us-east-1.on.aws", "us-east-1"),
            ("x.kinesis.eu-west-1.vpce.amazonaws.com", "eu-west-1"),
            ("PKC-41973.WestEurope.azure.confluent.cloud.", "westeurope"),
            ("bootstrap.orders.europe-west3.managedkafka.acme.cloud.goog", "europe-west3"),
            ("europe-west1-pubsub.googleapis.com", "europe-west1"),
            ("pubsub.us-east4.rep.googleapis.com", "us-east4"),
            ("alerts-512.europe-west3.run.app", "europe-west3"),
            ("alerts.westeurope.cloudapp.azure.com", "westeurope"),
        ];
        for (host, region) in regions {
            assert_eq!(Whereabouts::of(host), Whereabouts::Region(region.to_owned()), "{host}");
        }
        for host in ["localhost", "127.0.0.1", "127.1.2.3", "::1", "[::1]"] {
            assert_eq!(Whereabouts::of(host), Whereabouts::Here, "{host}");
        }
        for host in ["acme.com", "pubsub.googleapis.com", "10.0.0.7", "alerts-abc-ew.a.run.app", "localhost.acme.com"] {
            assert_eq!(Whereabouts::of(host), Whereabouts::Unknown, "{host}");
        }
    }

    #[test]
    fn a_port_is_no_part_of_a_host() {
        let cases = [("a.b:9092", "a.b"), ("a.b", "a.b"), ("[::1]:9092", "[::1]"), ("::1", "::1"), ("[::1]", "[::1]")];
        for (address, host) in cases {
            assert_eq!(host_of(address), host);
        }
    }
}
