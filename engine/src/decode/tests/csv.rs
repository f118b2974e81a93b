//! CSV rows by header and by place, quoting, nulls, and every type as text.

use super::*;

fn options() -> CsvOptions {
    CsvOptions::default()
}

fn with_header(header: &str, payloads: &[&str]) -> Records {
    let mut records = records(payloads);
    records.set_header(header.as_bytes().into());
    records
}

fn decode(options: CsvOptions, schema: &SourceSchema, projection: &[usize], records: &Records) -> Decoded {
    decoder(&Format::Csv(options), schema, projection).unwrap().decode(records)
}

/// Decodes one field of `declared`, between two others.
fn field(declared: &str, text: &str) -> Result<String, String> {
    let schema = schema(&[("v", declared)]);
    let record = format!("before,{text},after");
    let decoded = decode(options(), &schema, &[0], &with_header("x,v,y", &[record.as_str()]));
    match decoded.bad.as_slice() {
        [] => Ok(rows(&decoded.batch).remove(0)),
        [bad] => Err(bad.reason.clone()),
        more => panic!("{more:?}"),
    }
}

#[test]
fn fields_as_text() {
    let table = [
        ("bigint", "42", Ok("42")),
        ("bigint", "\"42\"", Ok("42")),
        ("bigint", " 42 ", Ok("42")),
        ("bigint", "+42", Ok("42")),
        ("bigint", "007", Ok("7")),
        ("bigint", "3.0", Ok("3")),
        ("bigint", "", Ok("null")),
        ("bigint", "\"\"", Ok("null")),
        ("bigint", "3.5", Err("v: expected bigint, found \"3.5\"")),
        ("bigint", "abc", Err("v: expected bigint, found \"abc\"")),
        ("bigint", "9223372036854775808", Err("v: expected bigint, found \"9223372036854775808\"")),
        ("int", "2147483648", Err("v: expected int, found \"2147483648\"")),
        ("double", "51.846000000000004", Ok("51.846000000000004")),
        ("double", ".5", Ok("0.5")),
        ("double", "NaN", Err("v: expected double, found \"NaN\"")),
        ("double", "inf", Err("v: expected double, found \"inf\"")),
        ("float", "1e3", Ok("1000.0")),
        ("decimal(10,2)", "12.345", Ok("12.35")),
        ("boolean", "true", Ok("true")),
        ("boolean", "F", Ok("false")),
        ("boolean", "1", Ok("true")),
        ("boolean", "False", Ok("false")),
        ("boolean", "yes", Err("v: expected boolean, found \"yes\"")),
        ("string", "  as it stands ", Ok("  as it stands ")),
        ("string", "\"a, \"\"quoted\"\" text\"", Ok("a, \"quoted\" text")),
        ("string", "\"\"\"\"", Ok("\"")),
        ("string", "\"two\nlines\"", Ok("two\nlines")),
        ("string", "in\"side", Ok("in\"side")),
        ("string", "\"a\"b", Err("text behind a closing quote")),
        ("string", "\"open", Err("quoted field without an end")),
        ("bytes", "AAEC", Ok("000102")),
        ("date", "2026-03-01", Ok("2026-03-01")),
        ("timestamp", "1970-01-01 00:00:01", Ok("1000000")),
        ("timestamp", "1970-01-01T00:00:01+00:00", Ok("1000000")),
        ("timestamp", "1970-01-02", Ok("86400000000")),
        ("timestamp", "1", Err("v: expected timestamp (rfc3339), found \"1\"")),
        ("timestamp@epoch_ms", "1500", Ok("1500000")),
        ("timestamp@%d.%m.%Y %H:%M", "01.01.1970 00:01", Ok("60000000")),
        ("list<bigint>", "\"[1, 2]\"", Ok("[1,2]")),
        ("list<string>", "\"[\"\"a\"\", \"\"longer than twelve\"\"]\"", Ok("[a,longer than twelve]")),
        ("struct<a: bigint>", "\"{\"\"a\"\": 1}\"", Ok("{a:1}")),
        ("map<string, bigint>", "\"{\"\"k\"\": 1}\"", Ok("<k=1>")),
        ("json", "{}", Ok("{}")),
        ("json", "\"[1, \"\"x\"\"]\"", Ok("[1, \"x\"]")),
        ("json", "null", Ok("null")),
        ("json", "{", Err("v: expected json as JSON text, found {")),
        ("list<bigint>", "[1] 2", Err("v: expected list as JSON text, found [1] 2")),
        ("list<bigint>", "[x]", Err("v: expected list as JSON text, found [x]")),
        ("list<bigint>", "[true]", Err("v[0]: expected bigint, found true")),
        ("list<bigint>", "7", Err("v: expected list, found 7")),
    ];
    for (declared, text, expected) in table {
        let expected = expected.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(field(declared, text), expected, "{declared} from {text}");
    }
}

