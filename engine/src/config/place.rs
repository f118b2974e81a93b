//! The keys beside a URL: what the object store that it leads to wants to know.
//!
//! The one idea: every place of a region file takes the same keys, declared once; they are read here, and nowhere else is
//! it asked whether a URL can be right, or lies in a region where data may be.

use globset::GlobMatcher;
use serde_spanned::Spanned as At;
use watershed_sinks::store::{Cloud, Encryption, Location, StoreOptions};

use super::keys::KeySet;
use super::read::without_unknown;
use super::resolve::{Context, is_given, split};
use super::source::hide_secrets;
use super::tree::{Node, Value};
use super::written::{EncryptionKey, StoreKeys};

/// Names of the keys.
pub(super) fn names() -> Vec<&'static str> {
    StoreKeys::KEYS.iter().map(|key| key.name).collect()
}

/// Parts a table whose other keys are `own` into those, unknown ones reported, and the keys of its store.
pub(super) fn part(table: &Node, title: &str, own: &[&str], context: &Context<'_>) -> (Node, Node) {
    let store = names();
    let known: Vec<&str> = own.iter().chain(&store).copied().collect();
    let table = without_unknown(table, title, &known, &context.document, &context.findings);
    let (store, own) = split(&table, &store);
    (own, store)
}

/// Reads the keys of the store that `url` leads to. None if the URL, or anything about them, is wrong.
pub(super) fn resolve(keys: &Node, title: &str, url: &At<String>, context: &Context<'_>) -> Option<StoreOptions> {
    hide_secrets(keys, false, context);
    let known = is_given(url, "url", context).then(|| location(url, context)).flatten();
    let read: StoreKeys = context.read(keys, title)?;
    let options = options(&read);
    let cloud = known?;
    if let Some((key, why)) = options.wrong_for(cloud) {
        let span = keys.get(key).map_or_else(|| url.span(), |node| node.span.clone());
        context.refuse(span, why, format!("docs/sinks.md says which keys go with which store, and `{key}` with what"));
        return None;
    }
    for (key, is_zero) in [
        ("timeout", read.timeout.is_some_and(|period| period.0.is_zero())),
        ("max_uploads", read.max_uploads == Some(0)),
    ] {
        if is_zero {
            let span = keys.get(key).map_or_else(|| url.span(), |node| node.span.clone());
            context.refuse(span, format!("`{key}` cannot be zero"), "leave it out for the default");
        }
    }
    if let Some(cloud) = cloud {
        check_residency(&options, cloud, keys, url, context);
    }
    Some(options)
}

/// What the URL names; of local folders, no cloud.
fn location(url: &At<String>, context: &Context<'_>) -> Option<Option<Cloud>> {
    match Location::of(url.get_ref()) {
        Ok(Location::Folder(_)) => Some(None),
        Ok(Location::Store(cloud)) => Some(Some(cloud)),
        Err(error) => {
            // A filled-in URL is shown as written.
            let written = context.written(&url.span());
            let message = match written == *url.get_ref() {
                true => error.to_string(),
                false => format!("`url`: \"{written}\" leads nowhere"),
            };
            context.refuse(url.span(), message, "write a folder, such as \"var/lake\", or \"s3://bucket/path\"");
            None
        }
    }
}

fn check_residency(options: &StoreOptions, cloud: Cloud, keys: &Node, url: &At<String>, context: &Context<'_>) {
    let Some(region) = options.region(cloud) else { return };
    let of = if options.aws_region.is_some() { "aws_region" } else { "endpoint" };
    let url = Node { span: url.span(), value: Value::Broken };
    check_inside(&region, keys.get(of).unwrap_or(&url), context);
}

/// Refuses a region in which no data may be, where `node` names it.
pub(super) fn check_inside(region: &str, node: &Node, context: &Context<'_>) {
    if context.allowed.borrow().as_ref().is_none_or(|allowed| is_inside(allowed, region)) {
        return;
    }
    let shown = if node.is_filled() { context.written(&node.span) } else { region.to_owned() };
    let message = format!("`{shown}`, where this place lies, is outside [residency]");
    context.refuse(node.span.clone(), message, "data may go to the regions that `allow` names, and to no others");
}

/// True if data may be in `region`.
pub(super) fn is_inside(allowed: &[GlobMatcher], region: &str) -> bool {
    allowed.iter().any(|pattern| pattern.is_match(region))
}

fn options(keys: &StoreKeys) -> StoreOptions {
    StoreOptions {
        endpoint: keys.endpoint.clone(),
        aws_region: keys.aws_region.clone(),
        access_key_id: keys.access_key_id.clone(),
        secret_access_key: keys.secret_access_key.clone(),
        session_token: keys.session_token.clone(),
        account: keys.account.clone(),
        account_key: keys.account_key.clone(),
        sas_token: keys.sas_token.clone(),
        tenant_id: keys.tenant_id.clone(),
        client_id: keys.client_id.clone(),
        client_secret: keys.client_secret.clone(),
        credentials: keys.credentials.clone(),
        sse: keys.sse.map(|sse| match sse {
            EncryptionKey::S3 => Encryption::S3,
            EncryptionKey::Kms => Encryption::Kms,
            EncryptionKey::KmsTwice => Encryption::KmsTwice,
            EncryptionKey::Customer => Encryption::Customer,
        }),
        kms_key: keys.kms_key.clone(),
        customer_key: keys.customer_key.clone(),
        storage_class: keys.storage_class.clone(),
        request_payer: keys.request_payer.unwrap_or_default(),
        proxy: keys.proxy.clone(),
        timeout: keys.timeout.map(|period| period.0),
        retries: keys.retries.map(|retries| retries as usize),
        patience: keys.patience.map(|period| period.0),
        max_uploads: keys.max_uploads.map(|uploads| uploads as usize),
    }
}

/// Reads a key that holds a place: a URL, or a table of one with the keys of its store.
pub(super) fn inside(node: &Node, title: &str, context: &Context<'_>) -> Option<(String, StoreOptions)> {
    let empty = Node { span: node.span.clone(), value: Value::Table(Vec::new()) };
    match &node.value {
        Value::String(text) => {
            let url = At::new(node.span.clone(), text.text.clone());
            let options = resolve(&empty, title, &url, context)?;
            Some((url.into_inner(), options))
        }
        Value::Table(_) => {
            let (own, store) = part(node, title, &["url"], context);
            let Some(Node { value: Value::String(text), span }) = own.get("url") else {
                let help = "write url = \"s3://bucket/path\"";
                context.refuse(node.span.clone(), format!("`{title}` has no `url`"), help);
                return None;
            };
            let url = At::new(span.clone(), text.text.clone());
            let options = resolve(&store, title, &url, context)?;
            Some((url.into_inner(), options))
        }
        Value::Broken => None,
        _ => {
            let message = format!("`{title}` is a folder, a URL, or a table with a `url`");
            context.refuse(node.span.clone(), message, "write it as \"s3://bucket/path\", or { url = \"…\", … }");
            None
        }
    }
}
