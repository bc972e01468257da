//! Reading never panics, whatever comes; positions lie within the text; streams keep their documents.

use istiolab::yaml;
use proptest::prelude::*;
use serde_json::{Value, json};

/// Texts that are nearly YAML, which find more than noise does.
fn nearly_yaml() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("a: "),
        Just("- "),
        Just("{"),
        Just("}"),
        Just("["),
        Just("]"),
        Just("\n"),
        Just("  "),
        Just("&x "),
        Just("*x"),
        Just("<<: *x"),
        Just("---\n"),
        Just("...\n"),
        Just("|\n"),
        Just(">-\n"),
        Just("'"),
        Just("\""),
        Just("# c\n"),
        Just("!!str "),
        Just("? "),
        Just("%YAML 1.1\n"),
        Just("\t"),
        Just(", "),
        Just("yes"),
        Just("0644"),
        Just("é"),
        Just("\u{feff}"),
        Just("\0"),
    ];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn nothing_that_is_read_panics(text in prop_oneof![nearly_yaml(), any::<String>()]) {
        let lines = u64::try_from(text.lines().count()).expect("few") + 1;
        match yaml::documents(&text, "x") {
            Ok(documents) => for document in documents {
                prop_assert!((1..=lines).contains(&document.line), "line {} of {lines}", document.line);
            },
            Err(yaml::Error::Read { line, .. } | yaml::Error::Duplicate { line, .. }) => {
                prop_assert!(line <= lines, "line {line} of {lines}");
            }
            Err(error) => prop_assert!(false, "{error}"),
        }
    }

    #[test]
    fn a_stream_is_its_documents(texts in proptest::collection::vec("[a-z]{1,8}", 0..6), gaps in proptest::collection::vec(0_usize..4, 6)) {
        let mut stream = String::new();
        let mut expected = Vec::new();
        for (text, gap) in texts.iter().zip(&gaps) {
            stream.push_str("---\n");
            stream.push_str(&"# nothing\n\n".repeat(*gap));
            expected.push((json!({"v": {"is": text}}), u64::try_from(stream.lines().count()).expect("few") + 1));
            stream.push_str(&yaml::to_string(&json!({"v": {"is": text}})).expect("it has a YAML form"));
        }
        let read: Vec<(Value, u64)> =
            yaml::documents(&stream, "x").expect("it is YAML").into_iter().map(|d| (d.value, d.line)).collect();
        prop_assert_eq!(read, expected);
    }
}
