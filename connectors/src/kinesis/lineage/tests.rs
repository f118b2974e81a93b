use super::*;

/// `id<parent,parent`, with a `!` in front if it is closed.
fn shard(text: &str) -> Shard {
    let (closed, text) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
    let (id, parents) = text.split_once('<').unwrap_or((text, ""));
    let parents = parents.split(',').filter(|parent| !parent.is_empty()).map(SplitId::new).collect();
    Shard { id: SplitId::new(id), parents, closed, hash_keys: None }
}

fn shards(text: &str) -> Vec<Shard> {
    text.split_whitespace().map(shard).collect()
}

/// Names, with a `.` behind those that have ended.
fn known(text: &str) -> Vec<(SplitId, Known)> {
    let known = |name: &str| {
        let (name, ended) = name.strip_suffix('.').map_or((name, false), |name| (name, true));
        (SplitId::new(name), Known { position: None, ended, left: false })
    };
    text.split_whitespace().map(known).collect()
}

fn names(splits: &[SplitId]) -> String {
    splits.iter().map(SplitId::as_str).collect::<Vec<_>>().join(" ")
}

#[test]
fn parents_come_before_their_children() {
    let cases = [
        // what there is, what the checkpoint knows, what is read
        ("a b", "", "a b"),
        ("!a b<a c<a", "", "a"),
        ("!a b<a c<a", "a", "a"),
        ("!a b<a c<a", "a.", "b c"),
        ("!a !b c<a,b", "a.", "b"),
        ("!a !b c<a,b", "a. b.", "c"),
        // Parents that the retention took are waited for by nobody.
        ("b<a c<a", "", "b c"),
        ("b<a c<a", "a", "b c"),
        ("!b c<a,b", "", "b"),
        // Three generations, the middle one in part.
        ("!a !b<a !c<a d<b e<b f<c", "a. b.", "c d e"),
        // What lies before something known was left out at the first start.
        ("!a b<a c<a", "b", "b c"),
        ("!a !b<a c<b", "c", "c"),
        ("!a !b c<a,b", "c.", ""),
        // A parent that is known is read again to its end, even if a child was opened in time.
        ("!a b<a", "a b", "a"),
    ];
    for (there, checkpoint, read) in cases {
        let mut lineage = Lineage::default();
        lineage.restore(&known(checkpoint));
        assert_eq!(names(&lineage.to_read(&shards(there))), read, "{there} with {checkpoint}");
    }
}

#[test]
fn a_drained_shard_makes_way() {
    let mut lineage = Lineage::default();
    let there = shards("!a !b c<a,b");
    for (drained, read) in [("a", "b"), ("b", "c"), ("c", "")] {
        lineage.drained(&SplitId::new(drained));
        assert_eq!(names(&lineage.to_read(&there)), read);
    }
}

#[test]
fn what_was_closed_before_the_latest_is_left_out() {
    let mut lineage = Lineage::default();
    lineage.skip_closed(&shards("!a b<a c<a"));
    assert_eq!(names(&lineage.to_read(&shards("!a b<a c<a"))), "b c");
    assert_eq!(names(&lineage.to_read(&shards("!a !b<a c<a d<b"))), "b c", "what closes later is read");
}
