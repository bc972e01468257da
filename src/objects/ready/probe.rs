//! Whether a webhook answers: asked through the API server's service proxy, because its own status
//! can't be trusted (istiod reports Ready before its webhook serves, istio/istio#61049).

use std::time::Duration;

use http::{Request, header};
use serde_json::Value;

use super::rules::{self, Verdict};
use crate::objects::api::{Api, Served};
use crate::objects::request::told;

/// How long one webhook may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// A webhook in the cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Hook {
    name: String,
    path: String,
}

/// The webhooks of a configuration that are served in the cluster, each service once.
pub(super) fn webhooks(object: &Value) -> Vec<Hook> {
    let mut hooks: Vec<Hook> = Vec::new();
    for hook in object["webhooks"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let service = &hook["clientConfig"]["service"];
        let (Some(namespace), Some(name)) = (service["namespace"].as_str(), service["name"].as_str()) else {
            continue;
        };
        let port = service["port"].as_u64().unwrap_or(443);
        let path = service["path"].as_str().unwrap_or_default().trim_start_matches('/');
        let path = format!("/api/v1/namespaces/{namespace}/services/https:{name}:{port}/proxy/{path}");
        if !hooks.iter().any(|known| known.path == path) {
            hooks.push(Hook { name: hook["name"].as_str().unwrap_or_default().to_owned(), path });
        }
    }
    hooks
}

/// Asks every webhook. Any answer of its own will do, also that the request makes no sense.
pub(super) async fn answers(client: kube::Client, hooks: Vec<Hook>) -> Result<(), String> {
    for hook in hooks {
        let request = Request::post(&hook.path)
            .header(header::CONTENT_TYPE, "application/json")
            .body(b"{}".to_vec())
            .map_err(|error| error.to_string())?;
        match tokio::time::timeout(ANSWER, client.request_text(request)).await {
            Ok(Ok(_)) => {}
            Ok(Err(kube::Error::Api(status))) if !matches!(status.code, 500 | 502..=504) => {}
            // The server's own 500 is not told as a status object of the API server.
            Ok(Err(kube::Error::Api(status))) if status.code == 500 && !status.message.contains("reach service") => {}
            Ok(Err(error)) => return Err(format!("webhook {} does not answer: {}", hook.name, told(&error))),
            Err(_) => return Err(format!("webhook {} does not answer", hook.name)),
        }
    }
    Ok(())
}

/// Asks again, with the configuration as it is now.
pub(super) async fn again(api: &Api, served: &Served, name: &str) -> Result<(), String> {
    let object = api.requests(served, None).get(name).await.map_err(|error| told(&error))?;
    let object = served.document(object);
    if let Verdict::Waiting(state) | Verdict::Ailing(state) | Verdict::Failed(state) =
        rules::judge(&object, &super::Facts::default())
    {
        return Err(state);
    }
    answers(api.client().clone(), webhooks(&object)).await
}
