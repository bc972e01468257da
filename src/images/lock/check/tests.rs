use super::super::{Part, Platform};
use super::*;
use crate::images::layout::{CONFIG, Descriptor, MANIFEST};

fn name(text: &str) -> Reference {
    text.parse::<Reference>().expect(text).complete()
}

fn resolved() -> Entry {
    let manifest = Descriptor::new(MANIFEST, Digest::of("m"), 1);
    let config = Descriptor::new(CONFIG, Digest::of("c"), 1);
    let platform = Platform { manifest: manifest.clone(), config, layers: Vec::new() };
    Entry { root: Some(manifest), platforms: [("linux/amd64".to_owned(), platform)].into(), ..Entry::default() }
}

fn unbuilt(part: &str) -> Entry {
    Entry { part: Some(Part { name: part.to_owned(), ..Part::default() }), ..Entry::default() }
}

fn references(images: &[&str]) -> References {
    let mut references = References::default();
    for image in images {
        let place = Place { origin: "web.yaml:1".to_owned(), what: "Deployment web, container `app`".to_owned() };
        references.add(image, place).expect(image);
    }
    references
}

fn told(lock: &Lock, references: &References) -> Vec<String> {
    check(lock, references, "lab").iter().map(|finding| finding.to_string().replace('\n', "")).collect()
}

#[test]
fn a_lock_that_agrees_says_nothing() {
    let other = Entry { labs: ["other".to_owned()].into(), ..Entry::default() };
    let images = [(name("a:1"), resolved()), (name("b:1"), other)];
    assert_eq!(told(&Lock { images: images.into() }, &references(&["a:1"])), Vec::<String>::new());
}

#[test]
fn every_disagreement_is_told_with_its_places() {
    let ours = Entry { labs: ["lab".to_owned(), "other".to_owned()].into(), ..resolved() };
    let images = [(name("b:1"), resolved()), (name("c:1"), ours), (name("d:1"), unbuilt("d")), (name("e"), resolved())];
    let all = told(&Lock { images: images.into() }, &references(&["a:1", "d:1", "e"]));
    let place = "    web.yaml:1 (Deployment web, container `app`)";
    let expected = [
        format!("referenced but unlocked: docker.io/library/a:1{place}"),
        format!("unresolved: docker.io/library/d:1, as the part `d` is not built{place}"),
        format!("moving tag: docker.io/library/e:latest{place}"),
        "locked but unused: docker.io/library/b:1".to_owned(),
        "locked but unused: docker.io/library/c:1".to_owned(),
    ];
    assert_eq!(all, expected);
}

#[test]
fn a_frozen_lab_needs_every_image_and_names_the_commands() {
    let pinned = Entry { pinned: Some(Digest::of("x")), ..Entry::default() };
    let images = [(name("a:1"), resolved()), (name("b:1"), pinned), (name("c:1"), unbuilt("istio"))];
    let lock = Lock { images: images.into() };
    frozen(&lock, &references(&["a:1"])).expect("the lock says what it is");
    let error = frozen(&lock, &references(&["a:1", "b:1", "c:1", "d:1"])).expect_err("three are not known");
    insta::assert_snapshot!(crate::error::Failure::from(error), @"
    error: the lock does not say what 3 images of the lab are
      docker.io/library/b:1 is in the lock without its content; named in web.yaml:1 (Deployment web, container `app`)
      docker.io/library/c:1 comes from the part `istio`, which was not built when it was locked; named in web.yaml:1 (Deployment web, container `app`)
      docker.io/library/d:1 is not in the lock; named in web.yaml:1 (Deployment web, container `app`)
    hint: Run `istiolab images build istio`, then `istiolab images lock`, look at what it changed, and keep the lock.
    ");
    let error = frozen(&lock, &references(&["d:1"])).expect_err("it is not known");
    insta::assert_snapshot!(crate::error::Failure::from(error), @"
    error: the lock does not say what 1 image of the lab is
      docker.io/library/d:1 is not in the lock; named in web.yaml:1 (Deployment web, container `app`)
    hint: Run `istiolab images lock`, look at what it changed, and keep the lock.
    ");
}

#[test]
fn a_lab_takes_its_images_away_and_leaves_those_of_others() {
    let mut lock = Lock::default();
    lock.adopt("a", [(name("x:1"), resolved()), (name("y:1"), resolved())]);
    lock.adopt("b", [(name("y:1"), resolved()), (name("z:1"), resolved())]);
    lock.adopt("a", [(name("w:1"), resolved())]);
    let labs = |entry: &Entry| entry.labs.iter().cloned().collect::<String>();
    let all: Vec<_> = lock.images.iter().map(|(image, entry)| format!("{image} {}", labs(entry))).collect();
    assert_eq!(all, ["docker.io/library/w:1 a", "docker.io/library/y:1 b", "docker.io/library/z:1 b"]);
}
