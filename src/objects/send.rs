//! Sending one object to the API server by server-side apply: for good, or to be tried out.

use kube::api::{Patch, PatchParams};
use serde_json::Value;

use super::FIELD_MANAGER;
use super::api::{self, Api};
use super::apply::Conflicts;
use super::conflict;
use super::delete::{self, Doomed};
use super::error::Error;
use super::handover;
use super::immutable::{self, Fixed};
use super::inventory::Live;
use super::needs;
use super::request::{Limit, told};
use super::resolve::{self, Member};
use super::set::{APPLIED_HASH, PART_OF};

/// Sends objects of a set.
pub(super) struct Sender<'a> {
    pub(super) api: &'a Api,
    /// The set's identifier.
    pub(super) id: &'a str,
    pub(super) conflicts: Conflicts,
    /// Whether what can't be changed in place is deleted and made anew.
    pub(super) recreate: bool,
    pub(super) limit: &'a Limit<'a>,
}

/// What sending an object did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Created,
    Changed,
    /// It was as it should be.
    Unchanged,
    /// It was deleted and made anew.
    Replaced,
}

/// What the server says to an object.
struct Reply {
    version: String,
    /// The whole object; only of a trial.
    object: Value,
}

/// What came of trying an object out.
pub(super) enum Trial {
    /// The object as it would be.
    Object(Value),
    /// It would have to be replaced, because of these fields.
    Fixed(Vec<Fixed>),
}

impl Sender<'_> {
    /// Sends an object; `live` is what is there of its name.
    pub(super) async fn send(&self, member: &Member, live: Option<&Live>) -> Result<Sent, Error> {
        if let Some(live) = live.filter(|live| live.terminating) {
            delete::gone(self.api, &[Doomed::from(live)], None, self.limit).await?;
        }
        if let Some(ours) = live.filter(|live| live.set.is_some() && !live.terminating) {
            handover::take(self.api, ours, self.limit).await?;
        }
        let fixed = match (self.patch(member, live, false).await?, live) {
            (Ok(_), None) => return Ok(Sent::Created),
            (Ok(reply), Some(live)) if reply.version == live.resource_version => return Ok(Sent::Unchanged),
            (Ok(_), Some(_)) => return Ok(Sent::Changed),
            (Err(fixed), _) => fixed,
        };
        let ours = live.filter(|live| live.set.is_some());
        let Some(ours) = ours.filter(|_| self.recreate) else { return Err(cant_change(member, fixed, ours.is_some())) };
        self.limit.progress.note(format!(
            "{} is deleted and made anew; gone is {}.",
            member.reference,
            immutable::lost(&member.reference.kind)
        ));
        delete::remove(self.api, vec![Doomed::from(ours)], Some(self.id), self.limit).await?;
        if needs::is_definition(&member.reference) {
            // What was known of its kind is so no more.
            self.api.refresh().await?;
        }
        match self.patch(member, None, false).await? {
            Ok(_) => Ok(Sent::Replaced),
            Err(fixed) => Err(cant_change(member, fixed, true)),
        }
    }

    /// As [`Sender::send`], but nothing is written: the API server and admission only say what they would do.
    pub(super) async fn try_out(&self, member: &Member, live: Option<&Live>) -> Result<Trial, Error> {
        Ok(match self.patch(member, live, true).await? {
            Ok(reply) => Trial::Object(reply.object),
            Err(fixed) => Trial::Fixed(fixed),
        })
    }

    /// Applies an object. Fields that stand against it because they can't be changed are the inner error.
    async fn patch(
        &self,
        member: &Member,
        live: Option<&Live>,
        dry_run: bool,
    ) -> Result<Result<Reply, Vec<Fixed>>, Error> {
        let mut document = member.document.clone();
        resolve::with_metadata(&mut document, "annotations", APPLIED_HASH, &member.hash);
        let ours = live.is_some_and(|live| live.set.is_some());
        // Of what was there before, only what is in the set already stays in it.
        if live.is_none_or(|live| live.terminating) || ours {
            resolve::with_metadata(&mut document, "labels", PART_OF, self.id);
        }
        let mut params = PatchParams { dry_run, ..PatchParams::apply(FIELD_MANAGER) };
        params.force = self.conflicts == Conflicts::Take;
        loop {
            let error = match self.request(member, &document, &params).await? {
                Ok(reply) => return Ok(Ok(reply)),
                Err(error) => error,
            };
            let kube::Error::Api(status) = &error else {
                return Err(api::api_error(format!("applying {}", member.reference), error));
            };
            if live.is_some()
                && let Some(fixed) = immutable::fixed(status)
            {
                return Ok(Err(fixed));
            }
            let clashes = conflict::clashes(status, live.map(|live| live.managed.as_slice()).unwrap_or_default());
            if clashes.is_empty() {
                return Err(refused(member, &error));
            }
            let all = clashes.len();
            let rest = conflict::hand_over(&mut document, clashes);
            let ours_again = ours && !params.force && rest.iter().all(|clash| !clash.declared);
            if !rest.is_empty() && ours_again {
                if !dry_run {
                    let taken: Vec<_> = rest.iter().map(ToString::to_string).collect();
                    self.limit.progress.detail(format!("{}: taking back: {}", member.reference, taken.join(", ")));
                }
                params.force = true;
            } else if rest.len() == all {
                let object = member.reference.clone().into();
                return Err(Error::Conflict { object, origin: member.origin.clone(), clashes: rest });
            }
        }
    }

    async fn request(
        &self,
        member: &Member,
        document: &Value,
        params: &PatchParams,
    ) -> Result<Result<Reply, kube::Error>, Error> {
        let requests = self.api.requests(&member.served, member.reference.namespace.as_deref());
        let doing = || format!("{} {}", if params.dry_run { "trying out" } else { "applying" }, member.reference);
        let (name, patch) = (&member.reference.name, Patch::Apply(document));
        let version = |metadata: kube::core::ObjectMeta| metadata.resource_version.unwrap_or_default();
        if params.dry_run {
            let answer = self.limit.tried(doing, || requests.patch(name, params, &patch)).await?;
            return Ok(answer.map(|object| Reply {
                // A map with text as keys becomes JSON without fail.
                object: serde_json::to_value(&object).unwrap_or_default(),
                version: version(object.metadata),
            }));
        }
        let answer = self.limit.tried(doing, || requests.patch_metadata(name, params, &patch)).await?;
        Ok(answer.map(|object| Reply { version: version(object.metadata), object: Value::Null }))
    }
}

fn refused(member: &Member, error: &kube::Error) -> Error {
    Error::Refused { object: member.reference.clone().into(), origin: member.origin.clone(), message: told(error) }
}

fn cant_change(member: &Member, fields: Vec<Fixed>, ours: bool) -> Error {
    Error::Immutable { object: member.reference.clone().into(), origin: member.origin.clone(), fields, ours }
}
