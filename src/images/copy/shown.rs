//! What has moved, as a whole and image by image, and how it is told.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Failure, Kind};
use crate::images::reference::Reference;
use crate::plan::event::{Outcome, Progress, What};

/// Images of which less is sent are told of only in the total.
const LEAST: u64 = 1_000_000;

/// The bytes of blobs that have moved so far.
#[derive(Debug, Default)]
pub(super) struct Moved {
    all: Arc<AtomicU64>,
    images: Mutex<HashMap<Reference, Arc<AtomicU64>>>,
}

/// Counts for one image.
#[derive(Clone, Debug)]
pub(super) struct Counter {
    all: Arc<AtomicU64>,
    image: Arc<AtomicU64>,
}

impl Counter {
    pub(super) fn add(&self, bytes: usize) {
        for count in [&self.all, &self.image] {
            count.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }
}

impl Moved {
    /// Of all images.
    pub(super) fn all(&self) -> u64 {
        self.all.load(Ordering::Relaxed)
    }

    pub(super) fn counter(&self, image: &Reference) -> Counter {
        let mut images = self.images.lock().unwrap_or_else(PoisonError::into_inner);
        let image = Arc::clone(images.entry(image.clone()).or_default());
        Counter { all: Arc::clone(&self.all), image }
    }
}

/// The images that are being copied, each told of as a step of its own from its first byte on.
pub(super) struct Shown {
    images: BTreeMap<usize, Image>,
}

struct Image {
    progress: Progress,
    title: String,
    /// What is to be sent, and what had moved before.
    bytes: u64,
    before: u64,
    counter: Counter,
    begin: Option<Instant>,
}

impl Shown {
    /// Of images by their numbers, with how many bytes are to be sent for each.
    pub(super) fn new<'i>(
        images: impl Iterator<Item = (usize, &'i Reference, u64)>,
        moved: &Moved,
        progress: &Progress,
    ) -> Self {
        let shown = images.filter(|(_, _, bytes)| *bytes >= LEAST).map(|(number, image, bytes)| {
            let (title, counter) = (image.to_string(), moved.counter(image));
            let before = counter.image.load(Ordering::Relaxed);
            let progress = progress.for_step(format!("copy {title}"));
            (number, Image { progress, title, bytes, before, counter, begin: None })
        });
        Self { images: shown.collect() }
    }

    /// Tells how far each is.
    pub(super) fn tick(&mut self) {
        for image in self.images.values_mut() {
            let moved = image.counter.image.load(Ordering::Relaxed) - image.before;
            if moved > 0 {
                let begin = image.begin();
                image.progress.status(far(moved, image.bytes, begin.elapsed()));
            }
        }
    }

    /// One of them is at the target, whole.
    pub(super) fn there(&mut self, number: usize) {
        if let Some(mut image) = self.images.remove(&number) {
            let outcome = Outcome::done(format!("{} MB", tenths(image.bytes)));
            image.end(outcome);
        }
    }

    /// Nothing moves any more.
    pub(super) fn stopped(self, failure: &Failure) {
        for mut image in self.images.into_values().filter(|image| image.begin.is_some()) {
            // The reason is told with the whole.
            image.end(match failure.kind {
                Kind::Interrupted => Outcome::Cancelled,
                _ => Outcome::Failed { error: "not whole".to_owned() },
            });
        }
    }
}

impl Image {
    fn begin(&mut self) -> Instant {
        *self.begin.get_or_insert_with(|| {
            self.progress.emit(What::StepStarted { phase: "images".to_owned(), title: self.title.clone() });
            Instant::now()
        })
    }

    fn end(&mut self, outcome: Outcome) {
        let elapsed = self.begin().elapsed();
        self.progress.emit(What::StepFinished { outcome, elapsed });
    }
}

/// `30.0 of 110.6 MB, 95.2 MB/s`.
pub(super) fn far(moved: u64, bytes: u64, elapsed: Duration) -> String {
    let rate = u128::from(moved) * 1000 / elapsed.as_millis().max(1);
    let rate = tenths(u64::try_from(rate).unwrap_or(u64::MAX));
    format!("{} of {} MB, {rate} MB/s", tenths(moved.min(bytes)), tenths(bytes))
}

fn tenths(bytes: u64) -> String {
    format!("{}.{}", bytes / 1_000_000, bytes / 100_000 % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_image_is_told_from_its_first_byte_to_its_last() {
        let (progress, mut events) = Progress::channel();
        let names = ["x.test/a:1", "x.test/b:1", "x.test/small:1"];
        let images: Vec<Reference> = names.iter().map(|name| name.parse().expect("a reference")).collect();
        let moved = Moved::default();
        let bytes = [3_000_000, 2_000_000, 10];
        let all = images.iter().enumerate().map(|(number, image)| (number, image, bytes[number]));
        let mut shown = Shown::new(all, &moved, &progress);
        shown.tick();
        moved.counter(&images[0]).add(1_500_000);
        shown.tick();
        shown.there(0);
        shown.there(2);
        moved.counter(&images[1]).add(1);
        shown.tick();
        shown.stopped(&Failure::new(Kind::Interrupted, "no"));
        drop(progress);
        let mut told = Vec::new();
        while let Some(event) = events.recv().await {
            told.push(match event.what {
                What::StepStarted { title, .. } => title,
                What::Status { text } => text.split(',').next().unwrap_or_default().to_owned(),
                What::StepFinished { outcome, .. } => format!("{outcome:?}"),
                other => format!("{other:?}"),
            });
        }
        let expected =
            ["x.test/a:1", "1.5 of 3.0 MB", "Done { what: \"3.0 MB\" }", "x.test/b:1", "0.0 of 2.0 MB", "Cancelled"];
        assert_eq!(told, expected);
        assert_eq!(moved.all(), 1_500_001);
    }
}
