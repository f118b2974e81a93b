//! Which files a path, a glob or a folder means, and what is refused.

use std::os::unix::fs::symlink;

use super::*;

async fn names(folder: &Folder, pattern: &str) -> Vec<String> {
    let base = format!("{}/", folder.0.path().display());
    let splits = source(&folder.text(pattern), Framing::Lines).splits().await.unwrap();
    splits.iter().map(|split| split.as_str().strip_prefix(&base).unwrap().to_owned()).collect()
}

async fn refused(pattern: &str) -> String {
    refusal(source(pattern, Framing::Lines).splits().await)
}

#[tokio::test]
async fn globs_and_folders_name_sorted_files() {
    let folder = Folder::new();
    for name in ["b.json", "a.json", "a.csv", ".x.json", "_x.json", "deep/c.json", "deep/er/d.json", "_deep/e.json"] {
        folder.write(name, "x\n");
    }
    symlink(folder.path("deep"), folder.path("deep/er/loop")).unwrap();
    symlink(folder.path("nowhere"), folder.path("dangling.json")).unwrap();
    for (pattern, expected) in [
        ("", &["a.csv", "a.json", "b.json", "deep/c.json", "deep/er/d.json"][..]),
        ("*.json", &["a.json", "b.json"]),
        ("?.json", &["a.json", "b.json"]),
        ("[a].*", &["a.csv", "a.json"]),
        ("{a,b}.json", &["a.json", "b.json"]),
        ("**/*.json", &["a.json", "b.json", "deep/c.json", "deep/er/d.json"]),
        ("deep/**", &["deep/c.json", "deep/er/d.json"]),
        ("*/*.json", &["deep/c.json"]),
        ("*/er/*.json", &["deep/er/d.json"]),
        (".*.json", &[".x.json"]),
        ("_*.json", &["_x.json"]),
        ("_deep/*", &["_deep/e.json"]),
        ("deep", &["deep/c.json", "deep/er/d.json"]),
        ("deep//er/../er/*.json", &["deep/er/../er/d.json"]),
        (".x.json", &[".x.json"]),
    ] {
        assert_eq!(names(&folder, pattern).await, expected, "{pattern}");
    }
}

#[tokio::test]
async fn a_name_with_wildcards_in_it_is_a_name_first() {
    let folder = Folder::new();
    folder.write("data[1].json", "x\n");
    folder.write("data1.json", "x\n");
    assert_eq!(names(&folder, "data[1].json").await, ["data[1].json"]);
}

#[tokio::test]
async fn what_is_not_there_is_refused() {
    let folder = Folder::new();
    fs::create_dir(folder.path("empty")).unwrap();
    let path = folder.text("missing.json");
    assert_eq!(
        refused(&path).await,
        format!("{path} does not exist: check path, which counts from the working directory")
    );
    let path = folder.text("*.json");
    assert_eq!(
        refused(&path).await,
        format!("no file matches \"{path}\": check path, which counts from the working directory")
    );
    assert!(refused(&folder.text("no/such/*.json")).await.contains("no file matches"));
    let path = folder.text("empty");
    assert!(refused(&path).await.starts_with(&format!("folder {path} holds no file to read")));
}

#[tokio::test]
async fn what_cannot_be_read_is_refused() {
    let folder = Folder::new();
    // A link to itself cannot be opened by anybody, root included.
    symlink(folder.path("circle"), folder.path("circle")).unwrap();
    assert!(refused(&folder.text("circle")).await.contains("circle cannot be read: "));
    let path = folder.write("file", "x\n");
    assert!(refused(&format!("{path}/below")).await.contains("cannot be read: "));
    assert!(refused("/dev/null").await.contains("is neither a file nor a folder"));
}

#[tokio::test]
async fn a_file_without_permission_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let path = folder.write("secret", "x\n");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o0)).unwrap();
    let opened = source(&path, Framing::Lines).open(&SplitId::new(path.as_str()), None).await;
    // Root may read it all the same.
    if fs::File::open(&path).is_err() {
        assert_eq!(refusal(opened), format!("{path} may not be read by this user: change its permissions"));
    } else {
        assert!(opened.is_ok());
    }
}

#[tokio::test]
async fn a_name_that_is_not_utf8_is_refused() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let folder = Folder::new();
    fs::write(folder.path("x").with_file_name(OsStr::from_bytes(b"bad\xff")), "x\n").unwrap();
    assert!(refused(&folder.text("")).await.contains("the name is not UTF-8"));
}

#[test]
fn options_that_cannot_work_are_refused() {
    let make = |text: &str, framing| {
        let options: FileOptions = serde_json::from_str(text).unwrap();
        refusal(FileSource::new(options, framing))
    };
    assert!(make(r#"{"path": ""}"#, Framing::Lines).contains("path is empty"));
    assert!(make(r#"{"path": "a[b"}"#, Framing::Lines).contains("path \"a[b\" is no glob"));
    assert!(
        make(r#"{"path": "a", "max_record_bytes": 0}"#, Framing::Lines)
            .contains("max_record_bytes = 0B is out of range")
    );
    assert!(make(r#"{"path": "a", "max_record_bytes": "2GiB"}"#, Framing::Lines).contains("from 1B to 1GiB"));
    assert!(
        make(r#"{"path": "a.gz", "follow": true}"#, Framing::Lines).contains("a compressed file cannot be followed")
    );
    assert!(make(r#"{"path": "logs/*.zst", "follow": true}"#, Framing::Lines).contains("cannot be followed"));
    let newline = Framing::Csv { header: false, quote: b'\n' };
    assert!(make(r#"{"path": "a"}"#, newline).contains("the csv quote"));
}

#[test]
fn options_are_read_strictly() {
    let options: FileOptions = serde_json::from_str(r#"{"path": "a", "max_record_bytes": "2MB"}"#).unwrap();
    assert_eq!(options, FileOptions { max_record_bytes: ByteSize(2_000_000), ..FileOptions::new("a") });
    assert_eq!(FileOptions::new("a").max_record_bytes, ByteSize(16 << 20));
    for text in [r#"{}"#, r#"{"path": "a", "folow": true}"#, r#"{"path": "a", "max_record_bytes": "much"}"#] {
        assert!(serde_json::from_str::<FileOptions>(text).is_err(), "{text}");
    }
}
