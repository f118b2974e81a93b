use super::*;

fn parse(text: &str) -> Result<ParquetOptions, String> {
    toml::from_str(text).map_err(|error| error.to_string())
}

#[test]
fn the_defaults_are_those_of_the_config_reference() {
    let options = parse(r#"url = "lake""#).unwrap();
    assert_eq!(options, ParquetOptions::at("lake"));
    assert_eq!(options.partition_by, ["region", "date", "hour"]);
    assert_eq!(options.roll.size, ByteSize(128_000_000));
    assert_eq!(options.roll.every, Period(Duration::from_secs(300)));
    assert_eq!(options.roll.idle, Period(Duration::from_secs(60)));
    assert_eq!(options.compression, Compression::Zstd);
    assert_eq!(options.bloom_filters, Vec::<String>::new());
    assert_eq!(options.row_group_size, ByteSize(32_000_000));
}

#[test]
fn every_key_is_read() {
    let options = parse(
        r#"
        url = "file:///lake"
        partition_by = ["country"]
        roll = { size = "1MiB", idle = "5s" }
        compression = "snappy"
        bloom_filters = ["user_id"]
        row_group_size = 1_000_000
        "#,
    )
    .unwrap();
    assert_eq!(options.partition_by, ["country"]);
    let roll = Roll { size: ByteSize(1 << 20), every: Roll::default().every, idle: Period(Duration::from_secs(5)) };
    assert_eq!(options.roll, roll);
    assert_eq!(options.compression, Compression::Snappy);
    assert_eq!(options.bloom_filters, ["user_id"]);
    assert_eq!(options.row_group_size, ByteSize(1_000_000));
}

#[test]
fn unknown_keys_and_values_are_refused() {
    for (text, part) in [
        ("", "missing field `url`"),
        ("url = \"x\"\npartiton_by = []", "unknown field `partiton_by`"),
        ("url = \"x\"\nroll = { sise = 1 }", "unknown field `sise`"),
        ("url = \"x\"\ncompression = \"gzip\"", "unknown variant `gzip`"),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn urls_name_local_folders() {
    for (url, path) in [
        ("var/lake", "var/lake"),
        ("./a b", "./a b"),
        ("/var/lake/", "/var/lake/"),
        ("file:///var/my%20lake", "/var/my lake"),
        ("file://localhost/var", "/var"),
        ("FILE:///var", "/var"),
        ("odd://", "odd://"),
    ] {
        match ParquetOptions::at(url).local_path() {
            Ok(found) => assert_eq!(found, PathBuf::from(path), "{url}"),
            Err(error) => assert!(error.to_string().contains("unknown scheme `odd`"), "{error}"),
        }
    }
}

#[test]
fn other_urls_are_refused_with_their_scheme() {
    for (url, part) in [
        ("hdfs://node/lake", "unknown scheme `hdfs`"),
        ("s3:///lake", "names no bucket"),
        ("gs://", "names no bucket"),
        ("file://server/share", "three slashes"),
        ("file:///a%2", "broken % escape"),
        ("", "is empty"),
    ] {
        let error = config_error(ParquetOptions::at(url).local_path());
        assert!(error.contains(part), "{url}: {error}");
        config_error(ParquetOptions::at(url).check(&context("orders")));
        config_error(ParquetSink::local(ParquetOptions::at(url), context("orders"), HandClock::new().clock()));
    }
}

/// What `check` says to options that `change` spoils, for a pipeline that puts out `ts`, `id` and `name`.
fn refused(change: impl FnOnce(&mut ParquetOptions, &mut SinkContext)) -> String {
    let (mut options, mut context) = (ParquetOptions::at("lake"), context("orders"));
    change(&mut options, &mut context);
    config_error(options.check(&context))
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn check_refuses_what_cannot_work_and_says_what_to_do() {
    ParquetOptions::at("lake").check(&context("orders")).unwrap();
    let unknown = refused(|options, _| options.partition_by = names(&["nmae"]));
    assert!(unknown.contains("\"orders\" has no output column \"nmae\"; did you mean \"name\"?"), "{unknown}");
    let unlike = refused(|options, _| options.partition_by = names(&["zzz"]));
    assert!(unlike.contains("there are: ts, id, name, region, date, hour"), "{unlike}");
    let case = refused(|options, _| options.partition_by = names(&["Date"]));
    assert!(case.contains("did you mean \"date\"?"), "{case}");
    let twice = refused(|options, _| options.partition_by = names(&["region", "name", "region"]));
    assert!(twice.contains("\"region\" stands there twice"), "{twice}");
    let timeless = refused(|_, context| context.time_column = None);
    assert!(timeless.contains("\"date\" needs a time") && timeless.contains("[\"region\"]"), "{timeless}");
    let no_time = refused(|_, context| context.time_column = Some("name".to_owned()));
    assert!(no_time.contains("no timestamp column: \"name\""), "{no_time}");
    let nothing_left = refused(|options, _| options.partition_by = names(&["ts", "id", "name"]));
    assert!(nothing_left.contains("takes every output column"), "{nothing_left}");
    let bloom = refused(|options, _| options.bloom_filters = names(&["idd"]));
    assert!(bloom.contains("did you mean \"id\"?"), "{bloom}");
    let folder_bloom = refused(|options, _| {
        options.partition_by = names(&["name"]);
        options.bloom_filters = names(&["name"]);
    });
    assert!(folder_bloom.contains("is in partition_by"), "{folder_bloom}");
    let size = refused(|options, _| options.roll.size = ByteSize(0));
    assert!(size.starts_with("roll.size"), "{size}");
    for size in [0, 2 << 30] {
        let group = refused(|options, _| options.row_group_size = ByteSize(size));
        assert!(group.starts_with("row_group_size"), "{group}");
    }
    for name in [String::new(), "é".repeat(101)] {
        let pipeline = refused(|_, context| context.pipeline = name.as_str().into());
        assert!(pipeline.contains("1 to 200 characters"), "{pipeline}");
        let region = refused(|_, context| context.region = name.as_str().into());
        assert!(region.contains("1 to 200 characters"), "{region}");
    }
    let hidden = refused(|_, context| context.pipeline = "_orders".into());
    assert!(hidden.contains("let its name begin with a letter"), "{hidden}");
}

#[test]
fn check_refuses_columns_that_folders_would_hide() {
    use arrow::datatypes::{DataType, Field, Schema};
    let field = |name: &str, data_type: DataType| Field::new(name, data_type, true);
    let with = |field: Field, partition_by: &[&str]| {
        let schema = conformance::schema();
        let fields = schema.fields().iter().cloned().chain([Arc::new(field)]);
        let context = SinkContext { schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())), ..context("orders") };
        ParquetOptions { partition_by: names(partition_by), ..ParquetOptions::at("lake") }.check(&context)
    };
    for name in ["region", "Region", "date", "HOUR"] {
        let hidden = config_error(with(field(name, DataType::Utf8), &["region", "date", "hour"]));
        assert!(hidden.contains(&format!("would hide the output column {name:?}")), "{hidden}");
    }
    // Without the level of that name, the column is one like any other.
    with(field("region", DataType::Utf8), &["date"]).unwrap();

    let list = DataType::new_list(DataType::Int64, true);
    for (data_type, why) in [(DataType::Float64, "a float"), (list.clone(), "nested"), (DataType::Binary, "binary")] {
        let error = config_error(with(field("x", data_type), &["x"]));
        assert!(error.contains(&format!("\"x\" cannot name folders, it is {why}")), "{error}");
    }
    let hidden = config_error(with(field("_kind", DataType::Utf8), &["_kind"]));
    assert!(hidden.contains("readers skip folders"), "{hidden}");
    let twice = config_error(with(field("id", DataType::Utf8), &["region"]));
    assert!(twice.contains("two output columns \"id\""), "{twice}");
    for data_type in [list, DataType::Boolean] {
        let schema = Arc::new(Schema::new(vec![field("id", DataType::Int64), field("x", data_type)]));
        let options =
            ParquetOptions { partition_by: vec![], bloom_filters: names(&["x"]), ..ParquetOptions::at("lake") };
        let error = config_error(options.check(&SinkContext { schema, ..context("orders") }));
        assert!(error.contains("bloom_filters: column \"x\""), "{error}");
    }
}

#[test]
fn check_touches_nothing() {
    let lake = Lake::new();
    lake.options().check(&context("orders")).unwrap();
    assert!(!lake.path("").exists());
}
