//! Random schemas, random records, random damage: all paths agree with each other, and with an independent reading.

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::oracle::{Verdict, read};
use super::*;

const SCALARS: [&str; 10] =
    ["boolean", "int", "bigint", "float", "double", "string", "date", "timestamp", "timestamp@epoch_ms", "json"];
const NESTED: [&str; 8] = [
    "list<bigint>",
    "list<string>",
    "struct<a: bigint, b: struct<c: string, d: boolean>>",
    "map<string, double>",
    "list<struct<a: json>>",
    "decimal(12,3)",
    "struct<a: string, b: list<boolean>>",
    "map<bigint, timestamp>",
];
const NAMES: [&str; 8] = ["a", "b", "ts", "user_id", "größe", "with space", "", "x"];

/// Fields with names of their own.
fn any_fields(types: &'static [&'static str]) -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    prop::collection::vec(select(types), 1..NAMES.len()).prop_shuffle().prop_flat_map(|types| {
        Just(NAMES.to_vec()).prop_shuffle().prop_map(move |names| names.into_iter().zip(types.clone()).collect())
    })
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        any::<i32>().prop_map(|n| n.to_string()),
        (-999i32..999).prop_map(|n| n.to_string()),
        (1_600_000_000_000i64..1_900_000_000_000).prop_map(|n| n.to_string()),
        "-?(0|[1-9][0-9]{0,4})\\.[0-9]{1,4}",
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?([eE][-+]?[0-9]{1,2})?",
        any::<f64>().prop_filter("finite", |v| v.is_finite()).prop_map(|v| format!("{v:?}")),
        (-99i32..99).prop_map(|n| format!("{n}.0")),
    ]
}

fn time() -> impl Strategy<Value = String> {
    (
        "[0-9]{4}-[01][0-9]-[0-3][0-9]",
        "[T ][012][0-9]:[0-5][0-9]:[0-6][0-9]",
        "(\\.[0-9]{1,9})?",
        "(Z|\\+02:00|-05:30)?",
    )
        .prop_map(|(date, time, fraction, zone)| format!("\"{date}{time}{fraction}{zone}\""))
}

fn string() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-zA-Z0-9 ,:{}\\[\\]é💧]{0,30}".prop_map(|s| format!("\"{s}\"")),
        1 => any::<String>().prop_map(|s| serde_json::to_string(&s).unwrap()),
        1 => select(vec![r#""\u00e9\n""#, r#""\ud83d\udca7""#, r#""\ud800""#, r#""\/""#]).prop_map(str::to_owned),
    ]
}

/// JSON of any kind.
fn any_json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![number(), string(), select(vec!["true", "false", "null", "1e999"]).prop_map(str::to_owned)];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((string(), inner), 0..4).prop_map(|members| {
                let members: Vec<String> = members.iter().map(|(k, v)| format!("{k} : {v}")).collect();
                format!("{{ {} }}", members.join(", "))
            }),
        ]
    })
}

/// JSON that mostly fits the type.
fn value(declared: &str) -> BoxedStrategy<String> {
    let fitting = match declared {
        "boolean" => select(vec!["true", "false"]).prop_map(str::to_owned).boxed(),
        "string" => string().boxed(),
        "date" => "\"[0-9]{4}-[01][0-9]-[0-3][0-9]\"".boxed(),
        "timestamp" => time().boxed(),
        "list<bigint>" => prop::collection::vec(-9i32..9, 0..4).prop_map(|v| format!("{v:?}")).boxed(),
        "list<string>" => prop::collection::vec(string(), 0..4).prop_map(|v| format!("[{}]", v.join(", "))).boxed(),
        "struct<a: bigint, b: struct<c: string, d: boolean>>" => {
            (number(), string()).prop_map(|(n, s)| format!("{{\"a\":{n},\"b\":{{\"d\":true,\"c\":{s}}}}}")).boxed()
        }
        "struct<a: string, b: list<boolean>>" => {
            string().prop_map(|s| format!("{{\"b\":[true,null],\"a\":{s}}}")).boxed()
        }
        "map<string, double>" => (string(), number()).prop_map(|(k, v)| format!("{{{k}:{v},\"k\":1}}")).boxed(),
        "map<bigint, timestamp>" => (any::<i16>(), time()).prop_map(|(k, v)| format!("{{\"{k}\":{v}}}")).boxed(),
        "list<struct<a: json>>" => any_json().prop_map(|v| format!("[{{\"a\":{v}}},{{}}]")).boxed(),
        "json" => any_json().boxed(),
        _ => number().boxed(),
    };
    prop_oneof![12 => fitting, 1 => Just("null".to_owned()), 1 => any_json()].boxed()
}

/// Members of the schema's fields in the schema's order, now and then shuffled, missing one, with a stranger or one twice.
fn record(fields: Vec<(&'static str, &'static str)>) -> impl Strategy<Value = String> {
    let members: Vec<_> = fields.iter().map(|(name, declared)| (Just((*name).to_owned()), value(declared))).collect();
    let stranger = (select(vec!["zz", "a", "ts", "other"]).prop_map(str::to_owned), any_json());
    let space = select(vec!["", "", "", " ", "\n\t"]);
    (members, prop::option::weighted(0.3, stranger), any::<Index>(), 0..12u8, space).prop_map(
        |(mut members, stranger, at, twist, space)| {
            if let Some(stranger) = stranger {
                members.insert(at.index(members.len() + 1), stranger);
            }
            match twist {
                0 => members.reverse(),
                1 => drop(members.remove(at.index(members.len()))),
                2 => members.push(members[at.index(members.len())].clone()),
                _ => {}
            }
            let members: Vec<String> = members
                .iter()
                .map(|(k, v)| format!("{}{space}:{space}{v}", serde_json::to_string(k).unwrap()))
                .collect();
            format!("{{{space}{}{space}}}", members.join(&format!("{space},{space}")))
        },
    )
}

