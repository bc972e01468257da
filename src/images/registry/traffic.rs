//! What went over the wire, counted.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use reqwest::Method;

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum About {
    /// A manifest or an index.
    Manifest,
    /// A blob that is read.
    Blob,
    /// A blob that is mounted or sent.
    Upload,
    /// A token of the registry's authority.
    Token,
    /// Anything else.
    Other,
}

impl About {
    fn name(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Blob => "blob",
            Self::Upload => "upload",
            Self::Token => "token",
            Self::Other => "other",
        }
    }
}

/// What went over the wire, of all clones of a client together.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Traffic {
    /// Requests, repeated ones and those that were led elsewhere included.
    pub requests: u64,
    /// The same by method and what they were about, as `HEAD manifest`.
    pub by_kind: BTreeMap<String, u64>,
    /// Bytes of blobs and manifests sent, those that were sent in vain included.
    pub sent: u64,
    /// Bytes of blobs and manifests received.
    pub received: u64,
}

impl Traffic {
    /// How many requests of one method there were about `about`.
    #[must_use]
    pub fn count(&self, method: &Method, about: About) -> u64 {
        self.by_kind.get(&key(method, about)).copied().unwrap_or_default()
    }

    /// Both together.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.requests += other.requests;
        self.sent += other.sent;
        self.received += other.received;
        for (kind, count) in &other.by_kind {
            *self.by_kind.entry(kind.clone()).or_default() += count;
        }
        self
    }
}

fn key(method: &Method, about: About) -> String {
    format!("{method} {}", about.name())
}

/// The counters behind [`Traffic`].
#[derive(Debug, Default)]
pub(super) struct Counters {
    by_kind: Mutex<BTreeMap<String, u64>>,
    sent: AtomicU64,
    received: AtomicU64,
}

impl Counters {
    pub(super) fn request(&self, method: &Method, about: About) {
        *self.by_kind.lock().unwrap_or_else(PoisonError::into_inner).entry(key(method, about)).or_default() += 1;
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn traffic(&self) -> Traffic {
        let by_kind = self.by_kind.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Traffic {
            requests: by_kind.values().sum(),
            by_kind,
            sent: self.sent.load(Ordering::Relaxed),
            received: self.received.load(Ordering::Relaxed),
        }
    }
}
