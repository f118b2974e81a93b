//! Where a table's files are looked for.

#![allow(clippy::expect_used)]

use object_store::PutPayload;
use object_store::memory::InMemory;

use super::*;

async fn there(objects: &Arc<dyn ObjectStore>, path: &str) -> bool {
    let is_folder = path.ends_with('/');
    let place = Whereabouts::Store { objects: objects.clone(), path: Path::from(path), is_folder };
    place.is_there().await.expect("memory answers")
}

#[tokio::test]
async fn an_object_or_a_prefix_of_some_is_there() {
    let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    assert!(!there(&objects, "").await, "an empty bucket");
    for key in ["dim/countries.csv", "dim/old/countries.csv", "empty"] {
        objects.put(&Path::from(key), PutPayload::from_static(b"code\nDE\n")).await.expect("memory takes objects");
    }
    for path in ["dim/countries.csv", "dim/", "dim", "dim/old", "", "empty"] {
        assert!(there(&objects, path).await, "{path:?}");
    }
    // `empty/` is what a console calls a folder, with nothing in it.
    for path in ["dim/countries", "dim/countries.csv/", "countries.csv", "empty/", "di"] {
        assert!(!there(&objects, path).await, "{path:?}");
    }
}

#[tokio::test]
async fn what_is_gone_when_it_is_read_again_is_no_empty_table() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("t.csv");
    std::fs::write(&file, "code\nDE\n").expect("a file");
    let toml = format!("region = \"eu\"\n[tables.t]\nurl = \"{}\"\nschema = {{ code = \"string\" }}\n", file.display());
    let environment = |_: &str| Err(std::env::VarError::NotPresent);
    let region = crate::config::parse(std::path::Path::new("eu.toml"), toml.into_bytes(), &environment, 1);
    let opened = open(&region.expect("the region is right").tables["t"]).await.expect("a table");
    let session = SessionContext::new();
    session.register_table("t", opened.provider).expect("a name");
    let read = async || session.sql("SELECT * FROM t").await.expect("a plan").collect().await;
    assert_eq!(read().await.expect("rows").iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
    std::fs::remove_file(&file).expect("it is there");
    let error = SqlError::from(read().await.expect_err("it is gone"));
    assert!(error.message.contains("table `t`: there is nothing at"), "{error}");
    std::fs::write(&file, "code\nDE\nFR\n").expect("a file");
    assert_eq!(read().await.expect("rows").iter().map(RecordBatch::num_rows).sum::<usize>(), 2);
}
