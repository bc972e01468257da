//! Builds of small parts that need nothing but a shell.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::images::layout::Layout;
use crate::images::reference::Reference;
use crate::paths::Paths;
use crate::plan::event::Progress;

const HEAD: &str = "apiVersion: istiolab.dev/v1alpha1\nkind: Part\nversion: '1'\n";

/// A project whose parts write their names into `log` whenever they are built.
struct Project {
    _dir: tempfile::TempDir,
    root: Utf8PathBuf,
    cancel: CancellationToken,
}

impl Project {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let root = Utf8Path::from_path(dir.path()).expect("UTF-8").to_owned();
        let project = Self { _dir: dir, root, cancel: CancellationToken::new() };
        project.part("below", "", "echo below >program");
        project.part("above", "needs: [below]\n", "echo above >program");
        project.part("beside", "", "echo beside >program");
        project
    }

    fn part(&self, name: &str, needs: &str, script: &str) {
        let dir = self.root.join("parts").join(name);
        let base = if needs.is_empty() { "" } else { "base: below, " };
        let text = format!(
            "{HEAD}name: {name}\ntitle: {name}\n{needs}inputs:\n  made: {{command: {{run: \"echo {name} >>{}/log; {script}\"}}}}\n\
             layers:\n  made: [{{path: /program, from: made/program, mode: 0755}}]\n\
             images: [{{name: istiolab.local/{name}, {base}layers: [made]}}]\nfiles: {{{name}: made/program}}\n",
            self.root
        );
        fs::create_dir_all(&dir).expect("made");
        fs::write(dir.join("part.yaml"), text).expect("written");
    }

    fn paths(&self) -> Paths {
        Paths { cache: self.root.join("cache"), state: self.root.join("state") }
    }

    fn layout(&self) -> Layout {
        Layout::open(self.root.join("cache/images")).expect("a store")
    }

    fn recipes(&self) -> Recipes {
        Recipes::load(self.root.join("parts")).expect("they are right")
    }

    async fn build(&self) -> Result<Vec<Built>, Failure> {
        build(&self.recipes(), &[], &self.paths(), &Progress::silent(), &self.cancel).await
    }

    async fn pack(&self, wanted: &[String]) -> Result<BTreeMap<Reference, Packed>, Error> {
        pack(&self.recipes(), wanted, false, &self.paths(), &self.cancel).await
    }

    /// Builds, and says which parts were.
    async fn rebuilt(&self) -> Vec<String> {
        let _ = fs::remove_file(self.root.join("log"));
        let built = self.build().await.expect("they can be built");
        let mut fresh: Vec<&str> = built.iter().filter(|part| !part.cached).map(|part| part.name.as_str()).collect();
        let mut logged = self.log();
        fresh.sort_unstable();
        logged.sort();
        assert_eq!(fresh, logged);
        logged
    }

    fn log(&self) -> Vec<String> {
        fs::read_to_string(self.root.join("log")).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// The layers of an image, the lowest first.
    fn layers(&self, name: &str) -> Vec<Utf8PathBuf> {
        let layout = self.layout();
        let image = layout.resolve(&format!("istiolab.local/{name}:1")).expect("it has the name");
        let manifest = layout.manifest(&image.digest).expect("it has a manifest");
        manifest.layers.iter().map(|layer| layout.path(&layer.digest)).collect()
    }

    /// Makes everything in the cache look as if it had been there for a month.
    fn age(dir: &Utf8Path) {
        for entry in dir.read_dir_utf8().expect("a folder") {
            let path = entry.expect("readable").into_path();
            if path.is_dir() {
                Self::age(&path);
            }
            let before = SystemTime::now() - Duration::from_hours(30 * 24);
            let file = fs::File::open(&path).expect("it opens");
            file.set_modified(before).expect("it ages");
        }
    }
}

#[tokio::test]
async fn what_is_there_is_not_built_again() {
    let project = Project::new();
    assert_eq!(project.rebuilt().await, ["above", "below", "beside"]);
    assert_eq!(project.rebuilt().await, [""; 0]);
    // Not even a program that could start.
    project.cancel.cancel();
    let built = project.build().await.expect("nothing has to be done");
    assert!(built.iter().all(|part| part.cached && part.images.len() == 1));
    assert_eq!(project.layers("above").len(), 2);
    let program = &built.iter().find(|part| part.name == "beside").expect("it is there").files["beside"];
    assert_eq!(fs::read_to_string(program).expect("it is a file"), "beside\n");
}

