//! Kinds by the words that people use for them, as kubectl takes them.

use kube::discovery::{Discovery, Scope};

use super::api::{Api, Served};
use super::error::Error;

impl Api {
    /// The kinds that a word means: `Deployment`, `deployments`, `Gateway.networking.istio.io`, in any
    /// case; each in the newest stable version that its group serves. Without a group the core group
    /// comes first, and then alone; several kinds are given back where several groups have one of that
    /// name. Discovery is asked again for a word that the cache does not know.
    ///
    /// # Errors
    /// [`Error::Api`] if discovery fails.
    pub async fn kinds(&self, word: &str) -> Result<Vec<Served>, Error> {
        let (discovery, fresh) = self.discovery().await?;
        let found = named(&discovery, word);
        if !found.is_empty() || fresh {
            return Ok(found);
        }
        Ok(named(&*self.refresh().await?, word))
    }
}

fn named(discovery: &Discovery, word: &str) -> Vec<Served> {
    let (name, wanted) = split(word);
    let groups = discovery.groups_alphabetical().into_iter();
    let kinds = groups.filter(|group| wanted.is_none_or(|wanted| group.name() == wanted));
    let kinds = kinds.flat_map(kube::discovery::ApiGroup::resources_by_stability);
    let mut found: Vec<Served> = kinds
        .filter(|(resource, _)| resource.kind.eq_ignore_ascii_case(name) || resource.plural.eq_ignore_ascii_case(name))
        .map(|(resource, capabilities)| Served { resource, namespaced: capabilities.scope == Scope::Namespaced })
        .collect();
    match found.iter().position(|served| served.resource.group.is_empty()) {
        Some(core) => vec![found.swap_remove(core)],
        None => found,
    }
}

/// `Gateway.networking.istio.io` → `Gateway` and its group.
fn split(word: &str) -> (&str, Option<&str>) {
    word.split_once('.').map_or((word, None), |(name, group)| (name, Some(group)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_follows_the_first_dot() {
        assert_eq!(split("Gateway.networking.istio.io"), ("Gateway", Some("networking.istio.io")));
        assert_eq!(split("pods"), ("pods", None));
    }
}
