//! Reports stay well-formed, whatever texts scenarios and failures carry.

use std::time::Duration;

use camino::Utf8PathBuf;
use istiolab::plan::event::What;
use istiolab::report::{Format, Sinks, Target, around};
use istiolab::verify::record::{Scenario, Status};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn junit_and_json_hold_every_text(feature in any::<String>(), name in any::<String>(), error in any::<String>()) {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| Utf8PathBuf::from_path_buf(dir.path().join(name)).expect("its path is UTF-8");
        let files = vec![
            Target { format: Format::Junit, path: path("run.xml") },
            Target { format: Format::Json, path: path("run.json") },
        ];
        let scenario = Scenario {
            feature: feature.clone(),
            name,
            status: Status::Failed,
            elapsed: Duration::from_secs(1),
            error: Some(error.clone()),
            ..Scenario::default()
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(around(Sinks { terminal: None, files, lab: None }, |progress| async move {
            progress.emit(What::Scenario(Box::new(scenario)));
            Ok(())
        })).map_err(|failure| TestCaseError::fail(failure.to_string()))?;
        let xml = fs_err::read_to_string(path("run.xml")).expect("it is there");
        let report = quick_junit::Report::deserialize_from_str(&xml).map_err(|error| TestCaseError::fail(format!("{error}\n{xml}")))?;
        prop_assert_eq!(report.failures, 1);
        let json: serde_json::Value = serde_json::from_str(&fs_err::read_to_string(path("run.json")).expect("it is there")).expect("it is JSON");
        prop_assert_eq!(&json["scenarios"][0]["feature"], &feature);
        prop_assert_eq!(&json["scenarios"][0]["error"], &error);
    }
}
