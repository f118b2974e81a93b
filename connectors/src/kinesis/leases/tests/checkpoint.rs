use super::super::checkpoint::Checkpoint;
use super::after;

#[test]
fn checkpoints_are_ordered_by_how_much_was_read() {
    let long = Checkpoint::parse("49590338271490256608559692538361571095921575989136588898", 0).unwrap();
    let longer = Checkpoint::parse("149590338271490256608559692538361571095921575989136588898", 0).unwrap();
    let padded = Checkpoint::parse("000000000000000000000000000000000000000000000000000000000000008", 0).unwrap();
    let ascending = [
        Checkpoint::TrimHorizon,
        Checkpoint::AtTimestamp,
        Checkpoint::Latest,
        after(7, 0),
        after(7, 1),
        padded,
        after(9, 0),
        after(10, 0),
        long,
        longer,
        Checkpoint::ShardEnd,
    ];
    for (i, a) in ascending.iter().enumerate() {
        for (j, b) in ascending.iter().enumerate() {
            assert_eq!(a.cmp(b), i.cmp(&j), "{a} and {b}");
        }
    }
}

#[test]
fn checkpoints_are_spelled_as_the_library_does() {
    for (text, sub) in
        [("TRIM_HORIZON", 0), ("LATEST", 0), ("AT_TIMESTAMP", 0), ("SHARD_END", 0), ("4959", 0), ("4959", 3)]
    {
        let checkpoint = Checkpoint::parse(text, sub).unwrap();
        assert_eq!((checkpoint.text(), checkpoint.sub()), (text, sub));
    }
    for wrong in ["", "-1", "12x", "Latest", &"9".repeat(200)] {
        assert_eq!(Checkpoint::parse(wrong, 0), None, "{wrong:?}");
    }
    assert_eq!(after(7, 0).to_string(), "7");
    assert_eq!(after(7, 3).to_string(), "7:3");
}
