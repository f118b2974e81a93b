//! Files that are not what they should be.

use super::*;

async fn read_all(path: &str) -> Result<usize, SourceError> {
    let source = source(path, None, None, parquet());
    source.splits().await?;
    let mut reader = source.open(&SplitId::new(path), None).await?;
    let mut records = Records::default();
    let mut rows = 0;
    while reader.read(&mut records, ReadLimits { bytes: 1 << 20, wait: Duration::ZERO }).await? != ReadStatus::Ended {
        rows += records.len();
        records.clear();
    }
    Ok(rows)
}

#[tokio::test]
async fn a_file_that_is_cut_off_or_no_parquet_is_named() {
    let folder = Folder::new();
    let whole = fs::read(folder.events("whole.parquet", &[&[1, 2, 3], &[4]])).unwrap();
    let path = folder.text("bad/a.parquet");
    fs::create_dir_all(folder.text("bad")).unwrap();
    let long = vec![b'x'; 4096];
    for content in [&[][..], b"PAR1", b"{\"n\":1}\n", &whole[..whole.len() - 1], &whole[8..], &whole[..40], &long] {
        fs::write(&path, content).unwrap();
        let error = read_all(&path).await.unwrap_err().to_string();
        assert!(error.contains("bad/a.parquet cannot be read as Parquet"), "{error}");
    }
}

/// Whatever a byte is changed to, the file is read or refused by its name.
#[tokio::test]
async fn damage_anywhere_is_an_error_at_most() {
    let folder = Folder::new();
    let seconds: Vec<i64> = (0..300).collect();
    let whole = fs::read(folder.events("whole.parquet", &[&seconds[..200], &seconds[200..]])).unwrap();
    let path = folder.text("a.parquet");
    let mut refused = 0;
    for at in (0..whole.len()).step_by(5) {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (at % 8);
        fs::write(&path, &damaged).unwrap();
        if let Err(error) = read_all(&path).await {
            assert!(error.to_string().contains("a.parquet"), "{error}");
            refused += 1;
        }
    }
    assert!(refused > 0);
    // The first page is missing.
    let mut cut = whole.clone();
    cut[4..400].fill(0);
    fs::write(&path, &cut).unwrap();
    let error = read_all(&path).await.unwrap_err().to_string();
    assert!(error.contains("a.parquet cannot be read as Parquet"), "{error}");
}

#[tokio::test]
async fn a_file_without_rows_is_no_split() {
    let folder = Folder::new();
    folder.events("none.parquet", &[&[]]);
    folder.events("some.parquet", &[&[], &[1], &[]]);
    assert_eq!(numbers(&source(&folder.path(), None, None, parquet())).await, [("some.parquet".to_owned(), vec![1])]);
}

#[tokio::test]
async fn a_file_of_another_schema_has_rows_of_what_it_has() {
    let folder = Folder::new();
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
    let other = RecordBatch::try_from_iter([("ts", texts.clone()), ("other", texts)]).unwrap();
    folder.parquet("other.parquet", &[other], EnabledStatistics::Chunk);
    let columns = Some(vec!["n".to_owned()]);
    let event_time = Some(EventTime { column: "ts".to_owned(), unit: None, days: false });
    let source = source(&folder.path(), Some(10), None, ReplayFormat::Parquet { columns, event_time });
    let split = source.splits().await.unwrap().remove(0);
    assert_eq!(source.promise(&split), None);
    let mut reader = source.open(&split, None).await.unwrap();
    let mut records = Records::default();
    reader.read(&mut records, ReadLimits { bytes: 100, wait: Duration::ZERO }).await.unwrap();
    // Two rows without any of the columns that were asked for.
    assert_eq!((records.len(), records.columns().unwrap().num_columns()), (2, 0));
    assert_eq!(&*records.shown(0), b"{}");
}

#[tokio::test]
async fn positions_of_other_files_are_refused() {
    let folder = Folder::new();
    let path = folder.events("a.parquet", &[&[1, 2], &[3]]);
    let source = source(&path, None, None, parquet());
    let split = SplitId::new(path);
    for (position, rest_of) in [(r#"{"row_group":0,"row":2}"#, vec![3]), (r#"{"row_group":2,"row":0}"#, vec![])] {
        let position: Position = serde_json::from_str(position).unwrap();
        let mut reader = source.open(&split, Some(&position)).await.unwrap();
        assert_eq!(rest(&mut *reader, 1).await, rest_of);
    }
    for wrong in [
        r#"{"row_group":0,"row":3}"#,
        r#"{"row_group":2,"row":1}"#,
        r#"{"row_group":3,"row":0}"#,
        r#"{"offset":7}"#,
        "7",
    ] {
        let position: Position = serde_json::from_str(wrong).unwrap();
        let Err(error) = source.open(&split, Some(&position)).await else { panic!("{wrong}") };
        assert!(matches!(error, SourceError::Config { .. }), "{error}");
        assert!(error.to_string().contains("a.parquet"), "{error}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_told() {
    let folder = Folder::new();
    let none = open_error(&source(&folder.path(), None, None, parquet())).await;
    assert!(none.contains("holds no file to read"), "{none}");
    let gone = open_error(&source(&folder.text("gone.parquet"), None, None, parquet())).await;
    assert!(gone.contains("does not exist"), "{gone}");
    folder.events("a.parquet", &[&[1]]);
    let json = open_error(&source(&folder.path(), None, None, ReplayFormat::Json)).await;
    assert!(json.contains("set format = \"parquet\""), "{json}");
}
