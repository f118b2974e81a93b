//! The documentation says what the code says.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Stands between what is written by hand and what is made from the declarations of the keys.
const MARK: &str = "<!-- Below this line: made by `WATERSHED_BLESS=1 cargo test --test docs`. -->\n\n";

#[test]
fn the_config_reference_is_the_one_in_the_code() {
    let path = root().join("docs/config.md");
    let text = fs::read_to_string(&path).unwrap();
    let (by_hand, reference) = text.split_once(MARK).expect("docs/config.md has its mark");
    let declared = format!("{}\n", watershed_engine::config::reference().trim_end());
    if std::env::var_os("WATERSHED_BLESS").is_some() {
        fs::write(&path, format!("{by_hand}{MARK}{declared}")).unwrap();
    } else {
        assert_eq!(reference, declared, "docs/config.md is behind; write it anew with WATERSHED_BLESS=1");
    }
}

#[test]
fn every_link_between_files_leads_somewhere() {
    let mut pages = vec![root().join("README.md"), root().join("CONTRIBUTING.md"), root().join("examples/README.md")];
    for folder in ["docs", "docs/design"] {
        let entries = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
        pages.extend(entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    }
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap();
            if file.is_empty() || link.contains("://") {
                continue;
            }
            assert!(page.parent().unwrap().join(file).exists(), "{}: {link}", page.display());
        }
    }
}
