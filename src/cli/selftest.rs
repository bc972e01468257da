//! `istiolab selftest`.

use clap::{Subcommand, ValueEnum};
use serde::Serialize;

use super::up::Making;
use super::{Context, context};
use crate::error::{Failure, Kind};
use crate::lab;
use crate::lab::altered::Laid;
use crate::lab::site::Site;
use crate::plan::event::Progress;
use crate::report::counted;
use crate::selftest::{self, Kept, MUTATIONS, Mutation, Outcome, Subject, Verdict};
use crate::spec::Lab;
use crate::verify::doubt::Answer;
use crate::verify::vocabulary::Vocabulary;
use crate::verify::{self, Options};

/// Prove that the lab's scenarios fail when they should
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    proof: Proof,
}

#[derive(Debug, Subcommand)]
enum Proof {
    Mutate(Mutate),
    Steps(Steps),
}

/// Break the lab, one thing at a time, and see which scenarios notice; needs --yes
///
/// All scenarios run each time: those that depend on what is broken must fail, and no others. Then the lab is mended, as
/// `up` does, and they must pass again. If it is interrupted or killed, `istiolab up` mends the lab.
#[derive(Debug, clap::Args)]
struct Mutate {
    /// Only these mutations
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// Every mutation, instead of the usual ones
    #[arg(long, conflicts_with = "only")]
    all: bool,
    /// Show the mutations, what came of them the last time, and the steps that none has made fail; change nothing
    #[arg(long)]
    list: bool,
    /// What to print for people with --list
    #[arg(long = "as", value_enum, default_value_t, value_name = "FORM", requires = "list")]
    form: Form,
    #[command(flatten)]
    making: Making,
}

/// Let every step that scenarios use expect something else, and see that it fails
///
/// The lab stays as it is, and must be up. Of each step of the vocabulary one value is altered, in one scenario that uses
/// it. A step that passes whatever it expects must have been made to fail by a mutation.
#[derive(Debug, clap::Args)]
struct Steps {
    /// Only scenarios whose tags answer this expression
    #[arg(long, value_name = "EXPRESSION")]
    tags: Option<String>,
}

/// What the list is printed as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For a terminal.
    #[default]
    Text,
    /// The page docs/scenarios/mutations.md.
    Markdown,
}

/// A mutation as programs read it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed<'a> {
    name: &'static str,
    breaks: &'static str,
    noticed_by: &'static str,
    is_default: bool,
    /// What came of it the last time.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'a Outcome>,
}

/// What is printed for programs.
#[derive(Serialize)]
struct Data<T> {
    mutations: Vec<T>,
    /// The steps of the vocabulary that no mutation made fail so far.
    uncovered: Vec<&'static str>,
}

impl Args {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let lab = context.lab()?;
        match self.proof {
            Proof::Mutate(mutate) if mutate.list => mutate.list(&lab, context),
            Proof::Mutate(mutate) => mutate.make(lab, context).await,
            Proof::Steps(steps) => steps.run(lab, context).await,
        }
    }
}

