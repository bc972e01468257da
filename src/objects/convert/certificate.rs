//! Requests for certificates: v1 must be told who is to sign.

use serde_json::json;

use super::Refusal;
use super::draft::{Draft, fill};
use super::kinds::Step;

/// To `certificates.k8s.io/v1`.
pub(super) fn up(draft: &mut Draft, _: &Step<'_>) -> Result<(), Refusal> {
    let spec = draft.at(&["spec"])?;
    match spec.get("signerName").and_then(|name| name.as_str()) {
        None | Some("" | "kubernetes.io/legacy-unknown") => {
            return Err(Refusal::new(
                "it names no signer that v1 has",
                "write `spec.signerName`, such as kubernetes.io/kube-apiserver-client",
            ));
        }
        Some(_) => {}
    }
    fill(spec, "usages", || json!(["digital signature", "key encipherment"]));
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::objects::convert::tests::{converted, refused};

    #[test]
    fn a_signer_must_be_named() {
        let request = |spec: &str| {
            format!(
                "{{apiVersion: certificates.k8s.io/v1beta1, kind: CertificateSigningRequest, metadata: {{name: a}}, spec: {spec}}}"
            )
        };
        let (document, _) = converted(&request("{signerName: a.b/c}"), "1.34");
        assert_eq!(document["spec"]["usages"], json!(["digital signature", "key encipherment"]));
        for spec in ["{}", "{signerName: kubernetes.io/legacy-unknown}"] {
            assert!(refused(&request(spec), "1.34").contains("write `spec.signerName`"));
        }
    }
}