/// One slip of the keyboard, or of the network.
#[derive(Debug, Clone)]
enum Damage {
    Put(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Cut(Index),
    Double(Index, Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let byte = || prop_oneof![4 => select(b"{}[],:\"\\ 0159-+.eEtfnu\n\r\t/x".to_vec()), 1 => any::<u8>()];
    prop_oneof![
        (any::<Index>(), byte()).prop_map(|(i, b)| Damage::Put(i, b)),
        (any::<Index>(), byte()).prop_map(|(i, b)| Damage::Insert(i, b)),
        any::<Index>().prop_map(Damage::Remove),
        any::<Index>().prop_map(Damage::Cut),
        (any::<Index>(), any::<Index>()).prop_map(|(i, j)| Damage::Double(i, j)),
    ]
}

fn apply(bytes: &mut Vec<u8>, damage: &Damage) {
    if bytes.is_empty() {
        return;
    }
    let at = |i: &Index| i.index(bytes.len());
    match damage {
        Damage::Put(i, b) => {
            let i = at(i);
            bytes[i] = *b;
        }
        Damage::Insert(i, b) => bytes.insert(at(i), *b),
        Damage::Remove(i) => drop(bytes.remove(at(i))),
        Damage::Cut(i) => bytes.truncate(at(i)),
        Damage::Double(i, j) => {
            let (i, j) = (at(i).min(at(j)), at(i).max(at(j)));
            let piece = bytes[i..j].to_vec();
            bytes.splice(j..j, piece);
        }
    }
}

/// A schema, some of its columns, and records with some damage.
fn case(types: &'static [&'static str]) -> impl Strategy<Value = (SourceSchema, Vec<usize>, Vec<Vec<u8>>)> {
    any_fields(types).prop_flat_map(|fields| {
        let payload = (record(fields.clone()), prop::collection::vec(damage(), 0..3), prop::bool::weighted(0.3))
            .prop_map(|(text, damages, damaged)| {
                let mut bytes = text.into_bytes();
                damages.iter().filter(|_| damaged).for_each(|d| apply(&mut bytes, d));
                bytes
            });
        let projection =
            prop::sample::subsequence((0..fields.len()).collect::<Vec<_>>(), 0..=fields.len()).prop_shuffle();
        (Just(schema(&fields)), projection, prop::collection::vec(payload, 1..12))
    })
}

/// Holds decoded records against the independent reading.
fn check(schema: &SourceSchema, projection: &[usize], payloads: &[Vec<u8>]) -> Result<(), TestCaseError> {
    let decoded = decode_json(schema, projection, payloads);
    let rows: Vec<Vec<String>> =
        (0..decoded.batch.num_rows()).map(|i| decoded.batch.columns().iter().map(|c| show(c, i)).collect()).collect();
    let mut rows = rows.iter();
    for (i, payload) in payloads.iter().enumerate() {
        let text = String::from_utf8_lossy(payload);
        let bad = decoded.bad.iter().find(|b| b.index == i);
        let row = if bad.is_none() { rows.next() } else { None };
        match (read(schema, projection, payload), bad, row) {
            (Verdict::Row(cells), None, Some(row)) => {
                for (cell, shown) in cells.iter().zip(row) {
                    prop_assert!(cell.matches(shown), "{text}: {shown} instead of {cell:?}");
                }
            }
            // What the oracle leaves open may not fit.
            (Verdict::Row(cells), Some(bad), _) => {
                prop_assert!(cells.contains(&super::oracle::Cell::Unknown), "{text}: {}", bad.reason);
                prop_assert!(!bad.reason.starts_with("not valid JSON"), "{text}: {}", bad.reason);
            }
            (Verdict::Bad, Some(_), _) => {}
            (Verdict::Unknown, _, _) => {
                prop_assert!(bad.is_none_or(|bad| !bad.reason.starts_with("not valid JSON")), "{text}: {bad:?}");
            }
            (verdict, bad, row) => prop_assert!(false, "{text}: {verdict:?}, but {bad:?} {row:?}"),
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn flat_records_mean_the_same_on_every_path((schema, projection, payloads) in case(&SCALARS)) {
        check(&schema, &projection, &payloads)?;
    }

    #[test]
    fn nested_records_mean_the_same_on_every_path((schema, projection, payloads) in case(&NESTED)) {
        check(&schema, &projection, &payloads)?;
    }

    /// What arrow-json reads gets a run of its own, so that its path is really gone.
    #[test]
    fn strings_and_booleans_mean_the_same_on_every_path(
        (schema, projection, payloads) in case(&["string", "boolean", "list<string>", "struct<a: string, b: list<boolean>>"])
    ) {
        check(&schema, &projection, &payloads)?;
    }

    #[test]
    fn a_record_does_not_depend_on_its_neighbours((schema, projection, payloads) in case(&SCALARS)) {
        let mut decoder = super::super::json::fast(&schema, &projection).unwrap();
        let together = decoder.decode(&records(&payloads));
        let mut alone = (Vec::new(), Vec::new());
        for (index, payload) in payloads.iter().enumerate() {
            let mut fresh = super::super::json::fast(&schema, &projection).unwrap();
            let decoded = fresh.decode(&records(&[payload]));
            alone.0.extend(rows(&decoded.batch));
            alone.1.extend(decoded.bad.into_iter().map(|bad| BadRecord { index, ..bad }));
        }
        prop_assert_eq!((rows(&together.batch), together.bad), alone);
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..4)) {
        let schema = schema(&[("a", "string"), ("b", "list<bigint>")]);
        check(&schema, &[0, 1], &payloads)?;
    }
}
