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

fn address(url: &str) -> Address {
    match Location::of(url) {
        Ok(Location::Store(address)) => address,
        other => panic!("{url}: {other:?}"),
    }
}

#[test]
fn urls_lead_to_folders_and_clouds() {
    for (url, cloud, bucket, path) in [
        ("s3://bucket", Cloud::S3, "bucket", ""),
        ("S3A://bucket/x", Cloud::S3, "bucket", "x"),
        ("gs://bucket/x/y/", Cloud::Google, "bucket", "x/y"),
        ("az://container/x%20y", Cloud::Azure, "container", "x y"),
        ("abfss://container@account.dfs.core.windows.net/x", Cloud::Azure, "container", "x"),
    ] {
        let found = address(url);
        assert_eq!((found.cloud, &*found.bucket, found.path.as_ref()), (cloud, bucket, path), "{url}");
    }
    for (url, folder) in [("var/lake", "var/lake"), ("./s3:/x", "./s3:/x"), ("C:x", "C:x"), ("file:///a%20b", "/a b")] {
        assert_eq!(Location::of(url).unwrap(), Location::Folder(folder.into()), "{url}");
    }
}

#[test]
fn what_means_nothing_in_a_url_is_refused() {
    for (url, why) in [
        ("s3://lake:99/x", "names a port"),
        ("s3://user@lake/x", "names a user"),
        ("s3://user:MARKED@lake/x", "names a user"),
        ("abfss://a:MARKED@acme.dfs.core.windows.net/x", "names a user"),
        ("abfss://lake@acme.example/x", "names no storage account"),
        ("s3://lake/x?v=MARKED", "a query or a fragment"),
        ("az://lake/x?sv=MARKED&sig=MARKED", "a query or a fragment"),
        ("gs://lake/x#MARKED", "a query or a fragment"),
        ("s3://lake/y/../x", "leads nowhere"),
        ("s3://lake/./x", "leads nowhere"),
        ("s3://lake/%2e%2E/x", "leads nowhere"),
        ("s3://lake//x", "a folder without a name"),
        ("s3://la%6be/x", "none can be called"),
        ("s3:///x", "no bucket or container"),
        ("s3:/x", "neither a URL"),
        ("s3:x", "neither a URL"),
        ("s3//lake/x", "neither a URL"),
        (" s3://lake/x", "neither a URL"),
        ("gs:///", "no bucket or container"),
        ("htp:/x", "neither a URL"),
        ("/", "the root of this machine's disk"),
        ("//.", "the root of this machine's disk"),
        ("file:///", "the root of this machine's disk"),
    ] {
        let said = Location::of(url).unwrap_err().to_string();
        assert!(said.contains(why) && !said.contains("MARKED"), "{url}: {said}");
    }
}

#[test]
fn one_place_has_many_spellings() {
    let none = StoreOptions::default();
    let of = |account: &str| StoreOptions { account: some(account), ..StoreOptions::default() };
    let same = |one: &str, other: &str, options: &StoreOptions| {
        let (one, other) = (Location::of(one).unwrap(), Location::of(other).unwrap());
        one.is_same(options, &other, options)
    };
    for other in ["s3a://lake/x", "S3://lake/x", "s3://lake/x/", "s3://LAKE/x", "s3://lake/%78"] {
        assert!(same("s3://lake/x", other, &none), "{other}");
    }
    for other in ["s3://lake/X", "s3://lake/x/y", "s3://lakes/x", "gs://lake/x", "lake/x"] {
        assert!(!same("s3://lake/x", other, &none), "{other}");
    }
    for (other, is_one) in [
        ("abfss://lake@acme.dfs.core.windows.net/x", true),
        ("abfss://lake@ACME.blob.core.windows.net/x", true),
        ("abfss://lake@other.dfs.core.windows.net/x", false),
        ("azure://lake/x", true),
    ] {
        assert_eq!(same("az://lake/x", other, &of("acme")), is_one, "{other}");
    }
    // Who does not say which account it is may mean the same one.
    assert!(same("az://lake/x", "abfss://lake@acme.dfs.core.windows.net/x", &none));
    assert!(same("var/lake", "./var//lake/", &none) && same("/a b", "file:///a%20b", &none));
    assert!(!same("var/lake", "var/lakes", &none));
    let holds = |one: &str, other: &str| Location::of(one).unwrap().holds(&none, &Location::of(other).unwrap(), &none);
    assert!(holds("s3://lake/x", "s3a://lake/x/y") && holds("s3://lake", "s3://lake/x") && holds("var", "./var/lake"));
    assert!(
        !holds("s3://lake/x/y", "s3://lake/x") && !holds("s3://lake/x", "s3://lake/xy") && !holds("var/a", "var/ab")
    );
}