#[test]
fn columns_go_by_the_header() {
    let schema = schema(&[("a", "bigint"), ("b", "string"), ("c", "double")]);
    let sample = with_header("\u{feff}b,\"a\", other", &["x,1,?", "y,2,?"]);
    let mut decoder = decoder(&Format::Csv(options()), &schema, &[0, 1, 2]).unwrap();
    assert_eq!(rows(&decoder.decode(&sample).batch), ["1|x|null", "2|y|null"]);
    assert_eq!(decoder.take_warnings(), ["the csv header has no column `c`: it is null in every record"]);
    // The next file has its own order.
    assert_eq!(rows(&decoder.decode(&with_header("a,b", &["3,z"])).batch), ["3|z|null"]);
    assert_eq!(decoder.take_warnings(), Vec::<String>::new());
    assert_eq!(rows(&decoder.decode(&with_header("a,a,c", &["4,5,6"])).batch), ["4|null|6.0"]);
    assert_eq!(
        decoder.take_warnings(),
        [
            "the csv header has several columns `a`: the first one is read",
            "the csv header has no column `b`: it is null in every record"
        ]
    );
}

#[test]
fn a_row_has_as_many_fields_as_the_header() {
    let schema = schema(&[("a", "bigint"), ("b", "string")]);
    let sample = with_header("a,b", &["1,x", "2", "3,y,z", "4,", "", "5,w\r"]);
    let decoded = decode(options(), &schema, &[0, 1], &sample);
    assert_eq!(rows(&decoded.batch), ["1|x", "4|null", "5|w"]);
    let reasons: Vec<(usize, &str)> = decoded.bad.iter().map(|b| (b.index, b.reason.as_str())).collect();
    assert_eq!(
        reasons,
        [(1, "expected 2 fields, found 1"), (2, "expected 2 fields, found 3"), (4, "expected 2 fields, found 1")]
    );
}

#[test]
fn without_a_header_columns_go_by_their_place() {
    let schema = schema(&[("a", "bigint"), ("b", "string")]);
    let options = CsvOptions { header: false, delimiter: b';', quote: b'\'', null: "NULL".to_owned() };
    let decoded = decode(options.clone(), &schema, &[1], &records(&["1;'x;y'", "2;NULL", "3;", "4;'it''s'"]));
    assert_eq!(rows(&decoded.batch), ["x;y", "null", "", "it's"]);
    let decoded = decode(options, &schema, &[], &records(&["1;2", "1"]));
    assert_eq!((decoded.batch.num_rows(), decoded.bad.len()), (1, 1));
}

#[test]
fn a_missing_header_makes_records_bad_and_says_so() {
    let schema = schema(&[("a", "bigint")]);
    let decoded = decode(options(), &schema, &[0], &records(&["1"]));
    assert!(decoded.bad[0].reason.contains("header = false"), "{:?}", decoded.bad);
}

#[test]
fn invalid_utf8_is_bad_and_its_neighbours_are_not() {
    let schema = schema(&[("s", "string")]);
    let mut sample = records::<&[u8]>(&[b"fine", b"\xff", "größe".as_bytes()]);
    sample.set_header(b"s".as_slice().into());
    let decoded = decode(options(), &schema, &[0], &sample);
    assert_eq!(rows(&decoded.batch), ["fine", "größe"]);
    assert_eq!(decoded.bad, [BadRecord { index: 1, reason: "invalid UTF-8 at byte 0".to_owned() }]);
}

#[test]
fn a_dialect_must_be_readable() {
    let schema = schema(&[("a", "bigint")]);
    for (delimiter, quote) in [(b',', b','), (b'\n', b'"'), (b',', 0xe9)] {
        let options = CsvOptions { delimiter, quote, ..options() };
        assert_eq!(decoder(&Format::Csv(options), &schema, &[0]).err(), Some(DecodeError::CsvDialect));
    }
}

proptest::proptest! {
    /// Any texts, written as CSV by the rules, come back as they were.
    #[test]
    fn texts_survive_csv(texts in proptest::collection::vec("[ -~\n\"',é]{0,30}", 1..5), quoted: bool) {
        let write = |text: &String| {
            let needs = quoted || text.contains([',', '"', '\n', '\r']);
            if needs { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.clone() }
        };
        let record = texts.iter().map(write).collect::<Vec<_>>().join(",");
        let names: Vec<String> = (0..texts.len()).map(|i| format!("c{i}")).collect();
        let schema = schema(&names.iter().map(|n| (n.as_str(), "string")).collect::<Vec<_>>());
        let options = CsvOptions { null: "\\N".to_owned(), ..options() };
        let decoded = decode(options, &schema, &all(&schema), &with_header(&names.join(","), &[record.as_str()]));
        proptest::prop_assert_eq!(rows(&decoded.batch), [texts.join("|")]);
    }

    #[test]
    fn no_text_makes_the_csv_reader_panic(record in "[,\"\r\na1\\[\\]{}: é]{0,30}", header in "[,\"ab ]{0,12}") {
        let schema = schema(&[("a", "list<string>"), ("b", "string")]);
        let decoded = decode(options(), &schema, &[0, 1], &with_header(&header, &[record.as_str()]));
        proptest::prop_assert_eq!(decoded.batch.num_rows() + decoded.bad.len(), 1);
    }
}
