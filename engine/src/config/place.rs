//! The keys beside a URL: what the object store that it leads to wants to know.
//!
//! The one idea: every place of a region file takes the same keys, declared once; they are read here, and nowhere else is
//! it asked whether a URL can be right, or lies in a region where data may be.

use serde_spanned::Spanned as At;
use watershed_sinks::store::{Encryption, Location, StoreOptions, without_credentials};

use super::keys::KeySet;
use super::read::without_unknown;
use super::residency::{self, Outside};
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

/// What a place is for: some keys mean something to some places only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Files in parts, those of dead letters included.
    Lake,
    /// State, in whole objects.
    State,
    /// Data that is read, and never written.
    Table,
}

impl Purpose {
    /// The keys that mean nothing here, and why.
    fn idle_keys(self) -> (&'static [&'static str], &'static str) {
        match self {
            Self::Lake => (&[], ""),
            Self::State => (
                &["storage_class", "max_uploads"],
                "is about the files of a lake, and state is read and replaced all the time",
            ),
            Self::Table => (
                &["storage_class", "kms_key", "patience", "max_uploads"],
                "is about what is written, and a table is only read",
            ),
        }
    }
}

/// Reads the keys of the store that `url` leads to. None if the URL, or anything about them, is wrong.
pub(super) fn resolve(
    keys: &Node,
    title: &str,
    url: &At<String>,
    purpose: Purpose,
    context: &Context<'_>,
) -> Option<StoreOptions> {
    hide_secrets(keys, false, context);
    hide_users(keys, url.get_ref(), context);
    let known = is_given(url, "url", context).then(|| location(url, context)).flatten();
    let read: StoreKeys = context.read(keys, title)?;
    let mut options = options(&read);
    let location = known?;
    let span = |key: &str| keys.get(key).map_or_else(|| url.span(), |node| node.span.clone());
    let connecting = options.connection_string.is_some();
    let mut wrong = options.wrong_for(location.cloud());
    if let (None, true) = (&wrong, connecting) {
        let of_string = |why: &str| ("connection_string", format!("`connection_string` {why}"));
        wrong = match options.take_connection_string() {
            Ok(()) => options.wrong_for(location.cloud()).map(|(key, _)| of_string(&format!("holds a broken `{key}`"))),
            Err(why) => Some(of_string(why)),
        };
        let secrets = &mut context.filler.borrow_mut().secrets;
        [&options.account_key, &options.sas_token].into_iter().flatten().for_each(|part| secrets.hide(part));
    }
    if let Some((key, why)) = wrong {
        context.refuse(
            span(key),
            why,
            format!("docs/sinks.md says which keys go with which store, and `{key}` with what"),
        );
        return None;
    }
    let (idle, why) = purpose.idle_keys();
    for key in idle.iter().filter(|key| keys.get(key).is_some()) {
        context.refuse(span(key), format!("`{key}` {why}"), "take it out");
    }
    for (key, is_zero) in [
        ("timeout", read.timeout.is_some_and(|period| period.0.is_zero())),
        ("max_uploads", read.max_uploads == Some(0)),
    ] {
        if is_zero {
            context.refuse(span(key), format!("`{key}` cannot be zero"), "leave it out for the default");
        }
    }
    if let Location::Store(address) = &location {
        let outside = Outside::fill(&mut options, address.cloud, context.filler.borrow().environment);
        if let Some((name, why)) = outside.wrong_endpoint(&options) {
            let message = format!("the environment's {name}, which says what to ask here, {why}");
            context.refuse(url.span(), message, "mend it, or add `endpoint`");
            return None;
        }
        residency::check(&options, address, keys, url, &outside, context);
    }
    Some(options)
}

/// Takes note of users and passwords in addresses. They have no place there; what is wrong is shown without them.
fn hide_users(keys: &Node, url: &str, context: &Context<'_>) {
    let mut filler = context.filler.borrow_mut();
    let secrets = &mut filler.secrets;
    let shown = without_credentials(url);
    if url.contains("://") && shown != url {
        secrets.show_as(url, &shown);
    }
    for key in ["endpoint", "proxy"] {
        let Some(Value::String(text)) = keys.get(key).map(|node| &node.value) else { continue };
        if let Some((scheme, rest)) = text.text.split_once("://")
            && let Some((_, host)) = rest.rsplit_once('@')
        {
            secrets.show_as(&text.text, &format!("{scheme}://***@{host}"));
        }
    }
}

/// What the URL names.
fn location(url: &At<String>, context: &Context<'_>) -> Option<Location> {
    match Location::of(url.get_ref()) {
        Ok(location) => Some(location),
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

fn options(keys: &StoreKeys) -> StoreOptions {
    StoreOptions {
        endpoint: keys.endpoint.clone(),
        aws_region: keys.aws_region.clone(),
        location: keys.location.clone(),
        access_key_id: keys.access_key_id.clone(),
        secret_access_key: keys.secret_access_key.clone(),
        session_token: keys.session_token.clone(),
        profile: keys.profile.clone(),
        role_arn: keys.role_arn.clone(),
        account: keys.account.clone(),
        account_key: keys.account_key.clone(),
        sas_token: keys.sas_token.clone(),
        connection_string: keys.connection_string.clone(),
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
            let options = resolve(&empty, title, &url, Purpose::Lake, context)?;
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
            let options = resolve(&store, title, &url, Purpose::Lake, context)?;
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