#[test]
fn a_store_is_opened_without_a_request() {
    for (url, root) in [
        ("S3://bucket/some/folder/", "some/folder"),
        ("abfss://box@account.dfs.core.windows.net/x", "x"),
        ("az://box/x", "x"),
    ] {
        let options =
            StoreOptions { account: url.starts_with("az").then(|| "account".to_owned()), ..StoreOptions::default() };
        let store = open(url, &options, Patience::Sink).unwrap();
        assert_eq!(store.root.as_ref(), root);
        assert!(url.starts_with(&*store.shown), "{}", store.shown);
    }
}

#[test]
fn a_connection_string_says_account_key_and_server() {
    let taken = |text: &str| {
        let mut options = StoreOptions { connection_string: some(text), ..StoreOptions::default() };
        options.take_connection_string().map(|()| options)
    };
    let key =
        taken("DefaultEndpointsProtocol=https;AccountName=acme;AccountKey=a2V5==;EndpointSuffix=core.windows.net")
            .unwrap();
    assert_eq!((key.account, key.account_key), (some("acme"), some("a2V5==")));
    assert_eq!((key.endpoint, key.connection_string), (some("https://acme.blob.core.windows.net"), None));
    let china = taken("AccountName=acme;AccountKey=a2V5;EndpointSuffix=core.chinacloudapi.cn;").unwrap();
    assert_eq!(china.endpoint, some("https://acme.blob.core.chinacloudapi.cn"));
    let signed = taken("BlobEndpoint=https://acme.blob.core.windows.net/;SharedAccessSignature=sv=1&sig=a%3D").unwrap();
    assert_eq!((signed.account, signed.sas_token), (some("acme"), some("sv=1&sig=a%3D")));
    assert_eq!(signed.endpoint, some("https://acme.blob.core.windows.net"));
    for (text, why) in [
        ("MARKED", "is made of pairs"),
        ("AccountKey=MARKED", "has no AccountName"),
        ("AccountName=acme", "has neither AccountKey"),
        ("UseDevelopmentStorage=true", "names no account"),
    ] {
        let said = taken(text).unwrap_err();
        assert!(said.contains(why) && !said.contains("MARKED"), "{said}");
    }
    let both = StoreOptions { connection_string: some("x=y"), account: some("acme"), ..StoreOptions::default() };
    assert_eq!(both.wrong_for(Some(Cloud::Azure)).unwrap().0, "account");
}