#[tokio::test]
async fn a_change_reaches_what_lies_above() {
    let project = Project::new();
    project.rebuilt().await;
    project.part("above", "needs: [below]\n", "echo other >program");
    assert_eq!(project.rebuilt().await, ["above"]);
    project.part("below", "", "echo other >program");
    assert_eq!(project.rebuilt().await, ["above", "below"]);
    fs::write(project.root.join("parts/beside/notes"), "new").expect("written");
    assert_eq!(project.rebuilt().await, ["beside"]);
    // What was there before is still there, and takes the names again.
    let other = project.layers("below");
    project.part("below", "", "echo below >program");
    assert_eq!(project.rebuilt().await, [""; 0]);
    assert_ne!(project.layers("below"), other);
}

#[tokio::test]
async fn what_is_lost_or_cut_off_is_built_again() {
    let project = Project::new();
    project.rebuilt().await;
    fs::remove_file(&project.layers("beside")[0]).expect("deleted");
    assert_eq!(project.rebuilt().await, ["beside"]);
    fs::write(&project.layers("above")[1], "cut").expect("cut off");
    assert_eq!(project.rebuilt().await, ["above"]);
    // The part below makes the same again, so that those above it stay as they are.
    fs::remove_file(&project.layers("below")[0]).expect("deleted");
    assert_eq!(project.rebuilt().await, ["below"]);
    let file = project.build().await.expect("all is there")[0].files.values().next().cloned().expect("a file");
    fs::remove_file(file).expect("deleted");
    assert_eq!(project.rebuilt().await.len(), 1);
    // Names alone are given again.
    fs::remove_file(project.root.join("cache/images/index.json")).expect("deleted");
    assert_eq!(project.rebuilt().await, [""; 0]);
    assert_eq!(project.layers("above").len(), 2);
    fs::remove_dir_all(project.root.join("cache")).expect("deleted");
    assert_eq!(project.rebuilt().await.len(), 3);
}

#[tokio::test]
async fn damage_that_keeps_the_length_is_found_by_reading() {
    let project = Project::new();
    project.rebuilt().await;
    let blob = &project.layers("beside")[0];
    let mut bytes = fs::read(blob).expect("readable");
    bytes[600] ^= 1;
    fs::write(blob, bytes).expect("damaged");
    let check = || verify(&project.recipes(), &project.paths(), &Progress::silent()).expect("it can be read");
    let wrong = check();
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    assert!(wrong[0].starts_with("beside: the blob sha256:"), "{wrong:?}");
    assert_eq!(project.rebuilt().await, ["beside"]);
    assert_eq!(check(), [""; 0]);
}

#[tokio::test]
async fn a_failed_part_is_not_recorded_and_the_next_run_goes_on() {
    let project = Project::new();
    project.part("above", "needs: [below]\n", "echo no space left on device >&2; exit 3");
    let failure = project.build().await.expect_err("a command fails");
    let text = failure.to_string();
    assert!(text.contains("building above 1") && text.contains("exit status: 3"), "{text}");
    assert!(text.contains("The disk is full"), "{text}");
    assert!(!project.root.join("cache/work/above").exists(), "nothing is left of it");
    project.part("above", "needs: [below]\n", "echo above >program");
    let again = project.rebuilt().await;
    assert!(again.contains(&"above".to_owned()) && !again.contains(&"below".to_owned()), "{again:?}");
}

#[tokio::test]
async fn an_interrupted_part_is_not_recorded() {
    let project = Project::new();
    project.part("beside", "", "echo half >program; sleep 60");
    let stop = project.cancel.clone();
    let log = project.root.join("log");
    tokio::spawn(async move {
        while !fs::read_to_string(&log).unwrap_or_default().contains("beside") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        stop.cancel();
    });
    let failure = project.build().await.expect_err("it was interrupted");
    assert_eq!(failure.kind, Kind::Interrupted);
    let project = Project { cancel: CancellationToken::new(), ..project };
    project.part("beside", "", "echo beside >program");
    assert!(project.rebuilt().await.contains(&"beside".to_owned()));
}

