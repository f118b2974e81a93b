#![allow(clippy::unwrap_used, clippy::expect_used)]

use arrow::datatypes::{DataType, TimeUnit};
use proptest::prelude::*;

use super::*;

#[test]
fn every_type_is_read_and_spelled_back() {
    let table = [
        ("boolean", "boolean"),
        ("BOOL", "boolean"),
        ("int", "int"),
        ("Integer", "int"),
        ("bigint", "bigint"),
        ("float", "float"),
        ("double", "double"),
        ("decimal(18,2)", "decimal(18,2)"),
        ("Decimal( 38 , 38 )", "decimal(38,38)"),
        ("decimal(5)", "decimal(5,0)"),
        ("string", "string"),
        ("VARCHAR", "string"),
        ("text", "string"),
        ("bytes", "bytes"),
        ("date", "date"),
        (" timestamp ", "timestamp"),
        ("list<bigint>", "list<bigint>"),
        ("LIST < LIST < int > >", "list<list<int>>"),
        ("struct<a: int>", "struct<a: int>"),
        ("struct<a:int,b:struct<c:list<string>>>", "struct<a: int, b: struct<c: list<string>>>"),
        ("struct<`a b`: int, \"c\"\"d\": int, `e``f`: int>", "struct<`a b`: int, `c\"d`: int, `e``f`: int>"),
        ("struct<1xx: int, hg.nginx.org: int, größe: int>", "struct<1xx: int, hg.nginx.org: int, größe: int>"),
        ("map<string, double>", "map<string, double>"),
        ("map<bigint, list<struct<a: json>>>", "map<bigint, list<struct<a: json>>>"),
        ("list<json>", "list<json>"),
        ("struct<raw: json, text: string>", "struct<raw: json, text: string>"),
    ];
    for (text, spelled) in table {
        let data_type = parse_type(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(type_name(&data_type), spelled);
        assert_eq!(parse_type(spelled).unwrap(), data_type, "{spelled}");
    }
}

#[test]
fn types_map_to_arrow() {
    let table = [
        ("int", DataType::Int32),
        ("bigint", DataType::Int64),
        ("string", DataType::Utf8View),
        ("json", DataType::Utf8View),
        ("bytes", DataType::BinaryView),
        ("date", DataType::Date32),
        ("timestamp", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))),
        ("decimal(18,2)", DataType::Decimal128(18, 2)),
    ];
    for (text, data_type) in table {
        assert_eq!(parse_type(text).unwrap(), data_type, "{text}");
    }
    let DataType::Map(entries, false) = parse_type("map<string, int>").unwrap() else { panic!("no map") };
    let DataType::Struct(entry) = entries.data_type() else { panic!("no entries") };
    assert!(!entry[0].is_nullable() && entry[1].is_nullable());
}

#[test]
fn what_is_no_type_is_refused_with_its_place() {
    let deep = format!("{}int{}", "list<".repeat(33), ">".repeat(33));
    let long = format!("struct<{}: int>", "x".repeat(10_000));
    let wide = format!("struct<{}>", (0..4097).map(|i| format!("{i}:int")).collect::<Vec<_>>().join(","));
    let table = [
        ("", 0, "expected a type, but the type ends here"),
        ("  ", 2, "expected a type, but the type ends here"),
        ("strng", 0, "did you mean `string`"),
        ("bigit", 0, "did you mean `bigint`"),
        ("struct<a: dubble>", 10, "did you mean `double`"),
        ("wibble", 0, "the types are boolean, int"),
        ("int int", 4, "expected the end of the type, found `i`"),
        ("list<int", 8, "expected `>`, but the type ends here"),
        ("list", 4, "expected `<`"),
        ("list<>", 5, "expected a type, found `>`"),
        ("struct<>", 7, "expected a field name, found `>`"),
        ("struct<a int>", 9, "expected `:`, found `i`"),
        ("struct<a: int, a: int>", 15, "field `a` stands twice"),
        ("struct<`a: int>", 7, "no closing `"),
        ("map<string>", 10, "expected `,`, found `>`"),
        ("map<list<int>, int>", 4, "a map's key is a plain type"),
        ("map<json, int>", 4, "a map's key is a plain type"),
        ("decimal", 0, "write decimal(18,2)"),
        ("decimal(39,2)", 8, "1 to 38, not 39"),
        ("decimal(0,0)", 8, "1 to 38, not 0"),
        ("decimal(999999,0)", 8, "1 to 38"),
        ("decimal(10,11)", 11, "at most its precision 10, not 11"),
        ("decimal(x,1)", 8, "expected a number, found `x`"),
        ("varchar(255)", 7, "takes no length"),
        ("int\u{0}", 3, "expected the end"),
        ("💧", 0, "expected a type, found `💧`"),
        (deep.as_str(), 165, "at most 32 levels"),
    ];
    for (text, offset, reason) in table {
        let error = parse_type(text).expect_err(text);
        assert_eq!(error.offset, offset, "{text}: {error}");
        assert!(error.reason.contains(reason), "{text}: {error}");
    }
    assert!(parse_type(&long).unwrap_err().reason.contains("at most 10000 characters"));
    // Too many fields is a matter of length long before it is one of number, unless names are very short.
    assert!(parse_type(&wide).is_err());
    let fits = format!("{}int{}", "list<".repeat(32), ">".repeat(32));
    assert!(parse_type(&fits).is_ok());
}

