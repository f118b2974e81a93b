//! The stream's name or ARN, and what it tells.

use crate::error::ClientError;

/// Which stream is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamName {
    /// The name alone.
    pub name: String,
    /// The ARN, where it was given.
    pub arn: Option<String>,
    /// The region that the ARN names.
    pub region: Option<String>,
}

impl StreamName {
    /// Reads a name or an ARN.
    pub fn parse(text: &str) -> Result<Self, ClientError> {
        if !text.starts_with("arn:") {
            if !is_name(text) {
                return Err(ClientError::config(
                    "`stream` is a name of at most 128 letters, digits, dots, dashes and underscores, or an ARN",
                ));
            }
            return Ok(Self { name: text.to_string(), arn: None, region: None });
        }
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        if let [_, _, "kinesis", region, _, resource] = parts[..]
            && let Some(name) = resource.strip_prefix("stream/").filter(|name| is_name(name))
            && !region.is_empty()
        {
            return Ok(Self { name: name.to_string(), arn: Some(text.to_string()), region: Some(region.to_string()) });
        }
        Err(ClientError::config(format!(
            "`stream`: {text} is no ARN of a stream: write \"arn:aws:kinesis:REGION:ACCOUNT:stream/NAME\""
        )))
    }

    /// What goes into a request: the name, unless the ARN was given.
    pub fn requested_name(&self) -> Option<String> {
        self.arn.is_none().then(|| self.name.clone())
    }

    /// The stream as IAM policies name it, as far as it is known.
    pub fn resource(&self, region: &str) -> String {
        self.arn.clone().unwrap_or_else(|| format!("arn:aws:kinesis:{region}:ACCOUNT:stream/{}", self.name))
    }
}

/// The letters that the service allows in names of streams and consumers.
pub fn is_name(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

/// True for names formed as AWS's regions are: `eu-west-1`, `us-gov-east-1`; not `westeurope`, not `europe-west1`.
pub fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let word = |part: &&str| part.len() >= 2 && part.bytes().all(|b| b.is_ascii_lowercase());
    match parts.as_slice() {
        [first, middle @ .., number] if !middle.is_empty() => {
            first.len() == 2
                && word(first)
                && middle.iter().all(word)
                && number.len() == 1
                && number.bytes().all(|b| b.is_ascii_digit())
        }
        _ => false,
    }
}
