//! Image references: what is printed is read back as the same, and nothing that is read panics.

use istiolab::images::reference::Reference;
use proptest::prelude::*;

proptest! {
    #[test]
    fn what_is_printed_is_read_back(
        host in prop_oneof![Just(String::new()), Just("localhost:5000/".to_owned()), Just("registry.k8s.io/".to_owned()), Just("istiolab.local/".to_owned())],
        repository in "[a-z0-9]{1,8}(/[a-z0-9]{1,8}){0,3}",
        tag in prop_oneof![Just(String::new()), ":[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20}"],
        digest in prop_oneof![Just(String::new()), "@sha256:[0-9a-f]{64}"],
    ) {
        let text = format!("{host}{repository}{tag}{digest}");
        let reference: Reference = text.parse().map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
        let again: Reference = reference.to_string().parse().map_err(|error| TestCaseError::fail(format!("{reference}: {error}")))?;
        prop_assert_eq!(again, reference);
    }

    #[test]
    fn nothing_that_is_read_panics(text in prop_oneof![any::<String>(), "[a-z0-9A-Z:/@._-]{0,80}"]) {
        if let Ok(reference) = text.parse::<Reference>() {
            prop_assert_eq!(reference.to_string().parse::<Reference>(), Ok(reference));
        }
    }
}
