//! Which objects of a set need others of it: what follows from their fields, and what they say by
//! their annotation.

use std::collections::HashMap;

use serde_json::Value;

use super::depends;
use super::error::Error;
use super::inventory::Identity;
use super::object::ObjectRef;
use super::resolve::Member;
use super::set::GroupKind;

/// How far an object must be before those that need it begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Until {
    /// The API server has it.
    Applied,
    /// Discovery lists the kind that it defines.
    Served,
    /// It is ready.
    Ready,
}

/// One object needs another; both by their index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Need {
    pub(super) who: usize,
    pub(super) whom: usize,
    pub(super) until: Until,
}

/// Finds all needs among the members of a set.
///
/// # Errors
/// References in annotations that can't be read or that name no object of the set, all at once;
/// [`Error::Cycle`].
pub(super) fn of(members: &[Member]) -> Result<Vec<Need>, Error> {
    let set = Set::new(members);
    let mut needs = Vec::new();
    let mut errors = Vec::new();
    for (who, member) in members.iter().enumerate() {
        let mut add = |whom: usize, until: Until| needs.push(Need { who, whom, until });
        if let Some(namespace) =
            member.reference.namespace.as_deref().and_then(|name| set.find("", "Namespace", None, name))
        {
            add(namespace, Until::Applied);
        }
        if let Some(&definition) = set.definitions.get(&member.identity.kind) {
            add(definition, Until::Served);
        }
        if let Some(account) = token_of(member)
            .and_then(|name| set.find("", "ServiceAccount", member.reference.namespace.as_deref(), name))
        {
            add(account, Until::Applied);
        }
        for served in servers(&member.document) {
            let Some(service) = set.find("", "Service", Some(served.namespace), served.name) else { continue };
            add(service, Until::Applied);
            // From the moment that it is complete every request goes through it, also those that its own
            // server's pods are made by. One that lacks its certificate waits for its server to write it,
            // which need not be ready by then.
            let until = if served.complete { Until::Ready } else { Until::Applied };
            for workload in set.workloads(&members[service]) {
                add(workload, until);
            }
        }
        match declared(member, &set) {
            Ok(found) => found.into_iter().for_each(|whom| add(whom, Until::Ready)),
            Err(error) => errors.push(error),
        }
    }
    if let Some(error) = Error::from_many(errors) {
        return Err(error);
    }
    needs.sort_unstable();
    needs.dedup();
    match cycle(members.len(), &needs) {
        None => Ok(needs),
        Some(cycle) => Err(Error::Cycle {
            objects: cycle
                .into_iter()
                .map(|index| (members[index].reference.clone(), members[index].origin.clone()))
                .collect(),
        }),
    }
}

/// The members of a set by what they are looked for.
struct Set<'a> {
    members: &'a [Member],
    identities: HashMap<&'a Identity, usize>,
    definitions: HashMap<GroupKind, usize>,
}

impl<'a> Set<'a> {
    fn new(members: &'a [Member]) -> Self {
        let definitions = members.iter().enumerate().filter_map(|(index, member)| Some((defined(member)?, index)));
        Self {
            members,
            identities: members.iter().enumerate().map(|(index, member)| (&member.identity, index)).collect(),
            definitions: definitions.collect(),
        }
    }

    fn find(&self, group: &str, kind: &str, namespace: Option<&str>, name: &str) -> Option<usize> {
        let kind = GroupKind { group: group.to_owned(), kind: kind.to_owned() };
        let identity = Identity { kind, namespace: namespace.map(str::to_owned), name: name.to_owned() };
        self.identities.get(&identity).copied()
    }

    /// What runs the pods that a service selects.
    fn workloads(&self, service: &Member) -> Vec<usize> {
        let Some(selector) = service.document["spec"]["selector"].as_object().filter(|all| !all.is_empty()) else {
            return Vec::new();
        };
        let selected = |member: &Member| {
            let labels = if member.reference.kind == "Pod" {
                &member.document["metadata"]["labels"]
            } else {
                &member.document["spec"]["template"]["metadata"]["labels"]
            };
            labels.is_object() && selector.iter().all(|(name, value)| labels[name] == *value)
        };
        let in_namespace = |member: &Member| member.reference.namespace == service.reference.namespace;
        let all = self.members.iter().enumerate();
        all.filter(|(_, member)| in_namespace(member) && selected(member)).map(|(index, _)| index).collect()
    }
}

