#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, ListArray, StringViewArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};

use super::super::{Block, Budget, footprint};
use super::*;

fn batch(rows: i64) -> RecordBatch {
    let numbers = Int64Array::from_iter_values(0..rows);
    let names =
        StringViewArray::from_iter((0..rows).map(|row| (row % 3 > 0).then(|| format!("a name of some length {row}"))));
    let lists = (0..rows).map(|row| Some((0..row % 4).map(Some)));
    let lists = ListArray::from_iter_primitive::<Int64Type, _, _>(lists);
    RecordBatch::try_from_iter([
        ("n", Arc::new(numbers) as arrow::array::ArrayRef),
        ("s", Arc::new(names)),
        ("l", Arc::new(lists)),
    ])
    .unwrap()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn a_spilled_block_frees_its_memory_and_comes_back_whole() {
    let folder = tempfile::tempdir().unwrap();
    let budget = Arc::new(Budget::new(1000, Some(folder.path().join("spill"))));
    let batch = batch(1000);
    let block = Block::new(batch.clone(), &budget);
    assert_eq!((budget.used(), budget.over()), (block.bytes(), block.bytes() - 1000));
    assert_eq!(block.spill().unwrap(), block.bytes());
    assert_eq!((budget.used(), budget.over(), block.resident()), (0, 0, 0));
    assert_eq!(block.spill().unwrap(), 0, "it is there already");
    assert_eq!((block.batch().unwrap(), block.rows()), (batch, 1000));
    let [file] = &files(&folder.path().join("spill"))[..] else { panic!("one file") };
    assert_eq!(std::fs::metadata(file).unwrap().len(), budget.spilled());
    drop(block);
    assert!(files(&folder.path().join("spill")).is_empty());
    assert_eq!(budget.spilled(), 0);
}

#[test]
fn what_a_full_disk_has_no_room_for_stays_in_memory_until_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let budget = Arc::new(Budget::new(1000, Some(folder.path().join("spill"))));
    let batch = batch(1000);
    let block = Block::new(batch.clone(), &budget);
    budget.fill_disk(true);
    let error = block.spill().unwrap_err();
    assert!(is_out_of_room(&error), "{error:?}");
    let said = error.to_string();
    assert!(said.contains(folder.path().to_str().unwrap()) && said.contains("(`spill`)"), "{said}");
    assert_eq!((block.batch().unwrap(), budget.used(), budget.spilled()), (batch.clone(), block.bytes(), 0));
    assert!(files(&folder.path().join("spill")).is_empty(), "what was begun is removed");
    budget.fill_disk(false);
    assert_eq!(block.spill().unwrap(), block.bytes());
    // A folder that somebody took away is made again.
    let other = Block::new(batch.clone(), &budget);
    std::fs::remove_dir_all(folder.path().join("spill")).unwrap();
    assert_eq!(other.spill().unwrap(), other.bytes());
    assert_eq!(other.batch().unwrap(), batch);
}

#[test]
fn parts_are_read_alone_and_together() {
    let folder = tempfile::tempdir().unwrap();
    let budget = Arc::new(Budget::new(0, Some(folder.path().to_owned())));
    let whole = batch(100);
    let block = Block::new(whole.clone(), &budget);
    block.spill_as(|batch| Ok(vec![batch.slice(0, 30), batch.slice(30, 0), batch.slice(30, 70)])).unwrap();
    assert_eq!(block.batch().unwrap(), whole);
    let super::super::BlockRows::Disk(file) = block.look() else { panic!("it is on disk") };
    assert_eq!(file.read_part(0).unwrap(), whole.slice(0, 30));
    assert_eq!(file.read_part(1).unwrap().num_rows(), 0);
    assert!(file.read_part(3).is_err());
}

#[test]
fn without_a_folder_nothing_is_spilled() {
    let budget = Arc::new(Budget::default());
    let block = Block::new(batch(10), &budget);
    assert_eq!(block.spill().unwrap(), 0);
    assert_eq!((budget.over(), budget.limit(), budget.used()), (0, None, block.bytes()));
}

