//! The environment leads places of a store no further than the file could.

use watershed_sinks::store::StoreOptions;

use super::{good, region_with};
use crate::config::Region;
use crate::diagnostic::render_all;

fn lake(keys: &str) -> String {
    format!("region = \"eu-west-1\"\n[residency]\nallow = [\"eu-*\"]\n[sinks.lake]\nconnector = \"parquet\"\n{keys}\n")
}

fn refused(keys: &str, variables: &[(&str, &str)]) -> String {
    match region_with(&lake(keys), variables) {
        Ok(region) => panic!("accepted with {variables:?}: {region:?}"),
        Err(errors) => render_all(&errors, false),
    }
}

fn store(region: &Region) -> &StoreOptions {
    &region.sinks["lake"].options.files().unwrap().store
}

#[test]
fn the_environment_is_held_against_residency() {
    let at_amazon = "url = \"s3://acme/lake\"\naws_region = \"eu-west-1\"";
    for name in ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"] {
        let said = refused(at_amazon, &[(name, "https://s3.us-east-1.amazonaws.com")]);
        assert!(
            said.contains(&format!("`us-east-1`, where this place lies by {name}, is outside [residency]")),
            "{said}"
        );
        assert!(said.contains("region.toml:6:7"), "{said}");
    }
    let anywhere = "url = \"s3://acme/lake\"";
    for name in ["AWS_REGION", "AWS_DEFAULT_REGION"] {
        let said = refused(anywhere, &[(name, "us-west-2")]);
        assert!(said.contains(&format!("`us-west-2`, where this place lies by {name}")), "{said}");
    }
    let said =
        refused("url = \"gs://acme/lake\"", &[("GOOGLE_BASE_URL", "https://storage.us-east4.rep.googleapis.com")]);
    assert!(said.contains("`us-east4`, where this place lies by GOOGLE_BASE_URL"), "{said}");
}

#[test]
fn the_file_goes_before_the_environment() {
    let keys = "url = \"s3://acme/lake\"\naws_region = \"eu-west-1\"\nendpoint = \"https://minio.example\"";
    let variables = [("AWS_ENDPOINT_URL_S3", "https://s3.us-east-1.amazonaws.com"), ("AWS_REGION", "us-east-1")];
    let region = region_with(&lake(keys), &variables).unwrap();
    let options = store(&region);
    let said = (options.endpoint.as_deref(), options.aws_region.as_deref());
    assert_eq!(said, (Some("https://minio.example"), Some("eu-west-1")));
}

#[test]
fn what_the_file_leaves_out_comes_from_the_environment() {
    let variables = [("AWS_ENDPOINT", "https://minio.example"), ("AWS_REGION", "eu-west-3"), ("AWS_ENDPOINT_URL", "")];
    let region = region_with(&lake("url = \"s3://acme/lake\""), &variables).unwrap();
    let options = store(&region);
    let said = (options.endpoint.as_deref(), options.aws_region.as_deref());
    assert_eq!(said, (Some("https://minio.example"), Some("eu-west-3")));
    // Nothing of that is about folders.
    let local = region_with(&lake("url = \"var/lake\""), &variables).unwrap();
    assert_eq!(*store(&local), StoreOptions::default());
}

#[test]
fn a_server_that_the_environment_names_has_an_address() {
    let said = refused("url = \"s3://acme/lake\"\naws_region = \"eu-1\"", &[("AWS_ENDPOINT_URL", "localhost:9000")]);
    assert!(said.contains("the environment's AWS_ENDPOINT_URL, which says what to ask here, is no address"), "{said}");
}

#[test]
fn places_that_say_or_tell_where_they_lie_are_taken() {
    for keys in [
        "url = \"az://acme/lake\"\naccount = \"acme\"\nlocation = \"eu-west\"",
        "url = \"gs://acme/lake\"",
        "url = \"s3://acme/lake\"",
        "url = \"gs://acme/lake\"\nlocation = \"eu-west3\"",
        "url = \"s3://acme/lake\"\nendpoint = \"https://minio.example\"",
        "url = \"s3://acme/lake\"\naws_region = \"eu-west-1\"\nlocation = \"eu-west-1\"",
    ] {
        good(&lake(keys));
    }
}
