use super::*;

fn by_id(lake: &Lake, roll: Roll) -> ParquetSink {
    lake.sink(ParquetOptions { partition_by: vec!["name".to_owned()], roll, ..lake.options() }, context("orders"))
}

fn rolls(size: u64, every: u64, idle: u64) -> Roll {
    let seconds = |n| Period(Duration::from_secs(n));
    Roll { size: ByteSize(size), every: seconds(every), idle: seconds(idle) }
}

const NEVER: u64 = 1_000_000;

fn rows(prepared: &Prepared) -> Vec<u64> {
    let files = prepared.0.as_array().map(Vec::as_slice).unwrap_or_default();
    files.iter().map(|file| file["rows"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_file_is_due_when_its_first_row_is_old_enough() {
    let lake = Lake::new();
    let mut sink = by_id(&lake, rolls(NEVER, 300, NEVER));
    sink.write(0, batch(&[1])).await.unwrap();
    lake.clock.advance(200);
    sink.write(1, batch(&[1, 2])).await.unwrap();
    lake.clock.advance(99);
    assert!(sink.prepare(1, Flush::Due).await.unwrap().is_nothing());
    lake.clock.advance(1);
    assert_eq!(rows(&sink.prepare(2, Flush::Due).await.unwrap()), [2], "only the older of two files");
    lake.clock.advance(199);
    assert!(sink.prepare(3, Flush::Due).await.unwrap().is_nothing());
    // A row that comes after a file was closed starts another, with an age of its own.
    sink.write(2, batch(&[1])).await.unwrap();
    lake.clock.advance(1);
    assert_eq!(rows(&sink.prepare(4, Flush::Due).await.unwrap()), [1]);
    assert_eq!(rows(&sink.prepare(5, Flush::All).await.unwrap()), [1]);
    assert!(sink.prepare(6, Flush::All).await.unwrap().is_nothing());
}

#[tokio::test]
async fn a_file_is_due_when_no_row_came_for_long_enough() {
    let lake = Lake::new();
    let mut sink = by_id(&lake, rolls(NEVER, NEVER, 60));
    for number in 0..5 {
        sink.write(number, batch(&[1])).await.unwrap();
        lake.clock.advance(59);
        assert!(sink.prepare(1, Flush::Due).await.unwrap().is_nothing());
    }
    sink.write(5, batch(&[2])).await.unwrap();
    lake.clock.advance(1);
    assert_eq!(rows(&sink.prepare(2, Flush::Due).await.unwrap()), [5]);
    lake.clock.advance(59);
    assert_eq!(rows(&sink.prepare(3, Flush::Due).await.unwrap()), [1]);
}

#[tokio::test]
async fn a_file_is_closed_when_it_is_large_enough_and_handed_over_next() {
    let lake = Lake::new();
    let options = ParquetOptions {
        partition_by: Vec::new(),
        roll: rolls(100_000, NEVER, NEVER),
        row_group_size: ByteSize(50_000),
        compression: Compression::None,
        ..lake.options()
    };
    let mut sink = lake.sink(options, context("orders"));
    let epoch = sink.open().await.unwrap();
    let ids: Vec<i64> = (0..40_000).collect();
    for (number, chunk) in (0..).zip(ids.chunks(1_000)) {
        sink.write(number, batch(chunk)).await.unwrap();
    }
    let prepared = sink.prepare(epoch, Flush::Due).await.unwrap();
    sink.commit(&prepared).await.unwrap();
    let due = rows(&prepared);
    assert!(due.len() >= 3, "{due:?}");
    for file in prepared.0.as_array().unwrap() {
        let bytes = file["bytes"].as_u64().unwrap();
        assert!((50_000..200_000).contains(&bytes), "{bytes} bytes where 100,000 were asked for");
    }
    let rest = sink.prepare(epoch + 1, Flush::All).await.unwrap();
    sink.commit(&rest).await.unwrap();
    assert_eq!(due.iter().sum::<u64>() + rows(&rest).iter().sum::<u64>(), 40_000);
    let files = lake.ids().await;
    let names: Vec<_> = files.keys().map(String::as_str).collect();
    assert_eq!(names[..2], ["orders-00000001-0001.parquet", "orders-00000001-0002.parquet"]);
    assert_eq!(names.last().unwrap(), &"orders-00000002-0001.parquet");
    assert_eq!(sorted(files.into_values().flatten()), ids);
    // The epoch in a file is the one in its name, closed early or not.
    for key in lake.files().await {
        let metadata = lake.metadata(&key);
        let values = metadata.file_metadata().key_value_metadata().unwrap();
        let epoch = values.iter().find(|kv| kv.key == "watershed.epoch").unwrap().value.clone().unwrap();
        assert_eq!(names::visible_epoch(&key, "orders"), epoch.parse().ok());
    }
}

#[tokio::test]
async fn numbers_count_up_within_an_epoch_and_begin_again_with_the_next() {
    let lake = Lake::new();
    let mut sink = by_id(&lake, rolls(NEVER, NEVER, NEVER));
    let mut names = Vec::new();
    for (number, epoch) in [(0, 4), (1, 4), (2, 5)] {
        sink.write(number, batch(&[1, 2])).await.unwrap();
        let prepared = sink.prepare(epoch, Flush::All).await.unwrap();
        let files = prepared.0.as_array().unwrap().clone();
        names.extend(files.iter().map(|file| file["final"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()));
    }
    let expected =
        ["00000004-0001", "00000004-0002", "00000004-0003", "00000004-0004", "00000005-0001", "00000005-0002"];
    assert_eq!(names, expected.map(|number| format!("orders-{number}.parquet")));
}

#[tokio::test]
async fn more_partitions_than_open_uploads_lose_nothing_and_keep_memory_bounded() {
    let lake = Lake::new();
    let options = ParquetOptions {
        partition_by: vec!["name".to_owned()],
        roll: rolls(NEVER * 1000, NEVER, NEVER),
        ..lake.options()
    };
    // So small that buffers hold few of the partitions, and each flush begins a file.
    let writers = WriterBudget::new(32_000, 64);
    let mut sink = lake.sink(options, SinkContext { writers: Arc::clone(&writers), ..context("orders") });
    let epoch = sink.open().await.unwrap();
    let mut expected = Vec::new();
    for round in 0..3 {
        for part in 0..8 {
            let ids: Vec<i64> = (part * 50..part * 50 + 50).collect();
            sink.write((round * 8 + part) as u64, batch(&ids)).await.unwrap();
            expected.extend(ids);
            let open = writers.half_written();
            assert!(open <= 64, "{open} files are half written in round {round}");
            assert!(writers.buffered() <= 32_000, "{} bytes wait in round {round}", writers.buffered());
        }
    }
    let due = sink.prepare(epoch, Flush::Due).await.unwrap();
    assert!(!rows(&due).is_empty(), "files closed early are due");
    sink.commit(&due).await.unwrap();
    let rest = sink.prepare(epoch + 1, Flush::All).await.unwrap();
    sink.commit(&rest).await.unwrap();
    assert_eq!(sorted(lake.ids().await.into_values().flatten()), sorted(expected));
}

#[tokio::test]
async fn many_small_partitions_wait_in_memory_instead_of_becoming_tiny_files() {
    let lake = Lake::new();
    let mut sink = by_id(&lake, rolls(NEVER * 1000, 300, NEVER));
    for number in 0..4 {
        sink.write(number, batch(&(1..300).collect::<Vec<_>>())).await.unwrap();
    }
    assert!(sink.prepare(1, Flush::Due).await.unwrap().is_nothing());
    lake.clock.advance(300);
    // A third of the names is null and shares a folder.
    assert_eq!(rows(&sink.prepare(2, Flush::Due).await.unwrap()).len(), 201);
}
