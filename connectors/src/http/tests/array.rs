use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

use crate::http::array::Elements;

fn elements(text: &str) -> Result<Vec<&str>, String> {
    Elements::new(text.as_bytes()).map(|range| range.map(|range| &text[range])).collect()
}

#[test]
fn each_element_is_a_record_byte_for_byte() {
    let cases: [(&str, &[&str]); 10] = [
        ("[]", &[]),
        (" [ ] \n", &[]),
        ("[{\"a\" : 1.0 },\n {\"b\":\"]}\\\"\"}]", &["{\"a\" : 1.0 }", "{\"b\":\"]}\\\"\"}"]),
        ("{\"a\":[1,{}]}", &["{\"a\":[1,{}]}"]),
        ("\u{feff}{}", &["{}"]),
        ("[1,-2.5e3,true,null,\"x\"]", &["1", "-2.5e3", "true", "null", "\"x\""]),
        ("[[1],[]]", &["[1]", "[]"]),
        ("[\"\\\\\",\"\\\"\"]", &["\"\\\\\"", "\"\\\"\""]),
        ("[{}\r\n,\t{}]", &["{}", "{}"]),
        ("[\"é\",{\"k\":\"日本\"}]", &["\"é\"", "{\"k\":\"日本\"}"]),
    ];
    for (text, expected) in cases {
        assert_eq!(elements(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn broken_structure_is_found() {
    let cases = [
        ("", "ends too soon"),
        ("[", "ends too soon"),
        ("[{}", "ends too soon"),
        ("[{}, ", "ends too soon"),
        ("{\"a\":", "ends too soon"),
        ("[\"a", "does not end"),
        ("[\"a\\", "does not end"),
        ("[{}{}]", "no comma"),
        ("[1 2]", "no comma"),
        ("[,]", "element is missing"),
        ("[1,]", "element is missing"),
        ("[1,,2]", "element is missing"),
        ("[{]}]", "another kind"),
        ("[}", "element is missing"),
        ("[] x", "more behind its end"),
        ("{} {}", "more behind its end"),
        ("[]]", "more behind its end"),
        ("7", "send an object or an array"),
        ("\"x\"", "send an object or an array"),
    ];
    for (text, word) in cases {
        let error = elements(text).unwrap_err();
        assert!(error.contains(word), "{text}: {error}");
    }
}

#[test]
fn depth_is_bounded_and_no_deeper_stack_is_needed() {
    let nested = |depth: usize| format!("[{}{}]", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(elements(&nested(128)).unwrap().len(), 1);
    assert!(elements(&nested(129)).unwrap_err().contains("deeper than 128"));
    assert!(elements(&"[".repeat(1_000_000)).is_err());
}

/// Compared with a full parser: what it takes is cut the same, and what is not taken here it does not take either.
#[test]
fn it_agrees_with_a_parser_on_noise() {
    const TOKENS: [&str; 14] =
        ["[", "]", "{", "}", ",", ":", "\"a\"", "1", " ", "\"\\\"\"", "{\"k\":1}", "null", "\n", "\"]\""];
    let mut taken = 0;
    for seed in 0..20_000 {
        let mut random = StdRng::seed_from_u64(seed);
        let length = random.random_range(0..12);
        let inside: String = (0..length).map(|_| TOKENS[random.random_range(0..TOKENS.len())]).collect();
        let text = if seed % 2 == 0 { format!("[{inside}]") } else { inside };
        let found = elements(&text);
        let parsed = serde_json::from_str::<Value>(&text).ok().filter(|value| value.is_array() || value.is_object());
        match parsed {
            Some(Value::Array(expected)) => {
                let found: Vec<Value> =
                    found.unwrap().into_iter().map(|element| serde_json::from_str(element).unwrap()).collect();
                assert_eq!(found, expected, "{text}");
                taken += 1;
            }
            Some(object) => {
                assert_eq!(serde_json::from_str::<Value>(found.unwrap()[0]).unwrap(), object, "{text}");
                taken += 1;
            }
            None => {}
        }
    }
    assert!(taken > 100, "{taken} texts were right");
}