#[test]
fn other_arrow_types_have_a_name_too() {
    assert_eq!(type_name(&DataType::Utf8), "string");
    assert_eq!(type_name(&DataType::UInt64), "bigint unsigned");
    assert_eq!(type_name(&DataType::Timestamp(TimeUnit::Nanosecond, None)), "timestamp");
    assert_eq!(type_name(&DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))), "string");
}

#[test]
fn timestamp_formats_are_read_and_shown() {
    for name in ["rfc3339", "epoch_s", "epoch_ms", "epoch_us", "epoch_ns", "%Y-%m-%d %H:%M:%S", "%d/%b/%Y:%H:%M:%S %z"]
    {
        assert_eq!(name.parse::<TimestampFormat>().unwrap().to_string(), name);
    }
    assert_eq!(TimestampFormat::default(), TimestampFormat::Rfc3339);
    let unknown = "iso8601".parse::<TimestampFormat>().unwrap_err().to_string();
    assert!(unknown.contains("rfc3339, epoch_s, epoch_ms, epoch_us, epoch_ns"), "{unknown}");
    for (pattern, reason) in
        [("%H:%M", "needs year"), ("%Y-%m", "needs year"), ("%Y-%Q", "does not know"), ("100%", "")]
    {
        let error = pattern.parse::<TimestampFormat>().expect_err(pattern).to_string();
        assert!(error.contains(reason), "{pattern}: {error}");
    }
}

#[test]
fn fields_are_declared_as_the_config_spells_them() {
    let field = SourceField::parse("ts", "timestamp", Some("epoch_ms")).unwrap();
    assert_eq!(field.timestamp, Some(TimestampFormat::EpochMillis));
    assert!(SourceField::parse("ts", "list<timestamp>", Some("epoch_ms")).is_ok());
    let json = SourceField::parse("raw", " JSON ", None).unwrap();
    assert!(json.json && json.type_name() == "json");
    assert!(!SourceField::parse("raw", "string", None).unwrap().json);
    let stray = SourceField::parse("n", "bigint", Some("epoch_ms")).unwrap_err().to_string();
    assert!(stray.contains("remove `format`"), "{stray}");
}

#[test]
fn all_columns_are_nullable() {
    let fields = ["int", "struct<a: int>", "map<string, int>"].map(|t| SourceField::parse(t, t, None).unwrap());
    let schema = SourceSchema { fields: fields.to_vec() };
    assert!(schema.arrow_schema().fields().iter().all(|f| f.is_nullable()));
    assert_eq!(schema.duplicate(), None);
    let twice = SourceSchema { fields: vec![fields[0].clone(), fields[0].clone()] };
    assert_eq!(twice.duplicate(), Some("int"));
}

/// Pieces of types in any order: closer to a type than arbitrary text is.
fn type_salad() -> impl Strategy<Value = String> {
    let pieces = [
        "struct", "list", "map", "decimal", "int", "json", "<", ">", "(", ")", ",", ":", " ", "a", "`", "\"", "9", "💧",
    ];
    prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..40).prop_map(|p| p.concat())
}

/// Well-formed types of any nesting.
fn any_type() -> impl Strategy<Value = String> {
    let plain =
        ["boolean", "int", "bigint", "float", "double", "decimal(9,3)", "string", "bytes", "date", "timestamp", "json"];
    prop::sample::select(plain.to_vec()).prop_map(str::to_owned).prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|t| format!("list<{t}>")),
            inner.clone().prop_map(|t| format!("map<string, {t}>")),
            prop::collection::vec(inner, 1..4).prop_map(|types| {
                let fields: Vec<String> = types.iter().enumerate().map(|(i, t)| format!("f{i}: {t}")).collect();
                format!("struct<{}>", fields.join(", "))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn no_text_makes_the_type_reader_panic(text in any::<String>(), salad in type_salad()) {
        for text in [text, salad] {
            match parse_type(&text) {
                Ok(data_type) => prop_assert_eq!(parse_type(&type_name(&data_type)).is_ok(), true),
                Err(error) => prop_assert!(error.offset <= text.len() && text.is_char_boundary(error.offset)),
            }
        }
    }

    #[test]
    fn a_type_survives_being_spelled(text in any_type()) {
        let field = SourceField::parse("x", &text, None).unwrap();
        prop_assert_eq!(field.type_name(), text);
    }

    #[test]
    fn no_text_makes_the_format_reader_panic(text in any::<String>(), value in any::<String>()) {
        if let Ok(pattern) = Pattern::compile(&text) {
            pattern.read(&value);
        }
        let _ = text.parse::<TimestampFormat>();
    }
}
