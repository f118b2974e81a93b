//! Every case of `broken.txt`: a config that is wrong, and exactly what the user is told.

use super::errors;

#[test]
fn every_broken_config_gets_its_diagnostics() {
    let mut cases = 0;
    let mut wrong = String::new();
    for case in include_str!("broken.txt").split("=== ").skip(1) {
        let (name, rest) = case.split_once('\n').expect("a case has a name");
        let (config, expected) = rest.split_once("---\n").expect("a case has a config");
        cases += 1;
        let found = errors(config);
        if found.trim_end() != expected.trim_end() {
            wrong.push_str(&format!("=== {name}\n{config}---\n{found}"));
        }
    }
    assert!(wrong.is_empty(), "these cases read differently now:\n{wrong}");
    assert!(cases >= 40, "only {cases} cases");
}
