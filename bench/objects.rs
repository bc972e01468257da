//! The object engine as a program, for measurements beside kubectl. It does one thing and prints one line.
//!
//!     objects apply KUBECONFIG FILE...     applies files as a set
//!     objects wait KUBECONFIG FILE...      waits until the objects of files are ready
//!     objects delete KUBECONFIG            deletes the set

use std::io::Write as _;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use istiolab::cluster;
use istiolab::error::Failure;
use istiolab::objects::{self, Api, Object, Options, SetName};
use istiolab::plan::event::Progress;
use tokio_util::sync::CancellationToken;

const LIMIT: Duration = Duration::from_mins(10);

#[tokio::main]
async fn main() -> Result<(), anyhow::Error> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [verb, kubeconfig, files @ ..] = arguments.as_slice() else {
        anyhow::bail!("usage: objects apply|wait|delete KUBECONFIG [FILE...]");
    };
    let files: Vec<_> = files.iter().map(Utf8PathBuf::from).collect();
    let told = run(verb, Utf8Path::new(kubeconfig), &files).await.map_err(|failure| anyhow::anyhow!("{failure}"))?;
    writeln!(std::io::stdout(), "{told}")?;
    Ok(())
}

async fn run(verb: &str, kubeconfig: &Utf8Path, files: &[Utf8PathBuf]) -> Result<String, Failure> {
    let api = Api::new(cluster::impatient_client(kubeconfig).await?);
    let set = SetName::new("bench", "default");
    let (progress, cancel) = (Progress::silent(), CancellationToken::new());
    match verb {
        "apply" => {
            let options = Options { deadline: LIMIT, ..Options::default() };
            let objects = objects::load(files)?;
            Ok(objects::apply(&api, &set, &objects, &options, &progress, &cancel).await?.to_string())
        }
        "wait" => {
            let objects: Vec<_> = objects::load(files)?.iter().map(Object::reference).collect();
            objects::ready::wait(&api, &objects, LIMIT, &progress, &cancel).await?;
            Ok(format!("{} ready", objects.len()))
        }
        _ => {
            let deleted = objects::delete_set(&api, &set, LIMIT, &progress, &cancel).await?;
            Ok(format!("{} deleted", deleted.deleted.len()))
        }
    }
}
