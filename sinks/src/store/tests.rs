#![allow(clippy::unwrap_used, clippy::expect_used)]

use object_store::Error;

use super::*;

fn wrong(cloud: Option<Cloud>, change: impl FnOnce(&mut StoreOptions)) -> String {
    let mut options = StoreOptions::default();
    change(&mut options);
    options.wrong_for(cloud).map_or_else(|| "nothing".to_owned(), |(key, why)| format!("{key}: {why}"))
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn urls_lead_to_folders_and_clouds() {
    for (url, cloud) in [
        ("s3://bucket", Cloud::S3),
        ("S3A://bucket/x", Cloud::S3),
        ("gs://bucket/x/y", Cloud::Google),
        ("az://container/x", Cloud::Azure),
        ("abfss://container@account.dfs.core.windows.net/x", Cloud::Azure),
    ] {
        assert_eq!(Location::of(url).unwrap(), Location::Store(cloud), "{url}");
    }
    assert_eq!(Location::of("var/lake").unwrap(), Location::Folder("var/lake".into()));
}

#[test]
fn a_store_is_opened_without_a_request() {
    for (url, root) in [
        ("s3://bucket/some/folder/", "some/folder"),
        ("abfss://box@account.dfs.core.windows.net/x", "x"),
        ("az://box/x?sv=secret", "x"),
    ] {
        let options =
            StoreOptions { account: url.starts_with("az").then(|| "account".to_owned()), ..StoreOptions::default() };
        let store = open(url, &options, Patience::Sink).unwrap();
        assert_eq!(store.root.as_ref(), root);
        assert!(!store.shown.contains("secret") && url.starts_with(&*store.shown), "{}", store.shown);
    }
}

#[test]
fn keys_of_another_store_are_refused() {
    let local = wrong(None, |options| options.endpoint = some("http://x"));
    assert!(local.contains("endpoint: `endpoint` is about object stores"), "{local}");
    let google = wrong(Some(Cloud::Google), |options| options.aws_region = some("eu-west-1"));
    assert!(google.contains("`aws_region` is for S3, and the url is of Google Cloud Storage"), "{google}");
    let azure = wrong(Some(Cloud::Azure), |options| options.storage_class = some("COLD"));
    assert!(azure.contains("`storage_class` is for S3 and Google Cloud Storage"), "{azure}");
}

#[test]
fn keys_that_go_together_are_asked_for() {
    for (options, part) in [
        (StoreOptions { access_key_id: some("k"), ..StoreOptions::default() }, "needs `secret_access_key`"),
        (StoreOptions { secret_access_key: some("k"), ..StoreOptions::default() }, "needs `access_key_id`"),
        (StoreOptions { session_token: some("k"), ..StoreOptions::default() }, "needs `access_key_id`"),
        (StoreOptions { sse: Some(Encryption::Customer), ..StoreOptions::default() }, "needs `customer_key`"),
        (StoreOptions { customer_key: some("k"), ..StoreOptions::default() }, "sse = \"customer\""),
        (
            StoreOptions { sse: Some(Encryption::S3), kms_key: some("k"), ..StoreOptions::default() },
            "sse = \"aws:kms\"",
        ),
    ] {
        let (_, why) = options.wrong_for(Some(Cloud::S3)).unwrap();
        assert!(why.contains(part), "{why}");
    }
    let kms = StoreOptions { sse: Some(Encryption::Kms), kms_key: some("k"), ..StoreOptions::default() };
    assert_eq!(kms.wrong_for(Some(Cloud::S3)), None);
}

#[test]
fn regions_are_told_by_keys_and_by_hosts() {
    let at = |endpoint: &str| StoreOptions { endpoint: some(endpoint), ..StoreOptions::default() };
    for (options, cloud, region) in [
        (StoreOptions { aws_region: some("eu-west-1"), ..StoreOptions::default() }, Cloud::S3, some("eu-west-1")),
        (at("https://s3.eu-central-1.amazonaws.com"), Cloud::S3, some("eu-central-1")),
        (at("https://bucket.s3.dualstack.eu-west-3.amazonaws.com/"), Cloud::S3, some("eu-west-3")),
        (at("https://minio.example:9000"), Cloud::S3, None),
        (at("https://storage.europe-west3.rep.googleapis.com"), Cloud::Google, some("europe-west3")),
        (at("https://storage.googleapis.com"), Cloud::Google, None),
        (StoreOptions::default(), Cloud::Azure, None),
    ] {
        assert_eq!(options.region(cloud), region, "{:?}", options.endpoint);
    }
}

#[test]
fn options_show_which_they_are_and_nothing_else() {
    let options =
        StoreOptions { secret_access_key: some("MARKED"), endpoint: some("MARKED"), ..StoreOptions::default() };
    let shown = format!("{options:?}");
    assert!(!shown.contains("MARKED") && shown.contains("secret_access_key"), "{shown}");
}

#[test]
fn a_refusal_names_what_to_allow() {
    let denied = |source: &str| Error::PermissionDenied { path: "x".to_owned(), source: source.to_owned().into() };
    let said = refusal(&denied("403: <Error><Code>AccessDenied</Code></Error>"), Cloud::S3, Deed::Delete).unwrap();
    assert_eq!(said, "permission denied (AccessDenied); allow s3:DeleteObject, or check the credentials");
    let removing = Error::Generic { store: "S3", source: "request failed for key x: no (code: AccessDenied)".into() };
    assert_eq!(refusal(&removing, Cloud::S3, Deed::Delete).as_deref(), Some(&*said));
    let listing = Error::Generic {
        store: "S3",
        source: "Error performing list request: Server returned non-2xx status code: 403 Forbidden: ".into(),
    };
    assert!(refusal(&listing, Cloud::Google, Deed::List).unwrap().contains("allow storage.objects.list"));
    let missing = Error::NotFound { path: "x".to_owned(), source: "NoSuchBucket".into() };
    assert!(refusal(&missing, Cloud::S3, Deed::Write).unwrap().contains("no such bucket"));
    let slow = Error::Generic { store: "S3", source: "Server returned non-2xx status code: 503 Slow Down: ".into() };
    assert_eq!(refusal(&slow, Cloud::S3, Deed::Write), None);
}
