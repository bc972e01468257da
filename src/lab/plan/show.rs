//! A plan for people: like a difference between files, with a sign before each object.

use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use super::{Plan, PlannedSet, Totals};
use crate::objects::{Change, Intent, Item, lost};
use crate::report::{Style, counted};
use crate::yaml;

/// How many lines of one field are shown, unless all are asked for.
const LINES: usize = 20;
/// How many letters of a value are shown beside another.
const LETTERS: usize = 60;
/// How many lines that stay are shown around those that change.
const AROUND: usize = 2;

/// The plan as text; with `whole`, no field is cut.
pub(crate) fn show(plan: &Plan, style: Style, whole: bool) -> String {
    let page = Page { style, whole };
    let mut lines = Vec::new();
    if !plan.cluster {
        lines.push(format!("{} the cluster `{}`, with everything in it", style.green("+"), plan.lab));
        lines.push(String::new());
    }
    for set in &plan.sets {
        page.set(set, &mut lines);
    }
    lines.push(summary(plan));
    lines.join("\n")
}

fn summary(plan: &Plan) -> String {
    let Totals { create, change, replace, prune, fail, unchanged } = plan.totals();
    if plan.is_empty() {
        return format!(
            "Nothing to do: {} as they should be.",
            match unchanged {
                1 => "1 object is".to_owned(),
                _ => format!("{unchanged} objects are"),
            }
        );
    }
    let parts = [
        (create, "to create"),
        (change, "to change"),
        (replace, "to replace (needs --recreate)"),
        (prune, "to prune"),
        (fail, "that would be refused"),
        (unchanged, "unchanged"),
    ];
    let mut parts: Vec<_> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    let unknown = plan.sets.iter().filter(|set| set.known.is_err()).count();
    if unknown > 0 {
        parts.push(format!("{} not known", counted(unknown, "set")));
    }
    format!("Plan: {}.", parts.join(", "))
}

struct Page {
    style: Style,
    whole: bool,
}

impl Page {
    fn set(&self, set: &PlannedSet, lines: &mut Vec<String>) {
        let head = |rest: &str| format!("{} {}", set.phase, self.style.dim(&format!("({}){rest}", set.name)));
        match &set.known {
            Err(why) => lines.extend([head(""), format!("  {} {why}", self.style.yellow("?")), String::new()]),
            Ok(planned) if planned.items.is_empty() => {}
            Ok(planned) => {
                let unchanged = match planned.unchanged {
                    0 => String::new(),
                    count => format!(", {count} unchanged"),
                };
                lines.push(head(&unchanged));
                for item in &planned.items {
                    self.item(item, lines);
                }
                lines.push(String::new());
            }
        }
    }

    fn item(&self, item: &Item, lines: &mut Vec<String>) {
        let style = self.style;
        let (sign, what) = match &item.intent {
            Intent::Create => (style.green("+"), String::new()),
            Intent::Change(_) => (style.yellow("~"), String::new()),
            Intent::Replace { .. } => (style.red("±"), " must be replaced".to_owned()),
            Intent::Prune => (style.red("-"), " left the set and is deleted".to_owned()),
            Intent::Fail(_) => (style.red("!"), " would be refused".to_owned()),
        };
        let mut place = vec![item.phase.to_string()];
        place.extend(item.known_after.map(|phase| format!("more is known after {phase}")));
        place.extend(item.origin.clone());
        lines.push(format!("  {sign} {}{what} {}", item.object, style.dim(&format!("({})", place.join(", ")))));
        if let Some(converted) = &item.converted {
            lines.push(format!("      converted: {} -> {}", converted.from, item.object.api_version));
            lines.extend(converted.notes.iter().map(|note| format!("      {note}")));
        }
        if let Some(note) = &item.note {
            lines.push(format!("      {}", style.dim(note)));
        }
        match &item.intent {
            Intent::Create | Intent::Prune => {}
            Intent::Change(fields) if fields.is_empty() => {
                lines.push(format!("      {}", style.dim("no field but the record of who manages them")));
            }
            Intent::Change(fields) => self.fields(fields, lines),
            Intent::Replace { fixed, fields, ours } => {
                lines.extend(fixed.iter().map(|fixed| format!("      {fixed}")));
                lines.push(if *ours {
                    format!("      lost with --recreate: {}", lost(&item.object.kind))
                } else {
                    "      not made by this lab, which therefore does not delete it".to_owned()
                });
                self.fields(fields, lines);
            }
            Intent::Fail(error) => lines.extend(error.to_string().lines().map(|line| format!("      {line}"))),
        }
    }

    fn fields(&self, fields: &[Change], lines: &mut Vec<String>) {
        for change in fields {
            let field = &change.field;
            if let Some(line) = self.beside(change) {
                lines.push(format!("      {field}: {line}"));
                continue;
            }
            lines.push(format!("      {field}:"));
            let changed = self.differing(change);
            let shown = if self.whole || changed.len() <= LINES + 1 { changed.len() } else { LINES };
            lines.extend(changed.iter().take(shown).map(|line| format!("        {line}")));
            if shown < changed.len() {
                let rest = format!("… {} more lines; -v shows all", changed.len() - shown);
                lines.push(format!("        {}", self.style.dim(&rest)));
            }
        }
    }

    /// Both values on one line, if they are short.
    fn beside(&self, change: &Change) -> Option<String> {
        let short = |value: &Option<Value>| match value {
            None => Some(None),
            Some(Value::String(text)) if text.contains('\n') => None,
            Some(value) => Some(value.to_string()).filter(|text| text.chars().count() <= LETTERS).map(Some),
        };
        let style = self.style;
        Some(match (short(&change.before)?, short(&change.after)?) {
            (Some(before), Some(after)) if before == after => format!("{before} -> another value"),
            (Some(before), Some(after)) => format!("{} -> {}", style.red(&before), style.green(&after)),
            (None, Some(after)) => style.green(&format!("+ {after}")),
            (Some(before), None) => style.red(&format!("- {before}")),
            (None, None) => return None,
        })
    }

    /// The lines that differ, with some of those around.
    fn differing(&self, change: &Change) -> Vec<String> {
        let (before, after) = (text(change.before.as_ref()), text(change.after.as_ref()));
        let diff = TextDiff::from_lines(&before, &after);
        let mut lines = Vec::new();
        for (index, group) in diff.grouped_ops(AROUND).iter().enumerate() {
            if index > 0 {
                lines.push(self.style.dim("…"));
            }
            for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
                let line = change.value().trim_end_matches('\n');
                lines.push(match change.tag() {
                    ChangeTag::Delete => self.style.red(&format!("- {line}")),
                    ChangeTag::Insert => self.style.green(&format!("+ {line}")),
                    ChangeTag::Equal => format!("  {line}"),
                });
            }
        }
        lines
    }
}

/// A value as lines: text as it is, all else as YAML.
fn text(value: Option<&Value>) -> String {
    match value {
        None => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => yaml::to_string(value).unwrap_or_else(|_| value.to_string()),
    }
}

#[cfg(test)]
mod tests;
