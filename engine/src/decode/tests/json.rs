//! A value, a type, and what becomes of them.

use super::*;

/// Decodes `{"v": VALUE}` into a column of `declared`.
fn value(declared: &str, value: &str) -> Result<String, String> {
    record(&[("v", declared)], &format!("{{\"v\": {value}}}"))
}

/// Decodes one record.
fn record(fields: &[(&str, &str)], payload: &str) -> Result<String, String> {
    let schema = schema(fields);
    let decoded = decode_json(&schema, &all(&schema), &[payload]);
    match decoded.bad.as_slice() {
        [] => Ok(rows(&decoded.batch).remove(0)),
        [bad] => Err(bad.reason.clone()),
        more => panic!("{more:?}"),
    }
}

#[test]
fn values_that_fit() {
    let long = "x".repeat(100);
    let quoted = format!("\"{long}\"");
    let table = [
        ("boolean", "true", "true"),
        ("boolean", "false", "false"),
        ("int", "0", "0"),
        ("int", "-0", "0"),
        ("int", "2147483647", "2147483647"),
        ("int", "-2147483648", "-2147483648"),
        ("int", "3.0", "3"),
        ("bigint", "42", "42"),
        ("bigint", "9223372036854775807", "9223372036854775807"),
        ("bigint", "-9223372036854775808", "-9223372036854775808"),
        ("bigint", "9223372036854775807.000", "9223372036854775807"),
        ("bigint", "1e3", "1000"),
        ("bigint", "1200e-2", "12"),
        ("bigint", "-0.0", "0"),
        ("bigint", "0e999999999999", "0"),
        ("double", "1", "1.0"),
        ("double", "-0", "-0.0"),
        ("double", "-0.0", "-0.0"),
        ("double", "0.1", "0.1"),
        ("double", "51.846000000000004", "51.846000000000004"),
        ("double", "2.2250738585072014e-308", "2.2250738585072014e-308"),
        ("double", "1e-999", "0.0"),
        ("double", "1.7976931348623157e308", "1.7976931348623157e308"),
        ("double", "9007199254740993", "9007199254740992.0"),
        ("double", "123456789012345678901234567890", "1.2345678901234568e29"),
        ("float", "0.1", "0.1"),
        ("float", "16777217", "16777216.0"),
        ("float", "1", "1.0"),
        ("decimal(10,2)", "12.34", "12.34"),
        ("decimal(10,2)", "\"12.34\"", "12.34"),
        ("decimal(10,2)", "-5", "-5.00"),
        ("decimal(10,2)", "0.005", "0.01"),
        ("decimal(10,2)", "-0.005", "-0.01"),
        ("decimal(10,2)", "0.00499", "0.00"),
        ("decimal(10,2)", "1e2", "100.00"),
        ("decimal(38,0)", "99999999999999999999999999999999999999", "99999999999999999999999999999999999999"),
        ("string", "\"\"", ""),
        ("string", "\"plain\"", "plain"),
        ("string", "\"twelve bytes\"", "twelve bytes"),
        ("string", "\"thirteen byte\"", "thirteen byte"),
        ("string", quoted.as_str(), long.as_str()),
        ("string", r#""a\"b\\c\/d\n\t\u00e9\ud83d\udca7""#, "a\"b\\c/d\n\té💧"),
        ("string", "\"größe 💧 and more of it\"", "größe 💧 and more of it"),
        ("bytes", "\"\"", ""),
        ("bytes", "\"AAEC/w==\"", "000102ff"),
        ("bytes", "\"AAEC/w\"", "000102ff"),
        ("date", "\"2026-03-01\"", "2026-03-01"),
        ("date", "\"0000-02-29\"", "0000-02-29"),
        ("timestamp", "\"1970-01-01T00:00:01Z\"", "1000000"),
        ("timestamp", r#""1970\u002d01-01T00:00:01Z""#, "1000000"),
        ("timestamp@epoch_s", "1", "1000000"),
        ("timestamp@epoch_s", "-1.5", "-1500000"),
        ("timestamp@epoch_s", "1.7e9", "1700000000000000"),
        ("timestamp@epoch_ms", "1700000000123", "1700000000123000"),
        ("timestamp@epoch_us", "1700000000123456", "1700000000123456"),
        ("timestamp@epoch_ns", "1700000000123456789", "1700000000123456"),
        ("timestamp@epoch_ns", "-1", "-1"),
        ("timestamp@%Y/%m/%d %H:%M", "\"1970/01/01 00:01\"", "60000000"),
        ("json", "{\"a\": [1, 2.50]}", "{\"a\": [1, 2.50]}"),
        ("json", "\"text\"", "\"text\""),
        ("json", "1e999", "1e999"),
        ("json", "false", "false"),
        ("list<bigint>", "[]", "[]"),
        ("list<bigint>", "[1, null,3]", "[1,null,3]"),
        ("list<list<string>>", "[[\"a\"],[],null]", "[[a],[],null]"),
        ("struct<a: bigint, b: string>", "{\"b\": \"x\", \"c\": {}}", "{a:null,b:x}"),
        ("struct<a: struct<b: list<int>>>", "{\"a\": {\"b\": [1]}}", "{a:{b:[1]}}"),
        ("struct<a: bigint>", "{\"a\": \"not this\", \"a\": 1}", "{a:1}"),
        ("map<string, bigint>", "{\"x\": 1, \"y\": null}", "<x=1,y=null>"),
        ("map<string, bigint>", "{\"x\": 1, \"y\": 2, \"x\": 3}", "<x=3,y=2>"),
        ("map<string, bigint>", r#"{"\u0078": 1}"#, "<x=1>"),
        ("map<bigint, json>", "{\"7\": {}}", "<7={}>"),
        ("map<date, boolean>", "{\"2026-03-01\": true}", "<2026-03-01=true>"),
    ];
    for (declared, text, expected) in table {
        assert_eq!(value(declared, text).as_deref(), Ok(expected), "{declared} from {text}");
        assert_eq!(value(declared, "null").as_deref(), Ok("null"), "{declared} from null");
    }
}

#[test]
fn values_that_do_not_fit() {
    let long = format!("\"{}\"", "y".repeat(60));
    let shortened = format!("v: expected bigint, found \"{}…", "y".repeat(39));
    let table = [
        ("boolean", "1", "v: expected boolean, found 1"),
        ("boolean", "\"true\"", "v: expected boolean, found \"true\""),
        ("int", "2147483648", "v: expected int, found 2147483648"),
        ("int", "-2147483649", "v: expected int, found -2147483649"),
        ("bigint", "3.5", "v: expected bigint, found 3.5"),
        ("bigint", "1e-1", "v: expected bigint, found 1e-1"),
        ("bigint", "9223372036854775808", "v: expected bigint, found 9223372036854775808"),
        ("bigint", "1e40", "v: expected bigint, found 1e40"),
        ("bigint", "1e99999999999999999999", "v: expected bigint, found 1e99999999999999999999"),
        ("bigint", "\"42\"", "v: expected bigint, found \"42\""),
        ("bigint", "true", "v: expected bigint, found true"),
        ("bigint", "{}", "v: expected bigint, found {}"),
        ("bigint", long.as_str(), shortened.as_str()),
        ("double", "\"abc\"", "v: expected double, found \"abc\""),
        ("double", "\"1.5\"", "v: expected double, found \"1.5\""),
        ("double", "1e999", "v: expected double, found 1e999"),
        ("float", "1e39", "v: expected float, found 1e39"),
        ("decimal(4,2)", "100", "v: expected decimal(4,2), found 100"),
        ("decimal(4,2)", "99.995", "v: expected decimal(4,2), found 99.995"),
        ("decimal(4,2)", "\"ten\"", "v: expected decimal(4,2), found \"ten\""),
        ("string", "1", "v: expected string, found 1"),
        ("string", "true", "v: expected string, found true"),
        ("string", "{\"a\":1}", "v: expected string, found {\"a\":1}"),
        ("string", "[\n1]", "v: expected string, found [ 1]"),
        ("string", r#""\ud800""#, r#"v: expected string, found "\ud800""#),
        ("string", r#""\udc00\ud800""#, r#"v: expected string, found "\udc00\ud800""#),
        ("string", r#""\ud800A""#, r#"v: expected string, found "\ud800A""#),
        ("bytes", "\"A\"", "v: expected bytes (base64), found \"A\""),
        ("bytes", "\"AB=A\"", "v: expected bytes (base64), found \"AB=A\""),
        ("bytes", "\"AAE=====\"", "v: expected bytes (base64), found \"AAE=====\""),
        ("bytes", "\"AAF=\"", "v: expected bytes (base64), found \"AAF=\""),
        ("bytes", "\"A-_w\"", "v: expected bytes (base64), found \"A-_w\""),
        ("date", "\"2026-02-29\"", "v: expected date (YYYY-MM-DD), found \"2026-02-29\""),
        ("date", "\"2026-03-01T00:00:00Z\"", "v: expected date (YYYY-MM-DD), found \"2026-03-01T00:00:00Z\""),
        ("date", "20260301", "v: expected date (YYYY-MM-DD), found 20260301"),
        ("timestamp", "1700000000", "v: expected timestamp (rfc3339), found 1700000000"),
        ("timestamp", "\"noon\"", "v: expected timestamp (rfc3339), found \"noon\""),
        ("timestamp@epoch_ms", "\"1700000000123\"", "v: expected timestamp (epoch_ms), found \"1700000000123\""),
        ("timestamp@epoch_s", "9223372036855", "v: expected timestamp (epoch_s), found 9223372036855"),
        ("timestamp@epoch_s", "1e30", "v: expected timestamp (epoch_s), found 1e30"),
        ("list<bigint>", "1", "v: expected list, found 1"),
        ("list<bigint>", "[1, 2, \"x\"]", "v[2]: expected bigint, found \"x\""),
        ("struct<a: struct<b: list<int>>>", "{\"a\": {\"b\": [1, 0.5]}}", "v.a.b[1]: expected int, found 0.5"),
        ("struct<a: int>", "[]", "v: expected struct, found []"),
        ("map<string, bigint>", "{\"x\": true}", "v.x: expected bigint, found true"),
        ("map<bigint, bigint>", "{\"x\": 1}", "v: expected bigint, found \"x\""),
    ];
    for (declared, text, reason) in table {
        assert_eq!(value(declared, text), Err(reason.to_owned()), "{declared} from {text}");
    }
}

#[test]
fn records_as_a_whole() {
    let fields = [("a", "bigint"), ("b", "string")];
    let table = [
        ("{}", Ok("null|null")),
        (" { \"b\" : \"x\" , \"a\" : 1 } \r\n", Ok("1|x")),
        ("{\"a\":1,\n\t\"b\":\"x\"}", Ok("1|x")),
        ("{\"a\":1,\"a\":2,\"b\":\"x\"}", Ok("2|x")),
        ("{\"a\":\"wrong\",\"a\":2}", Ok("2|null")),
        ("{\"a\":2,\"a\":\"wrong\"}", Err("a: expected bigint, found \"wrong\"")),
        ("{\"a\":2,\"a\":null}", Ok("null|null")),
        (r#"{"\u0061":7}"#, Ok("7|null")),
        ("{\"A\":1}", Ok("null|null")),
        ("{\"z\":{\"deep\":[{},[],\"\\u00ff\",1e5,null,true,false]},\"a\":1}", Ok("1|null")),
        ("{\"z\":1e999,\"a\":1}", Ok("1|null")),
        ("{\"a\":9,\"b\":null}", Ok("9|null")),
        ("", Err("empty record")),
        (" \t", Err("empty record")),
        ("null", Err("expected a JSON object, found null")),
        ("[{\"a\":1}]", Err("expected a JSON object, found [{\"a\":1}]")),
        ("7", Err("expected a JSON object, found 7")),
        ("hello", Err("not valid JSON at byte 0: expected a value")),
        ("{\"a\":1}{\"a\":2}", Err("text behind the JSON object at byte 7")),
        ("{\"a\":1}\n{\"a\":2}", Err("text behind the JSON object at byte 8")),
        ("{\"a\":1},", Err("text behind the JSON object at byte 7")),
        ("{\"a\":1", Err("not valid JSON at byte 6: expected `,` or `}`")),
        ("{\"a\":", Err("not valid JSON at byte 5: expected a value, but the record ends here")),
        ("{\"a", Err("not valid JSON at byte 3: string without an end")),
        ("{", Err("not valid JSON at byte 1: expected a key in double quotes")),
        ("\"a\":1}", Err("expected a JSON object, found \"a\"")),
        ("{\"a\":1,}", Err("not valid JSON at byte 7: expected a key in double quotes")),
        ("{,\"a\":1}", Err("not valid JSON at byte 1: expected a key in double quotes")),
        ("{\"a\":1 \"b\":\"x\"}", Err("not valid JSON at byte 7: expected `,` or `}`")),
        ("{\"a\":1{\"b\":\"x\"}", Err("not valid JSON at byte 6: expected `,` or `}`")),
        ("{\"a\":1,,\"b\":\"x\"}", Err("not valid JSON at byte 7")),
        ("{\"a\" 1}", Err("not valid JSON at byte 5: expected `:`")),
        ("{'a':1}", Err("not valid JSON at byte 1: expected a key in double quotes")),
        ("{a:1}", Err("not valid JSON at byte 1: expected a key in double quotes")),
        ("{\"a\":01}", Err("not valid JSON at byte 5: number with a leading zero")),
        ("{\"a\":-}", Err("not valid JSON at byte 6: number without digits")),
        ("{\"a\":1.}", Err("not valid JSON at byte 7: number without digits behind the point")),
        ("{\"a\":.5}", Err("not valid JSON at byte 5: expected a value")),
        ("{\"a\":1e}", Err("not valid JSON at byte 7: number without digits in its exponent")),
        ("{\"a\":+1}", Err("not valid JSON at byte 5: expected a value")),
        ("{\"a\":1-2}", Err("not valid JSON at byte 6: expected `,` or `}`")),
        ("{\"a\":NaN}", Err("not valid JSON at byte 5: expected a value")),
        ("{\"a\":-Infinity}", Err("not valid JSON at byte 6: number without digits")),
        ("{\"a\":nul}", Err("not valid JSON at byte 5: expected true, false or null")),
        ("{\"a\":nullx}", Err("not valid JSON at byte 9: expected `,` or `}`")),
        ("{\"a\":True}", Err("not valid JSON at byte 5: expected a value")),
        ("{\"b\":\"line\nbreak\"}", Err("not valid JSON at byte 10: control character in a string")),
        ("{\"b\":\"\\x41\"}", Err("not valid JSON at byte 6: unknown escape in a string")),
        ("{\"b\":\"\\u12g4\"}", Err("not valid JSON at byte 6: \\u without four hex digits")),
        ("{\"z\":\"\\x41\",\"a\":1}", Err("not valid JSON at byte 6: unknown escape in a string")),
        ("{\"z\":[1,],\"a\":1}", Err("not valid JSON at byte 8: expected a value")),
        ("{\"z\":[1 2],\"a\":1}", Err("not valid JSON at byte 8: expected `,` or `]`")),
        ("{\"z\":{\"k\":1],\"a\":1}", Err("not valid JSON at byte 11: expected `,` or `}`")),
        ("{\"z\":tru,\"a\":1}", Err("not valid JSON at byte 5: expected true, false or null")),
        (r#"{"\ud800":1}"#, Err(r"expected a key of whole characters, found \ud800")),
        ("\u{feff}{\"a\":1}", Err("not valid JSON at byte 0: expected a value")),
    ];
    for (payload, expected) in table {
        match (record(&fields, payload), expected) {
            (Ok(row), Ok(expected)) => assert_eq!(row, expected, "{payload}"),
            (Err(reason), Err(expected)) => assert!(reason.starts_with(expected), "{payload}: {reason}"),
            (found, expected) => panic!("{payload}: {found:?} instead of {expected:?}"),
        }
    }
}

#[test]
fn columns_that_nobody_asked_for_are_skipped_whatever_they_hold() {
    let schema = schema(&[("a", "bigint"), ("b", "string"), ("c", "list<int>")]);
    let payloads = ["{\"a\":\"not a number\",\"b\":\"x\",\"c\":7}", "{\"c\":{\"a\":1},\"b\":\"y\"}"];
    let decoded = decode_json(&schema, &[1], &payloads);
    assert_eq!((rows(&decoded.batch), decoded.bad), (vec!["x".to_owned(), "y".to_owned()], vec![]));
}

#[test]
fn columns_come_in_the_order_asked_for() {
    let schema = schema(&[("a", "bigint"), ("b", "string"), ("c", "boolean")]);
    let decoded = decode_json(&schema, &[2, 0], &["{\"a\":1,\"b\":\"x\",\"c\":true}"]);
    assert_eq!(rows(&decoded.batch), ["true|1"]);
    assert_eq!(decoded.batch.schema().fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>(), ["c", "a"]);
}

#[test]
fn an_empty_projection_counts_rows() {
    let schema = schema(&[("a", "bigint")]);
    let decoded = decode_json(&schema, &[], &["{\"a\":1}", "{\"a\":\"x\"}", "{\"a\":}", "{}"]);
    assert_eq!(decoded.batch.num_rows(), 3);
    assert_eq!(decoded.bad.len(), 1);
}

#[test]
fn schemas_that_make_no_sense_are_refused() {
    let twice = schema(&[("a", "int"), ("a", "int")]);
    assert_eq!(super::super::json::fast(&twice, &[0]).err(), Some(DecodeError::DuplicateField("a".to_owned())));
    let one = schema(&[("a", "int")]);
    assert_eq!(super::super::json::fast(&one, &[1]).err(), Some(DecodeError::Projection { index: 1, fields: 1 }));
    assert_eq!(super::super::json::fast(&one, &[0, 0]).err(), Some(DecodeError::ProjectedTwice("a".to_owned())));
    let mut foreign = one.clone();
    foreign.fields[0].data_type = DataType::UInt8;
    assert!(matches!(super::super::json::fast(&foreign, &[0]).err(), Some(DecodeError::Unsupported { .. })));
    let mut pattern = schema(&[("a", "timestamp")]);
    pattern.fields[0].timestamp = Some(crate::schema::TimestampFormat::Pattern("%H".to_owned()));
    assert!(matches!(super::super::json::fast(&pattern, &[0]).err(), Some(DecodeError::Pattern { .. })));
}