#[tokio::test]
async fn two_builds_at_once_build_once() {
    let project = Project::new();
    let (one, two) = tokio::join!(project.build(), project.build());
    let mut log = project.log();
    log.sort();
    assert_eq!(log, ["above", "below", "beside"]);
    let images = |built: Result<Vec<Built>, Failure>| -> Vec<BuiltImage> {
        built.expect("both end well").into_iter().flat_map(|part| part.images).collect()
    };
    assert_eq!(images(one), images(two));
}

#[tokio::test]
async fn what_nothing_refers_to_goes_when_it_is_old() {
    let project = Project::new();
    project.rebuilt().await;
    let old = project.layers("beside");
    let count = || fs::read_dir(project.root.join("cache/images/blobs/sha256")).expect("a folder").count();
    let before = count();
    project.part("beside", "", "echo newer >program");
    project.rebuilt().await;
    assert!(old[0].exists(), "it is young");
    Project::age(&project.root.join("cache"));
    project.part("below", "", "echo newer >program");
    project.rebuilt().await;
    assert!(!old[0].exists());
    let lost: Vec<String> = verify(&project.recipes(), &project.paths(), &Progress::silent()).expect("readable");
    assert_eq!(lost, [""; 0]);
    // Those of `below` and `above` before.
    assert!(count() <= before + 6, "{} of {before}", count());
    assert_eq!(project.rebuilt().await, [""; 0]);
}

#[tokio::test]
async fn images_go_into_another_unpacked() {
    let project = Project::new();
    let dir = project.root.join("parts/node");
    fs::create_dir_all(&dir).expect("made");
    let text = format!(
        "{HEAD}name: node\ntitle: n\nneeds: [above, below]\nlayers: {{all: [{{path: /kind, images: [above, below]}}]}}\nimages: [{{name: istiolab.local/node, layers: [all]}}]\n"
    );
    fs::write(dir.join("part.yaml"), text).expect("written");
    project.build().await.expect("they can be built");
    let layer = fs::File::open(&project.layers("node")[0]).expect("it is there");
    let mut tar = tar::Archive::new(layer);
    let names: Vec<String> = tar
        .entries()
        .expect("a tar")
        .map(|entry| entry.expect("an entry").path().expect("a path").to_string_lossy().into_owned())
        .collect();
    let hex = |name: &str, layer: usize| project.layers(name)[layer].file_name().expect("a name").to_owned();
    for wanted in [
        "kind/images/index.json".to_owned(),
        format!("kind/layers/{}/program", hex("below", 0)),
        format!("kind/layers/{}/program", hex("above", 1)),
        "kind/parts/above/made".to_owned(),
    ] {
        assert!(names.contains(&wanted), "{wanted}: {names:#?}");
    }
    assert_eq!(
        names.iter().filter(|name| name.contains("/blobs/sha256/")).count(),
        1 + 4,
        "manifests and configurations"
    );
}

#[tokio::test]
async fn a_command_tells_what_it_fetched() {
    let project = Project::new();
    project.part("beside", "", "echo 'npm x@1 sha512-ab' >$MADE_OF; echo beside >program");
    project.build().await.expect("they can be built");
    let found = found(&project.recipes(), &["beside".to_owned()], false, &project.paths(), &project.cancel).await;
    assert_eq!(found.expect("it can be read")["beside"].made_of, ["npm x@1 sha512-ab"]);
}

#[test]
fn the_projects_own_recipes_are_right() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/parts");
    let recipes = Recipes::load(dir).expect("they are right");
    let entries = Utf8Path::new(dir).read_dir_utf8().expect("a folder");
    let folders = entries.filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().is_dir())).count();
    assert_eq!(recipes.iter().count(), folders, "every folder of parts/ has a recipe");
}

