//! Who a server saw calling, as mutual TLS proved it.

use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::{judgement, step};
use crate::observe::envoy::{self, ADMINISTRATION, Certificate};
use crate::verify::arguments::Arguments;
use crate::verify::traffic::caller;
use crate::verify::unmet::Unmet;
use crate::verify::vocabulary::Entry;
use crate::verify::world::Scene;

pub(super) const STEPS: [Entry; 5] = [
    judgement!(
        "mutual TLS",
        "the server saw the caller {string}",
        server,
        "The demo application that answered last got a client certificate with this URI, such as \
         spiffe://cluster.local/ns/demo/sa/client, from the proxy next to it."
    ),
    judgement!(
        "mutual TLS",
        "the back end saw the caller {string}",
        backend,
        "The same for the back end that the answering front end called."
    ),
    judgement!(
        "mutual TLS",
        "the server saw no caller",
        nobody,
        "The demo application that answered last was told of no client certificate."
    ),
    step!(
        "mutual TLS",
        Check,
        "the proxy of {string} in namespace {string} has a certificate for {string}",
        certificate,
        "In each pod of the Deployment, a certificate that Envoy shows to others proves this URI."
    ),
    step!(
        "mutual TLS",
        Check,
        "the certificate of the proxy of {string} in namespace {string} is valid for at least {duration}",
        valid,
        "In each pod of the Deployment, every certificate that Envoy shows to others ends no sooner."
    ),
];

fn server(scene: &Scene, arguments: &Arguments) -> Result<(), Unmet> {
    same(scene, "caller", arguments.text(0))
}

fn backend(scene: &Scene, arguments: &Arguments) -> Result<(), Unmet> {
    same(scene, "backend.caller", arguments.text(0))
}

fn same(scene: &Scene, field: &str, wanted: &str) -> Result<(), Unmet> {
    let header = scene.traffic(None)?.field(field)?;
    let Some(header) = header.as_str() else {
        return Err(Unmet::Never(format!("the server was told of no client certificate (`{field}` is {header})")));
    };
    match caller(header) {
        Some(found) if found == wanted => Ok(()),
        Some(found) => Err(Unmet::Never(format!("the caller was {found}, not {wanted}"))),
        None => Err(Unmet::Never(format!("the header names no caller: {header}"))),
    }
}

fn nobody(scene: &Scene, _: &Arguments) -> Result<(), Unmet> {
    match scene.traffic(None)?.field("caller")? {
        Value::Null => Ok(()),
        header => Err(Unmet::Never(format!("the server was told of a client certificate: {header}"))),
    }
}

/// The certificates of the proxies of a Deployment's pods, by pod.
async fn certificates(scene: &mut Scene, arguments: &Arguments) -> Result<Vec<(String, Vec<Certificate>)>, Unmet> {
    let namespace = arguments.text(1);
    let mut certificates = Vec::new();
    for pod in scene.pods_of(arguments.text(0), namespace).await? {
        let name = pod.metadata.name.unwrap_or_default();
        let found = envoy::certificates(&scene.inside(namespace, &name, ADMINISTRATION)).await?;
        if found.is_empty() {
            return Err(Unmet::not_yet(format!("the proxy of {name} has no certificate")));
        }
        certificates.push((name, found));
    }
    Ok(certificates)
}

async fn certificate(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    for (pod, certificates) in certificates(scene, &arguments).await? {
        names(&pod, &certificates, arguments.text(2))?;
    }
    Ok(())
}

fn names(pod: &str, certificates: &[Certificate], wanted: &str) -> Result<(), Unmet> {
    let names: Vec<&str> = certificates.iter().flat_map(|certificate| &certificate.names).map(String::as_str).collect();
    if names.contains(&wanted) {
        return Ok(());
    }
    Err(Unmet::not_yet(format!("the certificates of {pod} prove {}, not {wanted}", names.join(", "))))
}

async fn valid(scene: &mut Scene, arguments: Arguments) -> Result<(), Unmet> {
    let wanted = arguments.duration(2)?;
    for (pod, certificates) in certificates(scene, &arguments).await? {
        lasts(&pod, &certificates, wanted, SystemTime::now())?;
    }
    Ok(())
}

fn lasts(pod: &str, certificates: &[Certificate], wanted: Duration, now: SystemTime) -> Result<(), Unmet> {
    for certificate in certificates {
        let left = certificate.expires.map(|end| end.duration_since(now).unwrap_or_default());
        if left.is_none_or(|left| left < wanted) {
            let left = left.map_or("for an unknown time".to_owned(), |left| {
                format!("for {}", humantime::format_duration(Duration::from_secs(left.as_secs())))
            });
            let names = certificate.names.join(", ");
            return Err(Unmet::not_yet(format!("the certificate of {pod} for {names} is valid {left}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_judged_by_name_and_time() {
        let now = SystemTime::now();
        let expires = Some(now + Duration::from_secs(90));
        let certificates = [Certificate { names: vec!["spiffe://td/ns/a/sa/b".to_owned()], expires }];
        assert!(names("b-1", &certificates, "spiffe://td/ns/a/sa/b").is_ok());
        let text = names("b-1", &certificates, "spiffe://td/ns/a/sa/c").expect_err("another").to_string();
        assert_eq!(text, "the certificates of b-1 prove spiffe://td/ns/a/sa/b, not spiffe://td/ns/a/sa/c");
        assert!(lasts("b-1", &certificates, Duration::from_mins(1), now).is_ok());
        let text = lasts("b-1", &certificates, Duration::from_mins(2), now).expect_err("too short").to_string();
        assert_eq!(text, "the certificate of b-1 for spiffe://td/ns/a/sa/b is valid for 1m 30s");
    }
}