impl Mutate {
    fn list(&self, lab: &Lab, context: &Context) -> Result<(), Failure> {
        let kept = Kept::read(&context.paths.lab(&lab.name))?;
        let vocabulary = vocabulary()?;
        let listed = |mutation: &'static Mutation| {
            let &Mutation { name, breaks, noticed_by, is_default, .. } = mutation;
            Listed { name, breaks, noticed_by, is_default, outcome: kept.mutations.get(name) }
        };
        let mutations = MUTATIONS.iter().map(listed).collect();
        let data = Data { mutations, uncovered: kept.uncovered(&vocabulary) };
        let text = match self.form {
            Form::Text => selftest::listed(&vocabulary, &kept),
            Form::Markdown => selftest::page(&vocabulary, &kept),
        };
        context.print(&data, text)
    }

    async fn make(&self, lab: Lab, context: &Context) -> Result<(), Failure> {
        let mutations = selftest::chosen(&self.only, self.all)?;
        agree(&lab, mutations.len(), context)?;
        let folder = context.paths.lab(&lab.name);
        let (made, folder) = (&lab, &folder);
        let work = |progress: Progress| async move {
            let (progress, cancel) = (&progress, &context.cancel);
            let config = up(made, context).await?;
            // On the heap: bringing a lab up is one large future.
            let mend = async || Box::pin(self.making.make(made, context, &Progress::silent())).await;
            // What an earlier run left broken, or somebody changed, is not to be counted with.
            mend().await?;
            let site = Site::open(made.clone(), &context.paths, context.access())?;
            let laid = Laid::read(site, progress, cancel).await?;
            let options = Options::of(made).against(folder.join("kubeconfig"));
            let subject = Subject::new(laid, folder, config, options, progress, cancel)?;
            subject.mutate(&mutations, mend).await
        };
        let outcomes = context.report(Some(&lab), work).await?;
        let uncovered = Kept::read(folder)?.uncovered(&vocabulary()?);
        let text = selftest::told(&outcomes);
        let failed = outcomes.iter().filter(|outcome| outcome.verdict == Verdict::Failed).count();
        let all = outcomes.len();
        context.print(&Data { mutations: outcomes, uncovered }, text)?;
        if failed == 0 {
            return Ok(());
        }
        let text = format!("{} of {all} not noticed as it should be", counted(failed, "mutation"));
        Err(Failure::new(Kind::ScenariosFailed, text).hint("What was not as it should be stands above, by scenario."))
    }
}

impl Steps {
    async fn run(self, lab: Lab, context: &Context) -> Result<(), Failure> {
        let folder = context.paths.lab(&lab.name);
        let own = Options::of(&lab).against(folder.join("kubeconfig"));
        let tags = self.tags.or(own.tags.clone());
        let options = Options { tags, parallel: own.parallel.max(selftest::PARALLEL), ..own };
        let (tried, options) = (&lab, &options);
        let work = |progress: Progress| async move {
            let config = up(tried, context).await?;
            selftest::doubt(config, options, &progress, &context.cancel).await
        };
        let doubts = context.report(Some(&lab), work).await?;
        let kept = Kept::read(&folder)?;
        context.print(&doubts, selftest::doubted(&doubts, &kept))?;
        Kept::add(&folder, &[], &doubts)?;
        let unproven = doubts.iter().filter(|doubted| match doubted.answer {
            Answer::Passes => kept.failing(&doubted.pattern).is_empty(),
            Answer::Unclear => true,
            Answer::Fails | Answer::NoValue | Answer::Unused => false,
        });
        let unproven = unproven.count();
        if unproven == 0 {
            return Ok(());
        }
        let text = format!("{} not proven to fail when it expects something else", counted(unproven, "step"));
        Err(Failure::new(Kind::ScenariosFailed, text)
            .hint("A mutation may make it fail: `istiolab selftest mutate --all` makes them all."))
    }
}

fn vocabulary() -> Result<Vocabulary, Failure> {
    verify::vocabulary().map_err(|error| Failure::new(Kind::Unexpected, error))
}

/// Asks whether the lab may be broken, unless that was said.
fn agree(lab: &Lab, mutations: usize, context: &Context) -> Result<(), Failure> {
    let question =
        format!("The lab `{}` is broken and mended {} on purpose. Go on? [y/N] ", lab.name, counted(mutations, "time"));
    if context.global.yes || context::agreed(&question) {
        return Ok(());
    }
    Err(Failure::new(Kind::Usage, format!("the lab `{}` would be broken on purpose, which needs your word", lab.name))
        .hint("Add --yes to agree; --list shows what would be broken."))
}

/// The way to the lab's cluster. What is wrong with a lab that is not up could not be told from what is broken.
async fn up(lab: &Lab, context: &Context) -> Result<kube::Config, Failure> {
    let config = context.cluster(lab, "Run `istiolab up` first.").await?;
    let docker = lab::site::engine().await?;
    let status = lab::status::status(&docker, lab, &context.paths.lab(&lab.name)).await?;
    if status.state == "up" {
        return Ok(config);
    }
    let text = format!("the lab `{}` is {}, and only a lab that is up is broken on purpose", lab.name, status.state);
    Err(Failure::new(Kind::Refused, text).hint("Run `istiolab up` first."))
}
