//! Conversion of whatever stands in a file: it is refused or converted, and what was converted is served.

use istiolab::objects::Object;
use istiolab::objects::convert::{Release, Target, convert, table};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Names that rules look for, so that most of what is made up comes to them.
const NAMES: &str = "spec|template|metadata|labels|annotations|selector|strategy|updateStrategy|rollingUpdate|type|rules|\
    http|paths|backend|serviceName|servicePort|service|port|number|pathType|versions|version|name|served|storage|schema|\
    openAPIV3Schema|validation|properties|items|anyOf|oneOf|allOf|not|additionalProperties|required|enum|conversion|webhook|\
    strategy|conversionReviewVersions|additionalPrinterColumns|JSONPath|webhooks|sideEffects|admissionReviewVersions|subjects|\
    roleRef|kind|apiVersion|metrics|resource|object|external|target|metric|scaleTargetRef|endpoints|topology|addresses|\
    addressType|limited|assuredConcurrencyShares|nominalConcurrencyShares|rollbackTo|signerName|priority|matchExpressions";

fn any_json() -> impl Strategy<Value = Value> {
    let text = "(RollingUpdate|Webhook|None|Some|object|string|integer|Resource|Object|External|IP|10.0.0.1|80|a)";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0..3_i64).prop_map(Value::from),
        text.prop_map(Value::from)
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        prop_oneof![
            1 => proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            3 => proptest::collection::hash_map(NAMES, inner, 0..6).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn whatever_stands_there_is_refused_or_served(
        row in 0..table().len(),
        minor in 8..=36_u16,
        newest in any::<bool>(),
        fields in proptest::collection::hash_map(NAMES, any_json(), 0..6),
    ) {
        let row = &table()[row];
        let mut document = json!({});
        for (name, value) in fields {
            document[name] = value;
        }
        document["apiVersion"] = json!(if newest { row.newest } else { row.version });
        document["kind"] = json!(row.kind);
        if !document["metadata"].is_object() {
            document["metadata"] = json!({});
        }
        document["metadata"]["name"] = json!("a");
        document["metadata"].as_object_mut().expect("an object").remove("namespace");
        let object = Object::new(document, "x.yaml", 1).expect("an object");
        let target = Target::Release(format!("1.{minor}").parse::<Release>().expect("a release"));
        if let Ok(Some((converted, conversion))) = convert(&object, &target) {
            prop_assert_eq!(converted.name(), "a");
            prop_assert_eq!(&conversion.object.api_version, converted.api_version());
            let again = convert(&converted, &target);
            prop_assert!(matches!(again, Ok(None)), "{:?} of {:?}", again, converted.document);
        }
    }
}