#[test]
fn a_full_disk_is_told_as_such() {
    let error = || std::io::Error::from(std::io::ErrorKind::StorageFull);
    let layout = layout::Error::Io { dir: "/c".into(), source: error() };
    let layer = compose::Error::Io { path: "/c".into(), source: error() };
    for failure in
        [Failure::from(Error::write("/c", error())), Error::Layout(layout).into(), Error::Compose(layer).into()]
    {
        assert_eq!(failure.kind, Kind::Unavailable);
        assert!(failure.hints[0].starts_with("The disk is full"), "{failure}");
    }
}

/// The same project on another machine, which has nothing in its cache.
fn elsewhere(project: &Project) -> (tempfile::TempDir, Paths) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let root = Utf8Path::from_path(dir.path()).expect("UTF-8");
    let paths = Paths { cache: root.join("cache"), state: project.root.join("state") };
    (dir, paths)
}

async fn fetched(project: &Project, paths: &Paths, wanted: &[&str]) -> Result<Fetched, Failure> {
    let wanted: Vec<String> = wanted.iter().map(|&name| name.to_owned()).collect();
    let from: std::sync::Arc<dyn crate::images::content::Content> = std::sync::Arc::new(project.layout());
    let progress = Progress::silent();
    fetch(&project.recipes(), &wanted, paths, &from, &progress, &project.cancel).await
}

#[tokio::test]
async fn what_one_machine_built_another_fetches_whole() {
    let project = Project::new();
    let here = project.build().await.expect("they can be built");
    let all = ["above", "below", "beside"].map(str::to_owned);
    let packed = project.pack(&all).await.expect("they are there");
    assert_eq!(packed, project.pack(&all).await.expect("again"), "the same bytes");
    let (_dir, paths) = elsewhere(&project);

    let Fetched::All(there) = fetched(&project, &paths, &["above"]).await.expect("fetched") else { panic!("missing") };
    assert_eq!(there.len(), 1, "what it was built from stays away");
    let original = here.iter().find(|part| part.name == "above").expect("built");
    assert_eq!((&there[0].images, there[0].cached), (&original.images, false));
    let file = &there[0].files["above"];
    assert!(file.starts_with(&paths.cache));
    assert_eq!(fs::read_to_string(file).expect("there"), "above\n");
    let store = Layout::open(paths.cache.join("images")).expect("a store");
    assert!(store.resolve("istiolab.local/above:1").is_some());

    fs::remove_dir_all(project.root.join("cache")).expect("deleted");
    let Fetched::All(again) = fetched(&project, &paths, &["above"]).await.expect("fetched") else { panic!("missing") };
    assert!(again[0].cached, "nobody was asked");
}

#[tokio::test]
async fn a_changed_recipe_finds_nothing_old() {
    let project = Project::new();
    project.build().await.expect("they can be built");
    let (_dir, paths) = elsewhere(&project);
    let missing = fetched(&project, &paths, &["above"]).await.expect("asked");
    assert!(matches!(missing, Fetched::Missing(ref parts) if parts.len() == 1), "nothing was packed: {missing:?}");
    project.pack(&["above".to_owned()]).await.expect("it is there");
    // What a part is built from counts, too.
    project.part("below", "", "echo changed >program");
    let missing = fetched(&project, &paths, &["above"]).await.expect("asked");
    assert!(matches!(missing, Fetched::Missing(_)), "{missing:?}");
    // What was built before the change is not given away as what the recipe makes now.
    let unbuilt = project.pack(&["above".to_owned()]).await.expect_err("it was not built anew");
    assert!(matches!(unbuilt, Error::Unbuilt { .. }), "{unbuilt}");
}

#[tokio::test]
async fn what_was_changed_on_the_way_is_not_taken() {
    let project = Project::new();
    project.build().await.expect("they can be built");
    project.pack(&["above".to_owned()]).await.expect("it is there");
    let (_dir, paths) = elsewhere(&project);
    fs::write(&project.layers("above")[0], vec![0; 2048]).expect("spoilt");
    let failure = fetched(&project, &paths, &["above"]).await.expect_err("it is damaged");
    assert_eq!(failure.kind, crate::error::Kind::Refused, "{failure}");
    assert!(failure.to_string().contains("gives damaged content"), "{failure}");
    let left = paths.cache.join("built/above");
    assert!(!left.exists() || left.read_dir_utf8().expect("a folder").count() == 0);
}
