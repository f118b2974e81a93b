#![allow(clippy::unwrap_used)]

use super::*;

#[tokio::test]
async fn a_file_that_is_no_key_is_named_and_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.json");
    let said = async || {
        let access = Access { endpoint: None, credentials: Some(&file) };
        access.credentials("projects/a/topics/b").await.unwrap_err().to_string()
    };
    let missing = said().await;
    assert!(missing.contains("`credentials`") && missing.contains("key.json"), "{missing}");
    for (text, expected) in [
        ("marked", "not JSON"),
        (r#"{"type": "marked"}"#, "service_account, authorized_user"),
        (r#"{"type": "service_account", "private_key": "marked"}"#, "lacks"),
    ] {
        std::fs::write(&file, text).unwrap();
        let said = said().await;
        assert!(said.contains(expected) && !said.contains("marked"), "{text}: {said}");
    }
}
