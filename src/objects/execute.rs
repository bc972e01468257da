//! Going through a set's graph: every object is sent as soon as what it waits for is there, with a
//! bound on how many are under way. One that fails stops what needs it, and nothing else.

use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};

use super::apply::{Action, Applied};
use super::definitions::{self, Unserved};
use super::error::Error;
use super::graph::{Graph, Point, Walk};
use super::needs;
use super::ready::{self, Policy};
use super::resolve::Member;
use super::send::{Sender, Sent};

/// How many objects are sent at once.
const CONCURRENCY: usize = 16;

/// Something that ended.
enum Ended {
    Sent(usize, Result<Sent, Error>),
    Ready(usize, Result<(), Error>),
    Looked(Result<(), Error>),
}

/// A set that is being applied.
struct Run<'a> {
    sender: &'a Sender<'a>,
    readiness: &'a Policy,
    members: &'a [Member],
    graph: &'a Graph,
    walk: Walk<'a>,
    actions: Vec<Action>,
    running: FuturesUnordered<BoxFuture<'a, Ended>>,
    unserved: Unserved<'a>,
    sending: usize,
    applied: Applied,
    errors: Vec<Error>,
    /// The server is gone, or time is over: nothing more is begun.
    stopped: bool,
}

/// Applies the members of a set as their actions say.
///
/// # Errors
/// All errors of the objects that failed.
pub(super) async fn execute(
    sender: &Sender<'_>,
    readiness: &Policy,
    members: &[Member],
    actions: Vec<Action>,
    graph: &Graph,
) -> Result<Applied, Error> {
    let total = actions.iter().filter(|action| !matches!(action, Action::Keep)).count();
    let mut run = Run {
        sender,
        readiness,
        members,
        graph,
        walk: graph.walk(),
        actions,
        running: FuturesUnordered::new(),
        unserved: Unserved::default(),
        sending: 0,
        applied: Applied::default(),
        errors: Vec::new(),
        stopped: false,
    };
    let mut sent = 0;
    loop {
        run.begin().await?;
        let Some(ended) = run.running.next().await else { break };
        match ended {
            Ended::Sent(index, result) => {
                run.sending -= 1;
                sent += 1;
                sender.limit.progress.status(format!("{sent} of {total} objects applied"));
                match result {
                    Ok(done) => run.sent(index, done),
                    Err(error) => run.failed(error),
                }
            }
            Ended::Ready(index, Ok(())) => run.walk.reached(Point::Ready(index)),
            Ended::Looked(Ok(())) => run.unserved.looked(),
            Ended::Ready(_, Err(error)) | Ended::Looked(Err(error)) => run.failed(error),
        }
    }
    run.verdict()
}

impl Run<'_> {
    /// Begins all that may begin.
    async fn begin(&mut self) -> Result<(), Error> {
        loop {
            while let Some(point) = self.walk.other() {
                // Definitions are looked for together, from when they are applied.
                if let Point::Ready(index) = point {
                    self.wait_for(index);
                }
            }
            if self.serve().await? {
                continue;
            }
            if self.stopped || self.sending >= CONCURRENCY {
                break;
            }
            let Some(index) = self.walk.object() else { break };
            if matches!(self.actions[index], Action::Keep) {
                self.applied.unchanged.push(self.members[index].reference.clone());
                self.reached(index);
                continue;
            }
            self.sending += 1;
            let (sender, member, action) = (self.sender, &self.members[index], self.actions[index].clone());
            let send = async move { Ended::Sent(index, sender.send(member, action.live()).await) };
            self.running.push(send.boxed());
        }
        Ok(())
    }

    /// Waits until an object is ready, unless those that need it are there as they should be.
    fn wait_for(&mut self, index: usize) {
        let needed = self.graph.followers(Point::Ready(index)).any(|who| !matches!(self.actions[who], Action::Keep));
        if self.stopped || !needed {
            self.walk.reached(Point::Ready(index));
            return;
        }
        let (sender, member, policy) = (self.sender, &self.members[index], self.readiness.clone());
        let wait = async move {
            let limit = sender.limit;
            let objects = [member.reference.clone()];
            let waited =
                ready::wait_with(sender.api, &objects, policy, limit.left(), limit.progress, limit.cancel).await;
            Ended::Ready(index, waited)
        };
        self.running.push(wait.boxed());
    }

    /// Goes on with what waits for definitions that are served now. Whether any is.
    async fn serve(&mut self) -> Result<bool, Error> {
        if self.unserved.is_settled() {
            return Ok(false);
        }
        let served = self.unserved.take_served(self.sender.api).await?;
        for &index in &served {
            self.walk.reached(Point::Served(index));
        }
        if let Some((first, look)) = self.unserved.next_look() {
            let sender = self.sender;
            let look = async move { Ended::Looked(definitions::look(sender.api, first, look, sender.limit).await) };
            self.running.push(look.boxed());
        }
        Ok(!served.is_empty())
    }

    fn sent(&mut self, index: usize, done: Sent) {
        let reference = self.members[index].reference.clone();
        match done {
            Sent::Created => self.applied.created.push(reference),
            Sent::Changed => self.applied.changed.push(reference),
            Sent::Unchanged => self.applied.unchanged.push(reference),
            Sent::Replaced => {
                // Instances go with their definition.
                let gone: Vec<usize> = self.graph.followers(Point::Served(index)).collect();
                for instance in gone {
                    self.actions[instance] = Action::Create;
                }
                self.applied.replaced.push(reference);
            }
        }
        self.reached(index);
    }

    fn reached(&mut self, index: usize) {
        if needs::is_definition(&self.members[index].reference) {
            self.unserved.add(index, &self.members[index]);
        }
        self.walk.reached(Point::Applied(index));
    }

    fn failed(&mut self, error: Error) {
        self.stopped |=
            matches!(error, Error::Cancelled | Error::Api { .. } | Error::Deadline { .. } | Error::NotReady { .. });
        if self.stopped {
            self.unserved = Unserved::default();
        }
        self.errors.push(error);
    }

    fn verdict(self) -> Result<Applied, Error> {
        let Some(error) = Error::from_many(self.errors) else { return Ok(self.applied) };
        let applied = &self.applied;
        let done = applied.created.len() + applied.changed.len() + applied.replaced.len() + applied.unchanged.len();
        let left = self.members.len().saturating_sub(done + 1);
        if left > 0 && !matches!(error, Error::Cancelled) {
            self.sender
                .limit
                .progress
                .detail(format!("{done} objects are as they should be, {left} more were not applied"));
        }
        Err(error)
    }
}
