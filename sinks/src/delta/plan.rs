//! Which files of a table go together: decided without touching any.
//!
//! | a file is let alone | because |
//! |---|---|
//! | if its partition may still grow | it would be small again soon |
//! | if it has three quarters of the size that files are to have, or more | nobody gains by it |
//! | if no other small one lies beside it | there is nothing to merge it with |
//! | if rows of it were deleted by a deletion vector | that says which by their places in the file |
//! | if others wrote it | it is theirs |

use std::collections::BTreeMap;

use crate::parquet::Input;
use crate::upkeep::folder_of;

/// A small file, and when its rows came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Small {
    pub(super) input: Input,
    pub(super) age: (Option<u64>, Option<u64>),
}

/// What is to be merged in one partition: each bin becomes one file.
pub(super) type Bins = Vec<Vec<Input>>;

/// Files that are merged at a time at most, however small: all are open at once, and their entry names each.
const AT_MOST: usize = 1000;

/// Whether a file is small, where files are to have `target` bytes.
pub(super) fn is_small(bytes: u64, target: u64) -> bool {
    bytes < target - target / 4
}

/// By folder, the files to be merged: in the order in which their rows came, up to `target` bytes and `AT_MOST` together.
pub(super) fn bins(mut small: Vec<Small>, target: u64) -> BTreeMap<String, Bins> {
    small.sort_by(|a, b| (a.age, &a.input.key).cmp(&(b.age, &b.input.key)));
    let mut folders: BTreeMap<String, Bins> = BTreeMap::new();
    for Small { input, .. } in small {
        let bins = folders.entry(folder_of(&input.key).to_owned()).or_default();
        let fits = |bin: &&mut Vec<Input>| {
            bin.len() < AT_MOST && bin.iter().map(|other| other.bytes).sum::<u64>() + input.bytes <= target
        };
        match bins.last_mut().filter(fits) {
            Some(bin) => bin.push(input),
            None => bins.push(vec![input]),
        }
    }
    for bins in folders.values_mut() {
        bins.retain(|bin| bin.len() > 1);
    }
    folders.retain(|_, bins| !bins.is_empty());
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    type Case<'a> = (&'a [(&'a str, u64, u64)], &'a [&'a [&'a str]]);

    #[test]
    fn small_files_of_a_folder_go_together_up_to_the_target() {
        let small = |key: &str, age: u64, bytes: u64| Small {
            input: Input { key: key.to_owned(), bytes },
            age: (Some(age), Some(1)),
        };
        let cases: [Case<'_>; 6] = [
            (&[], &[]),
            (&[("h=1/a", 1, 10)], &[]),
            (&[("h=1/a", 1, 10), ("h=2/b", 2, 10)], &[]),
            // By age, not by name.
            (&[("h=1/a", 2, 10), ("h=1/b", 1, 10)], &[&["h=1/b", "h=1/a"]]),
            (&[("h=1/a", 1, 60), ("h=1/b", 2, 40), ("h=1/c", 3, 1)], &[&["h=1/a", "h=1/b"]]),
            (
                &[("h=1/a", 1, 50), ("h=1/b", 2, 50), ("h=1/c", 3, 70), ("h=1/d", 4, 20), ("a", 1, 1), ("b", 2, 1)],
                &[&["a", "b"], &["h=1/a", "h=1/b"], &["h=1/c", "h=1/d"]],
            ),
        ];
        for (files, expected) in cases {
            let files = files.iter().map(|(key, age, bytes)| small(key, *age, *bytes)).collect();
            let found: Vec<Vec<String>> = bins(files, 100)
                .into_values()
                .flatten()
                .map(|bin| bin.into_iter().map(|input| input.key).collect())
                .collect();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn no_more_go_together_than_can_be_open_at_once() {
        let small =
            |n: usize| Small { input: Input { key: format!("h=1/{n:04}"), bytes: 1 }, age: (Some(n as u64), Some(1)) };
        let found = bins((0..2 * AT_MOST + 1).map(small).collect(), u64::MAX);
        let sizes: Vec<usize> = found.values().flatten().map(Vec::len).collect();
        assert_eq!(sizes, [AT_MOST, AT_MOST], "the last one is alone");
    }

    #[test]
    fn three_quarters_of_the_target_are_enough() {
        for (bytes, target, expected) in
            [(0, 1, true), (74, 100, true), (75, 100, false), (100, 100, false), (1, 1, false)]
        {
            assert_eq!(is_small(bytes, target), expected, "{bytes} of {target}");
        }
    }
}