#[test]
fn values_that_no_store_takes_are_refused() {
    let key = |bytes: &str| StoreOptions {
        sse: Some(Encryption::Customer),
        customer_key: some(bytes),
        ..StoreOptions::default()
    };
    assert_eq!(key("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=").wrong_for(Some(Cloud::S3)), None);
    for (options, cloud, why) in [
        (key("c2hvcnQ="), Cloud::S3, "`customer_key` is not 32 bytes in base64"),
        (key("not base64 at all, MARKED"), Cloud::S3, "`customer_key` is not 32 bytes in base64"),
        (
            StoreOptions { account_key: some("MARKED!"), ..StoreOptions::default() },
            Cloud::Azure,
            "`account_key` is not in base64",
        ),
        (
            StoreOptions { sas_token: some("MARKED"), ..StoreOptions::default() },
            Cloud::Azure,
            "`sas_token` is no shared",
        ),
        (StoreOptions { role_arn: some("MARKED"), ..StoreOptions::default() }, Cloud::S3, "`role_arn` is no ARN"),
        (StoreOptions { proxy: some("::::"), ..StoreOptions::default() }, Cloud::Google, "`proxy` is no address"),
        (StoreOptions { location: some(" "), ..StoreOptions::default() }, Cloud::Google, "`location` is empty"),
    ] {
        let (key, said) = options.wrong_for(Some(cloud)).unwrap();
        assert!(said.starts_with(why) && said.contains(key) && !said.contains("MARKED"), "{said}");
    }
    let ends = [
        ("localhost:9000", "is no address"),
        ("https://", "is no address"),
        ("not a url", "is no address"),
        ("ftp://x", "is no address"),
        ("http://a b", "is no address"),
        ("http://user:MARKED@x", "names a user"),
        ("http://x/?y", "has a query"),
    ];
    for (endpoint, why) in ends {
        let said = wrong_endpoint(endpoint).unwrap();
        assert!(said.contains(why) && !said.contains("MARKED"), "{endpoint}: {said}");
    }
    for endpoint in ["http://127.0.0.1:9000", "https://x/prefix", "http://[::1]:9000/", "HTTPS://X"] {
        assert_eq!(wrong_endpoint(endpoint), None, "{endpoint}");
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
        (StoreOptions::default(), Cloud::S3, None),
        (at("https://s3.eu-central-1.amazonaws.com"), Cloud::S3, some("eu-central-1")),
        (at("https://bucket.s3.dualstack.eu-west-3.amazonaws.com/"), Cloud::S3, some("eu-west-3")),
        (
            StoreOptions { aws_region: some("eu-west-1"), ..at("https://s3.us-east-2.amazonaws.com") },
            Cloud::S3,
            some("us-east-2"),
        ),
        (at("https://minio.example:9000"), Cloud::S3, None),
        (StoreOptions { location: some("texas"), ..at("https://minio.example:9000") }, Cloud::S3, some("texas")),
        (at("https://storage.europe-west3.rep.googleapis.com"), Cloud::Google, some("europe-west3")),
        (at("https://storage.googleapis.com"), Cloud::Google, None),
        (StoreOptions::default(), Cloud::Google, None),
        (StoreOptions::default(), Cloud::Azure, None),
        (StoreOptions { location: some("westeurope"), ..StoreOptions::default() }, Cloud::Azure, some("westeurope")),
    ] {
        assert_eq!(options.region(cloud), region, "{:?}", options.endpoint);
    }
}

#[test]
fn google_is_told_the_key_of_each_new_object() {
    let encrypting = encrypting::Encrypting::new(Some("projects/p/key"), Some("NEARLINE")).unwrap();
    let told = |method: http::Method, query: &str| -> Vec<String> {
        encrypting.headers(&method, query).map(|(name, _)| name.to_string()).collect()
    };
    let (key, class) = ("x-goog-encryption-kms-key-name", "x-goog-storage-class");
    assert_eq!(told(http::Method::PUT, ""), [key]);
    assert_eq!(told(http::Method::POST, "uploads="), [key, class]);
    assert_eq!(told(http::Method::POST, "uploads"), [key, class]);
    for (method, query) in [
        (http::Method::PUT, "partNumber=1&uploadId=a"),
        (http::Method::POST, "uploadId=a"),
        (http::Method::GET, "uploads"),
        (http::Method::GET, ""),
        (http::Method::DELETE, ""),
    ] {
        assert!(told(method.clone(), query).is_empty(), "{method} {query}");
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
    let batch = Error::Generic {
        store: "MicrosoftAzure",
        source: "Bulk delete request failed for key x: no (code: 403)".into(),
    };
    assert!(refusal(&batch, Cloud::Azure, Deed::Delete).unwrap().contains("allow Microsoft.Storage/…/blobs/delete"));
    let elsewhere = Error::Generic { store: "S3", source: "Received redirect without LOCATION, this normally".into() };
    assert!(refusal(&elsewhere, Cloud::S3, Deed::Write).unwrap().contains("mend `aws_region`"));
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
