//! Programs that outlived the run that started them. A killed run leaves kind behind, which goes on
//! making the cluster, and, when it fails, removes the nodes by their names: also those of the next
//! try. So what is left of it ends first. Only programs are ended whose command line names this lab's
//! own files or its random id.

use std::time::Duration;

use camino::Utf8Path;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Error;
use crate::process::Command;

/// How long a killed program may take to be gone.
const LIMIT: Duration = Duration::from_secs(5);

/// Ends what is left of making the cluster whose configuration is the file `config` and whose nodes
/// carry `owner`; how many programs that were. Where there is no `/proc`, none are found.
///
/// # Errors
/// [`Error::Deadline`] if one does not end.
pub(super) async fn end(config: &Utf8Path, owner: &str) -> Result<usize, Error> {
    let proc = Utf8Path::new("/proc");
    let found = left(proc, config, owner);
    if found.is_empty() {
        return Ok(0);
    }
    let begin = Instant::now();
    while let now = left(proc, config, owner)
        && !now.is_empty()
    {
        if begin.elapsed() > LIMIT {
            let last = format!("the processes {now:?} still run");
            return Err(Error::Deadline { what: "an earlier run's kind did not end".to_owned(), limit: LIMIT, last });
        }
        let pids = now.iter().map(u32::to_string);
        let killed = Command::new("kill").arg("-KILL").args(pids).limit(LIMIT).run(&CancellationToken::new()).await;
        // One that ended by itself meanwhile is fine; one that can't be killed is found again.
        drop(killed);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(found.len())
}

fn left(proc: &Utf8Path, config: &Utf8Path, owner: &str) -> Vec<u32> {
    let Ok(folder) = fs_err::read_dir(proc) else { return Vec::new() };
    let pids = folder.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| *pid != std::process::id())
        .filter(|pid| {
            let line = fs_err::read(proc.join(format!("{pid}/cmdline"))).unwrap_or_default();
            let argv: Vec<&str> = line.split(|byte| *byte == 0).filter_map(|word| str::from_utf8(word).ok()).collect();
            is_ours(&argv, config.as_str(), owner)
        })
        .collect()
}

/// `kind create cluster … --config OURS`, or the engine's program with a mount that carries our id.
fn is_ours(argv: &[&str], config: &str, owner: &str) -> bool {
    let kind =
        argv.get(1..3) == Some(&["create", "cluster"]) && argv.windows(2).any(|pair| pair == ["--config", config]);
    let mark = format!("{}{owner}", super::config::OWNER_DIR);
    let run = !owner.is_empty() && argv.get(1) == Some(&"run") && argv.iter().any(|word| word.contains(&mark));
    kind || run
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_names_our_own_is_ours() {
        let ours = |argv: &[&str]| is_ours(argv, "/state/labs/a/kind.json", "00ff");
        assert!(ours(&["/x/kind", "create", "cluster", "--name", "a", "--config", "/state/labs/a/kind.json"]));
        assert!(ours(&["docker", "run", "--volume=/dev/null:/etc/istiolab/owner/00ff:ro", "image"]));
        assert!(!ours(&["/x/kind", "create", "cluster", "--name", "a"]));
        assert!(!ours(&["/x/kind", "create", "cluster", "--config", "/state/labs/b/kind.json"]));
        assert!(!ours(&["vim", "/state/labs/a/kind.json"]));
        assert!(!ours(&["docker", "run", "--volume=/dev/null:/etc/istiolab/owner/11ee:ro", "image"]));
        assert!(!ours(&["docker", "rm", "-f", "a"]));
        assert!(!ours(&[]));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn what_is_left_ends_and_nothing_else() {
        let config = format!("/nonexistent/orphan-{}/kind.json", std::process::id());
        // A script named `create`, so that the command line looks like kind's.
        let dir = tempfile::tempdir().expect("a folder");
        let script = dir.path().join("create");
        fs_err::write(&script, "while :; do sleep 0.1; done\n").expect("writable");
        let run = |config: &str| {
            let command = Command::new("sh")
                .dir(Utf8Path::from_path(dir.path()).expect("UTF-8"))
                .args(["create", "cluster", "--config", config]);
            tokio::spawn(async move { command.run(&CancellationToken::new()).await.map(drop) })
        };
        let (ours, other) = (run(&config), run("/nonexistent/other/kind.json"));
        let begin = Instant::now();
        while left(Utf8Path::new("/proc"), Utf8Path::new(&config), "").is_empty() && begin.elapsed() < LIMIT {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(end(Utf8Path::new(&config), "").await.expect("it ends"), 1);
        ours.abort();
        assert!(!other.is_finished());
        assert_eq!(end(Utf8Path::new(&config), "").await.expect("nothing to do"), 0);
        other.abort();
    }
}