/// The kind that a custom resource definition defines.
pub(super) fn defined(member: &Member) -> Option<GroupKind> {
    if !is_definition(&member.reference) {
        return None;
    }
    let spec = &member.document["spec"];
    let text = |value: &Value| value.as_str().map(str::to_owned);
    Some(GroupKind { group: text(&spec["group"])?, kind: text(&spec["names"]["kind"])? })
}

/// Whether an object is a custom resource definition.
pub(super) fn is_definition(object: &ObjectRef) -> bool {
    object.kind == "CustomResourceDefinition" && object.group() == "apiextensions.k8s.io"
}

/// The account whose token a secret is to hold; the token's controller deletes the secret if the
/// account is not there.
fn token_of(member: &Member) -> Option<&str> {
    let is_token =
        member.reference.kind == "Secret" && member.document["type"] == "kubernetes.io/service-account-token";
    let name = &member.document["metadata"]["annotations"]["kubernetes.io/service-account.name"];
    is_token.then(|| name.as_str()).flatten()
}

/// A service that takes part in requests.
struct Server<'a> {
    namespace: &'a str,
    name: &'a str,
    /// Whether the API server can ask it as soon as it knows of it.
    complete: bool,
}

/// The services that webhooks and aggregated APIs are served by.
fn servers(document: &Value) -> Vec<Server<'_>> {
    let group = document["apiVersion"].as_str().unwrap_or_default().split('/').next().unwrap_or_default();
    let clients: Vec<&Value> = match (group, document["kind"].as_str().unwrap_or_default()) {
        ("admissionregistration.k8s.io", "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration") => {
            document["webhooks"].as_array().into_iter().flatten().map(|hook| &hook["clientConfig"]).collect()
        }
        ("apiregistration.k8s.io", "APIService") => vec![&document["spec"]],
        _ => Vec::new(),
    };
    clients
        .into_iter()
        .filter_map(|client| {
            let has_authority = client["caBundle"].as_str().is_some_and(|text| !text.is_empty());
            Some(Server {
                namespace: client["service"]["namespace"].as_str()?,
                name: client["service"]["name"].as_str()?,
                complete: has_authority || client["insecureSkipTLSVerify"] == true,
            })
        })
        .collect()
}

/// What the object's annotation names.
fn declared(member: &Member, set: &Set<'_>) -> Result<Vec<usize>, Error> {
    let Some(text) = member.document["metadata"]["annotations"][depends::ANNOTATION].as_str() else {
        return Ok(Vec::new());
    };
    let error = |reason: String| Error::DependsOn {
        object: member.reference.clone().into(),
        origin: member.origin.clone(),
        reason,
    };
    let found = depends::parse(text).map_err(error)?.into_iter().map(|identity| match set.identities.get(&identity) {
        Some(&index) if set.members[index].identity == member.identity => {
            Err(error("it names the object itself".to_owned()))
        }
        Some(&index) => Ok(index),
        None => {
            let place = identity.namespace.map(|namespace| namespace + "/").unwrap_or_default();
            Err(error(format!(
                "there is no {} {place}{} among the objects that it is applied with",
                identity.kind, identity.name
            )))
        }
    });
    found.collect()
}

/// A cycle, each object needing the next and the last the first.
fn cycle(count: usize, needs: &[Need]) -> Option<Vec<usize>> {
    let mut open: Vec<usize> = vec![0; count];
    let mut needed_by: Vec<Vec<usize>> = vec![Vec::new(); count];
    for need in needs {
        open[need.who] += 1;
        needed_by[need.whom].push(need.who);
    }
    let mut free: Vec<usize> = (0..count).filter(|&index| open[index] == 0).collect();
    while let Some(done) = free.pop() {
        for &who in &needed_by[done] {
            open[who] -= 1;
            if open[who] == 0 {
                free.push(who);
            }
        }
    }
    // Whatever is left needs something that is left: going on from there comes round.
    let mut here = (0..count).find(|&index| open[index] > 0)?;
    let mut path: Vec<usize> = Vec::new();
    loop {
        if let Some(begin) = path.iter().position(|&index| index == here) {
            return Some(path.split_off(begin));
        }
        path.push(here);
        here = needs.iter().find(|need| need.who == here && open[need.whom] > 0)?.whom;
    }
}

#[cfg(test)]
mod tests;