#[test]
fn lanes_count_as_well() {
    let budget = Budget::new(100, None);
    budget.set_active(0, 80);
    budget.set_active(1, 50);
    assert_eq!((budget.used(), budget.over(), budget.resident()), (130, 30, 0));
    budget.set_active(0, 10);
    assert_eq!((budget.used(), budget.over()), (60, 0));
}

#[test]
fn any_changed_or_missing_byte_is_an_error_that_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let budget = Arc::new(Budget::new(0, Some(folder.path().to_owned())));
    let block = Block::new(batch(50), &budget);
    block.spill().unwrap();
    let file = files(folder.path()).remove(0);
    let right = std::fs::read(&file).unwrap();
    let told = |what: &str| {
        let error = block.batch().expect_err(what).to_string();
        assert!(error.contains(file.to_str().unwrap()) && error.contains(what), "{error}");
    };
    for at in 0..right.len() {
        let mut wrong = right.clone();
        wrong[at] ^= 0x10;
        std::fs::write(&file, &wrong).unwrap();
        told("damaged");
    }
    for length in [0, 1, right.len() / 2, right.len() - 1] {
        std::fs::write(&file, &right[..length]).unwrap();
        told("damaged");
    }
    std::fs::remove_file(&file).unwrap();
    told("is gone");
    std::fs::write(&file, &right).unwrap();
    assert_eq!(block.batch().unwrap(), batch(50));
}

#[test]
fn what_a_dead_process_left_is_removed_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let ours = ["0123456789abcdef-00000007.spill", "fedcba9876543210-123456789.spill"];
    let others = ["notes.spill", "0123456789abcdef-.spill", "0123456789abcdef-1.spill.bak", "data.parquet"];
    for name in ours.iter().chain(&others) {
        std::fs::write(path(name), "x").unwrap();
    }
    std::fs::create_dir(path("0123456789abcdef-00000008.spill")).unwrap();
    Budget::new(1, Some(folder.path().to_owned())).sweep().unwrap();
    assert!(ours.iter().all(|name| !path(name).exists()));
    assert!(others.iter().all(|name| path(name).exists()));
    assert!(path("0123456789abcdef-00000008.spill").exists());
}

#[test]
fn a_failed_spill_names_the_folder_and_leaves_the_rows_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a file");
    std::fs::write(&file, "x").unwrap();
    let budget = Arc::new(Budget::new(1, Some(file.join("spill"))));
    let block = Block::new(batch(10), &budget);
    let error = block.spill().expect_err("there is no folder").to_string();
    assert!(error.contains("a file/spill"), "{error}");
    assert_eq!((block.batch().unwrap(), budget.used(), budget.spilled()), (batch(10), block.bytes(), 0));
}

#[test]
fn strings_let_go_of_the_payload_they_were_cut_from() {
    let names: StringViewArray = (0..1000).map(|row| Some(format!("a name of some length {row}"))).collect();
    let inner = Arc::new(names.clone()) as arrow::array::ArrayRef;
    let offsets = arrow::buffer::OffsetBuffer::from_lengths([1000]);
    let field = Arc::new(Field::new("item", DataType::Utf8View, true));
    let list = ListArray::new(field.clone(), offsets, inner, None);
    let schema =
        Schema::new(vec![Field::new("s", DataType::Utf8View, true), Field::new("l", DataType::List(field), true)]);
    let one = names.slice(500, 1);
    let short = ListArray::new(
        Arc::new(Field::new("item", DataType::Utf8View, true)),
        arrow::buffer::OffsetBuffer::from_lengths([1]),
        Arc::new(list.values().slice(7, 1)),
        None,
    );
    let batch = RecordBatch::try_new(Arc::new(schema), vec![Arc::new(one), Arc::new(short)]).unwrap();
    assert!(footprint(&batch) > 20_000);
    let tidied = tidy(&batch).unwrap();
    assert_eq!(tidied, batch);
    assert!(footprint(&tidied) < 1_000, "{}", footprint(&tidied));
    assert_eq!(tidied.column(0).as_string_view().value(0), "a name of some length 500");
}
