//! Whether a place lies where data may be, as far as the region file and the environment say.
//!
//! The one idea: each word about a place is held against `[residency]`, and against the others: the server's name, the region
//! that requests are signed for, and `location`. Where none of them is there and the store will not tell either, the file is
//! refused.
//!
//! | at | says where it lies | asked at the start |
//! |---|---|---|
//! | S3 of Amazon | `aws_region`, else AWS_REGION; the host of `endpoint`; `location` | the bucket |
//! | what speaks like S3 | `location`, else `aws_region` | the bucket |
//! | Google | `location`, the host of `endpoint` | the bucket |
//! | Azure | `location`, which is required | – |

use globset::GlobMatcher;
use serde_spanned::Spanned as At;
use watershed_sinks::store::{Address, Cloud, StoreOptions, wrong_endpoint};

use super::fill::Environment;
use super::resolve::Context;
use super::tree::{Node, Value};

/// What to know of `allow`.
const HELP: &str = "data may go to the regions that `allow` names, and to no others";

/// The variables that the environment said a server or a region by, where the file did not.
#[derive(Debug, Default)]
pub(super) struct Outside {
    endpoint: Option<&'static str>,
    region: Option<&'static str>,
}

impl Outside {
    /// Takes from the environment what the clouds' own tools take from there, so that it is looked at as what the file says.
    pub(super) fn fill(options: &mut StoreOptions, cloud: Cloud, environment: Environment<'_>) -> Self {
        let fill = |value: &mut Option<String>, names: &[&'static str]| {
            if value.is_some() {
                return None;
            }
            let given = |name: &&str| environment(name).ok().filter(|text| !text.trim().is_empty());
            let (name, text) = names.iter().find_map(|name| Some((*name, given(name)?)))?;
            *value = Some(text);
            Some(name)
        };
        match cloud {
            Cloud::S3 => Self {
                endpoint: fill(&mut options.endpoint, &["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"]),
                region: fill(&mut options.aws_region, &["AWS_REGION", "AWS_DEFAULT_REGION"]),
            },
            Cloud::Azure => {
                fill(&mut options.account, &["AZURE_STORAGE_ACCOUNT_NAME"]);
                let endpoint = fill(&mut options.endpoint, &["AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"]);
                Self { endpoint, region: None }
            }
            Cloud::Google => Self { endpoint: fill(&mut options.endpoint, &["GOOGLE_BASE_URL"]), region: None },
        }
    }

    /// The variable that names no server, and why.
    pub(super) fn wrong_endpoint(&self, options: &StoreOptions) -> Option<(&'static str, &'static str)> {
        Some((self.endpoint?, wrong_endpoint(options.endpoint.as_deref()?)?))
    }
}

/// One word about where a place lies.
struct Word {
    region: String,
    /// The key that says it, where the file does.
    key: &'static str,
    /// Who says it, where the file does not.
    says: Option<&'static str>,
    /// Whether requests go there, and not only the name of a region with them.
    leads: bool,
}

/// Refuses a place of which a word says that it lies outside, or of which two words say different things, or of which there is
/// none where there has to be one.
pub(super) fn check(
    options: &StoreOptions,
    address: &Address,
    keys: &Node,
    url: &At<String>,
    outside: &Outside,
    context: &Context<'_>,
) {
    if context.allowed.borrow().is_none() {
        return;
    }
    let whole = Node { span: url.span(), value: Value::Broken };
    let node = |key: &str| keys.get(key).unwrap_or(&whole);
    let words = words(options, address.cloud, outside);
    for word in &words {
        match word.says {
            None => check_inside(&word.region, node(word.key), context),
            Some(says) if !may_be_in(&word.region, context) => {
                let message = format!("`{}`, where this place lies by {says}, is outside [residency]", word.region);
                context.refuse(url.span(), message, format!("{HELP}; add `{}` for another", word.key));
            }
            Some(_) => {}
        }
    }
    let Some(location) = &options.location else {
        if address.cloud == Cloud::Azure && words.is_empty() {
            let message = "nothing says in which region this place lies, and there is [residency]";
            let help = "add the region of its storage account, as in location = \"westeurope\": Azure does not tell";
            context.refuse(url.span(), message, help);
        }
        return;
    };
    let said = node("location");
    check_inside(location, said, context);
    if let Some(word) = words.iter().find(|word| word.leads && !word.region.eq_ignore_ascii_case(location)) {
        let by = word.says.map_or_else(|| format!("`{}`", word.key), str::to_owned);
        let message = format!("`location` names another region than {by}, which leads to `{}`", word.region);
        context.refuse(said.span.clone(), message, "leave it out, or mend one of the two");
    }
}

/// What the address says, but for `location`.
fn words(options: &StoreOptions, cloud: Cloud, outside: &Outside) -> Vec<Word> {
    let mut words = Vec::new();
    if cloud == Cloud::S3 {
        let region = options.aws_region.clone();
        let leads = options.is_amazons();
        words.extend(region.map(|region| Word { region, key: "aws_region", says: outside.region, leads }));
    }
    let host = options.endpoint_region();
    words.extend(host.map(|region| Word { region, key: "endpoint", says: outside.endpoint, leads: true }));
    words
}

/// Refuses a region in which no data may be, where `node` names it.
pub(super) fn check_inside(region: &str, node: &Node, context: &Context<'_>) {
    if may_be_in(region, context) {
        return;
    }
    let shown = if node.is_filled() { context.written(&node.span) } else { region.to_owned() };
    let message = format!("`{shown}`, where this place lies, is outside [residency]");
    context.refuse(node.span.clone(), message, HELP);
}

/// True if data may be in `region`.
pub(super) fn is_inside(allowed: &[GlobMatcher], region: &str) -> bool {
    allowed.iter().any(|pattern| pattern.is_match(region))
}

fn may_be_in(region: &str, context: &Context<'_>) -> bool {
    context.allowed.borrow().as_ref().is_none_or(|allowed| is_inside(allowed, region))
}
