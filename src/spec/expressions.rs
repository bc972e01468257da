//! The expressions of a lab file: a fault in one is told at its place in the file.

use camino::Utf8Path;

use super::facts::{items, text};
use super::problem::Problem;
use crate::expression::{Expression, Fault};
use crate::yaml::Node;

/// The fields of a readiness rule that hold expressions.
const FIELDS: [&str; 2] = ["expression", "failed"];

/// What is wrong with the expressions of `root`, which was read from `source`.
pub(super) fn check(root: &Node, file: &Utf8Path, source: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, rule) in items(root, "readiness").iter().enumerate() {
        for (field, node) in FIELDS.iter().filter_map(|field| Some((field, rule.get(field)?))) {
            let Some(Err(fault)) = text(node).filter(|text| !text.is_empty()).map(Expression::new) else { continue };
            let (line, column) = place(node, &fault, source);
            let message = format!("`readiness[{index}].{field}` is no CEL expression: {fault}");
            problems.push(Problem::at(file, line, column, message));
        }
    }
    problems
}

/// Where a fault within a text stands in the file, which depends on how the text is written there.
fn place(node: &Node, fault: &Fault, source: &str) -> (u64, u64) {
    let line = |number: u64| source.lines().nth(usize::try_from(number).unwrap_or(usize::MAX).saturating_sub(1));
    let begin = usize::try_from(node.column).unwrap_or_default().saturating_sub(1);
    let quoted = matches!(line(node.line).unwrap_or_default().chars().nth(begin), Some('\'' | '"'));
    // A block begins with its first line, which stands below the sign for it, and keeps its lines.
    let above = line(node.line.saturating_sub(1)).unwrap_or_default().trim_end();
    let is_block = above.trim_end_matches(['+', '-']).ends_with('|');
    match fault.line {
        1 if quoted => (node.line, node.column + fault.column),
        1 => (node.line, node.column + fault.column - 1),
        number if is_block => (node.line + number - 1, node.column + fault.column - 1),
        _ => (node.line, node.column),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(source: &str) -> Vec<String> {
        let nodes = crate::yaml::nodes(source, "lab.yaml").expect("YAML");
        check(&nodes[0], "lab.yaml".into(), source).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_fault_has_the_place_that_it_has_in_the_file() {
        let plain = "readiness:\n- kind: A\n  expression: object.status.ok &&\n";
        let quoted = "readiness:\n- {kind: A, expression: 'objet.a == 1'}\n";
        let block = "readiness:\n- kind: A\n  expression: |\n    object.a == 1 &&\n      objet.b == 2\n";
        assert_eq!(
            problems(plain),
            ["lab.yaml:3:34: `readiness[0].expression` is no CEL expression: mismatched input 'the end'"]
        );
        let unknown = "there is nothing called `objet`; the object is called `object`";
        assert_eq!(
            problems(quoted),
            [format!("lab.yaml:2:26: `readiness[0].expression` is no CEL expression: {unknown}")]
        );
        assert_eq!(
            problems(block),
            [format!("lab.yaml:5:7: `readiness[0].expression` is no CEL expression: {unknown}")]
        );
        assert!(problems("readiness:\n- {kind: A, expression: object.a == 1, failed: object.b}\n").is_empty());
    }
}
