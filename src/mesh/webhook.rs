//! istiod's injection webhook, asked through the API server's service proxy: no TLS of our own, and
//! no port-forward.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Request, header};
use json_patch::Patch;
use serde_json::{Value, json};

use super::NAMESPACE;
use crate::objects::request::Limit;
use crate::objects::{self, Api};

/// The webhook's place.
fn path() -> String {
    format!("/api/v1/namespaces/{NAMESPACE}/services/https:istiod:443/proxy/inject")
}

/// What the webhook says to a pod.
#[derive(Debug)]
pub(super) enum Answer {
    /// The changes that inject it.
    Patch(Patch),
    /// It does not want to inject this pod: labels or annotations say so.
    Nothing,
    /// It refuses the pod.
    Refused(String),
    /// It can't be understood.
    Odd(String),
}

/// Asks for the injection of a pod, again and again until istiod serves or time is over.
pub(super) async fn ask(api: &Api, pod: &Value, limit: &Limit<'_>) -> Result<Answer, objects::Error> {
    let namespace = pod["metadata"]["namespace"].as_str().unwrap_or("default");
    let review = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "istiolab",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": namespace,
            "operation": "CREATE",
            "object": pod,
        },
    });
    let body = review.to_string().into_bytes();
    let doing = || "asking istiod's webhook for an injection".to_owned();
    let send = || async {
        let request = Request::post(path())
            .header(header::CONTENT_TYPE, "application/json")
            .body(body.clone())
            .map_err(kube::Error::HttpError)?;
        api.client().request::<Value>(request).await
    };
    let answer = limit
        .tried(doing, send)
        .await?
        .map_err(|source| objects::Error::Api { doing: doing(), source: Box::new(source) })?;
    Ok(read(&answer))
}

fn read(answer: &Value) -> Answer {
    let response = &answer["response"];
    if response["allowed"] != true {
        let message = response["status"]["message"].as_str().unwrap_or("it gives no reason");
        return Answer::Refused(message.to_owned());
    }
    let Some(patch) = response["patch"].as_str() else { return Answer::Nothing };
    let bytes = match STANDARD.decode(patch) {
        Ok(bytes) => bytes,
        Err(error) => return Answer::Odd(format!("its patch is not base64: {error}")),
    };
    match serde_json::from_slice(&bytes) {
        Ok(patch) => Answer::Patch(patch),
        Err(error) => Answer::Odd(format!("its patch is not one: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        let patch = STANDARD.encode(r#"[{"op": "add", "path": "/spec/x", "value": 1}]"#);
        let answer = |response: Value| read(&json!({"response": response}));
        assert!(matches!(answer(json!({"allowed": true, "patch": patch})), Answer::Patch(patch) if patch.0.len() == 1));
        assert!(matches!(answer(json!({"allowed": true})), Answer::Nothing));
        assert!(matches!(answer(json!({"allowed": true, "patch": "?"})), Answer::Odd(_)));
        let refused = json!({"allowed": false, "status": {"message": "no"}});
        assert!(matches!(answer(refused), Answer::Refused(message) if message == "no"));
    }
}
