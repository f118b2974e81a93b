//! What several sinks may have together of rows in memory and of half-written files.

use super::*;

/// So long that only the budget ends a file.
const NEVER: u64 = 1_000_000_000;

fn sink(lake: &Lake, pipeline: &str, row_group_size: u64, writers: &Arc<WriterBudget>) -> ParquetSink {
    let never = Period(Duration::from_secs(NEVER));
    let options = ParquetOptions {
        partition_by: vec!["name".to_owned()],
        roll: Roll { size: ByteSize(NEVER), every: never, idle: never },
        row_group_size: ByteSize(row_group_size),
        ..lake.options()
    };
    lake.sink(options, SinkContext { writers: Arc::clone(writers), ..context(pipeline) })
}

#[tokio::test]
async fn half_written_files_are_counted_over_all_sinks() {
    let lakes = [Lake::new(), Lake::new(), Lake::new()];
    // A row group is so small that each row begins a file.
    let writers = WriterBudget::new(NEVER as usize, 12);
    let mut sinks: Vec<_> = lakes.iter().map(|lake| sink(lake, "orders", 1, &writers)).collect();
    let mut most = 0;
    for number in 0..40_i64 {
        for sink in &mut sinks {
            sink.write(number as u64, batch(&[number * 3 + 1])).await.unwrap();
            most = most.max(writers.half_written());
        }
    }
    assert_eq!(most, 12);
    for (lake, mut sink) in lakes.iter().zip(sinks) {
        let prepared = sink.prepare(1, Flush::All).await.unwrap();
        sink.commit(&prepared).await.unwrap();
        assert_eq!(sorted(lake.ids().await.into_values().flatten()), (0..40).map(|n| n * 3 + 1).collect::<Vec<_>>());
    }
    assert_eq!(writers.half_written(), 0);
}

#[tokio::test]
async fn a_sink_at_rest_gives_its_files_to_one_that_writes() {
    let lakes = [Lake::new(), Lake::new()];
    let writers = WriterBudget::new(NEVER as usize, 4);
    let mut resting = sink(&lakes[0], "resting", 1, &writers);
    let mut writing = sink(&lakes[1], "writing", 1, &writers);
    for number in 0..4_i64 {
        resting.write(number as u64, batch(&[number * 3 + 1])).await.unwrap();
    }
    assert_eq!(writers.half_written(), 4);
    let mut closed = 0;
    for number in 0..8_i64 {
        writing.write(number as u64, batch(&[number * 3 + 1])).await.unwrap();
        // The file that it wants takes the place of one that is still open.
        assert!(writers.half_written() <= 4 + 1);
        let prepared = resting.prepare(number as u64 + 1, Flush::Due).await.unwrap();
        closed += prepared.0.as_array().map_or(0, Vec::len);
    }
    assert_eq!((closed, writers.half_written()), (4, 4), "what was used least recently is closed");
}

#[tokio::test]
async fn rows_in_buffers_are_counted_over_all_sinks() {
    let lakes: [Lake; 4] = std::array::from_fn(|_| Lake::new());
    let writers = WriterBudget::new(1 << 20, 256);
    let mut sinks: Vec<_> = lakes.iter().map(|lake| sink(lake, "orders", NEVER, &writers)).collect();
    let ids: Vec<i64> = (0..2_000).map(|id| id * 3).collect();
    let mut most = 0;
    for number in 0..40 {
        for sink in &mut sinks {
            sink.write(number, batch(&ids)).await.unwrap();
            most = most.max(writers.buffered());
        }
    }
    // Without a limit they would be five times as many. One that has no more than its share leaves the others to let go.
    assert!((1 << 19..=3 << 19).contains(&most), "{most} bytes were in buffers where 1 MiB may be");
    drop(sinks);
    assert_eq!(writers.buffered(), 0, "who is gone has nothing");
}

#[tokio::test]
async fn rows_that_come_one_by_one_take_the_memory_of_rows() {
    let lake = Lake::new();
    let writers = WriterBudget::new(NEVER as usize, 64);
    let mut sink = sink(&lake, "orders", NEVER, &writers);
    // Three hundred partitions, of which each gets a single row at a time.
    let ids: Vec<i64> = (0..300).map(|n| n * 3 + 1).collect();
    for number in 0..200 {
        sink.write(number, batch(&ids)).await.unwrap();
    }
    // A row has 30 bytes, and arrays around it alone would take a kilobyte.
    assert!(writers.buffered() < 300 * 200 * 100, "{} bytes for 60,000 rows", writers.buffered());
    let prepared = sink.prepare(1, Flush::All).await.unwrap();
    sink.commit(&prepared).await.unwrap();
    let files = lake.ids().await;
    assert_eq!(files.len(), 300);
    assert!(files.into_values().all(|ids| ids.len() == 200));
}
