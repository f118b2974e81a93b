//! Files of certificates, and files that are none.

#![allow(clippy::unwrap_used)]

use super::{advised, client};

#[test]
fn a_file_without_certificates_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let cases: [(&str, Option<&[u8]>, &str); 4] = [
        ("missing.pem", None, "No such file or directory"),
        ("text.pem", Some(b"nothing of the kind"), "there is no certificate in it"),
        ("cut.pem", Some(b"-----BEGIN CERTIFICATE-----\nMIIB"), "section end"),
        ("wrong.pem", Some(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), "BadEncoding"),
    ];
    for (name, content, words) in cases {
        let file = folder.path().join(name);
        if let Some(content) = content {
            std::fs::write(&file, content).unwrap();
        }
        let error = client(&file).unwrap_err().to_string();
        let named = format!("tls ca {}: ", file.display());
        assert!(error.starts_with(&named) && error.contains(words), "{error}");
    }
}

#[test]
fn only_distrust_has_a_way_out_of_its_own() {
    assert_eq!(advised("connection refused".to_string()), "connection refused");
    assert!(advised("io: invalid peer certificate: UnknownIssuer".to_string()).ends_with("as `tls.ca`"));
}
