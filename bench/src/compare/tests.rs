use super::{Verdict, compare};
use crate::results::{Better, Case, Fact, Machine, Measured, Results};

fn results(better: Better, runs: &[f64]) -> Results {
    let mut case = Case::new("q1");
    for value in runs {
        case.add(&[Measured { name: "wall", unit: "s", better, value: *value }]);
    }
    let machine = Machine { processor: "x".to_owned(), cores: 2, memory_bytes: 1, kernel: "y".to_owned() };
    Results {
        suite: "w".to_owned(),
        begun: "2026-03-01T00:00:00Z".to_owned(),
        machine,
        program: "watershed 0.1.0".to_owned(),
        cases: vec![case],
    }
}

fn verdict(better: Better, before: &[f64], after: &[f64]) -> Verdict {
    compare(&results(better, before), &results(better, after), 0.03).changes[0].verdict
}

#[test]
fn runs_that_lie_apart_are_a_change() {
    let (low, high) = (&[1.0, 1.1, 1.05], &[1.3, 1.25, 1.4]);
    assert_eq!(verdict(Better::Less, low, high), Verdict::Slower);
    assert_eq!(verdict(Better::Less, high, low), Verdict::Faster);
    assert_eq!(verdict(Better::More, low, high), Verdict::Faster);
    assert_eq!(verdict(Better::More, high, low), Verdict::Slower);
}

#[test]
fn runs_among_each_other_are_noise() {
    assert_eq!(verdict(Better::Less, &[1.0, 1.1, 1.3], &[1.2, 1.35, 1.4]), Verdict::Same);
    assert_eq!(verdict(Better::Less, &[1.0; 5], &[1.0; 5]), Verdict::Same);
}

#[test]
fn more_runs_show_a_change_through_one_that_strays() {
    let before = [1.0, 1.01, 1.02, 1.03, 1.9];
    let after = [1.2, 1.21, 1.22, 1.23, 1.24];
    assert_eq!(verdict(Better::Less, &before, &after), Verdict::Same);
    let before = [&before[..4], &before].concat();
    let after = [after, after].concat();
    assert_eq!(verdict(Better::Less, &before, &after), Verdict::Slower);
}

#[test]
fn a_change_below_the_threshold_is_none() {
    assert_eq!(verdict(Better::Less, &[1.0, 1.001, 1.002], &[1.01, 1.011, 1.012]), Verdict::Same);
}

#[test]
fn two_runs_show_nothing() {
    assert_eq!(verdict(Better::Less, &[1.0, 1.1], &[9.0, 9.1]), Verdict::TooFew);
    assert_eq!(verdict(Better::Less, &[1.0], &[9.0, 9.1, 9.2]), Verdict::TooFew);
}

#[test]
fn what_was_not_the_same_work_is_said() {
    let mut before = results(Better::Less, &[1.0]);
    let mut after = before.clone();
    before.cases[0].facts.push(Fact { name: "rows out".to_owned(), value: 5 });
    after.cases[0].facts.push(Fact { name: "rows out".to_owned(), value: 6 });
    after.machine.cores = 64;
    after.cases.push(Case::new("q2"));
    let text = compare(&before, &after, 0.03).text();
    for said in ["rows out was 5 and is 6", "the machines are not the same", "q2 is in the second only"] {
        assert!(text.contains(said), "{text}");
    }
}
