//! Expressions on objects in CEL, the language of Kubernetes' own validation rules. The only place
//! that knows it.
//!
//! The object is called `object`, as in admission policies, and `self`, as in definitions. There are
//! the standard functions and macros, optional fields (`object.?status.?phase.orValue('')`), and the
//! extensions for strings, lists and math; Kubernetes' own libraries (quantities, addresses,
//! authorizer) and times are not there.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr};
use cel::{Context, Env, ExecutionError, ParseErrors, Program, extensions};
use serde_json::Value;
use thiserror::Error;

/// What an object is called in expressions.
const NAMES: [&str; 2] = ["object", "self"];
/// The names of types, which stand for themselves.
const TYPES: [&str; 11] =
    ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint", "optional_type"];

/// Why a text is no expression, and where in it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct Fault {
    /// The line within the text, from 1.
    pub line: u64,
    /// The column in characters, from 1.
    pub column: u64,
    /// What is wrong there.
    pub message: String,
}

/// What an expression says of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// A field that it reads is not there; its name.
    Missing(String),
    /// It has no answer for this object, for instance because a field is of another type.
    Error(String),
    /// It is something else than true or false, which no other object would change.
    NoBoolean(String),
}

/// An expression that was understood.
#[derive(Debug)]
pub struct Expression {
    text: String,
    program: Program,
}

impl Expression {
    /// Reads an expression and checks that every name in it means something.
    ///
    /// # Errors
    /// The first [`Fault`].
    pub fn new(text: &str) -> Result<Self, Fault> {
        let program = environment().compile(text).map_err(|errors| syntax(&errors))?;
        let expression = Self { text: text.to_owned(), program };
        expression.names(expression.program.expression(), &mut Vec::new())?;
        Ok(expression)
    }

    /// The text as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Asks the expression about an object.
    #[must_use]
    pub fn ask(&self, object: &Value) -> Answer {
        let mut context = Context::with_env(Arc::clone(environment()));
        let object = converted(object);
        for name in NAMES {
            context.add_variable_from_value(name, object.clone());
        }
        match self.program.execute(&context) {
            Ok(cel::Value::Bool(true)) => Answer::True,
            Ok(cel::Value::Bool(false)) => Answer::False,
            Ok(other) => Answer::NoBoolean(format!("{:?}", other.type_of()).to_lowercase()),
            Err(ExecutionError::NoSuchKey(key)) => Answer::Missing(key.to_string()),
            Err(error) => Answer::Error(error.to_string()),
        }
    }

    /// Checks the names below `node`; `scope` holds those that macros bind.
    fn names(&self, node: &IdedExpr, scope: &mut Vec<String>) -> Result<(), Fault> {
        match &node.expr {
            Expr::Ident(name) => self.name(node.id, name, scope),
            Expr::Select(select) => self.names(&select.operand, scope),
            Expr::Call(call) => self.call(node.id, call, scope),
            Expr::List(list) => list.elements.iter().try_for_each(|element| self.names(element, scope)),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| self.entry(&entry.expr, scope)),
            Expr::Struct(new) => new.entries.iter().try_for_each(|entry| self.entry(&entry.expr, scope)),
            Expr::Comprehension(inner) => {
                self.names(&inner.iter_range, scope)?;
                self.names(&inner.accu_init, scope)?;
                let outer = scope.len();
                scope.extend([inner.iter_var.clone(), inner.accu_var.clone()]);
                scope.extend(inner.iter_var2.clone());
                let checked = [&inner.loop_cond, &inner.loop_step, &inner.result]
                    .into_iter()
                    .try_for_each(|part| self.names(part, scope));
                scope.truncate(outer);
                checked
            }
            Expr::Literal(_) | Expr::Unspecified => Ok(()),
        }
    }

    fn entry(&self, entry: &EntryExpr, scope: &mut Vec<String>) -> Result<(), Fault> {
        match entry {
            EntryExpr::StructField(field) => self.names(&field.value, scope),
            EntryExpr::MapEntry(entry) => {
                self.names(&entry.key, scope)?;
                self.names(&entry.value, scope)
            }
        }
    }

    fn call(&self, id: u64, call: &CallExpr, scope: &mut Vec<String>) -> Result<(), Fault> {
        let function = call.func_name.as_str();
        // Operators are functions as well, with names that nobody can write.
        let is_word = function.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.')
            && function.starts_with(|c: char| c.is_ascii_alphabetic());
        let space = call.target.as_deref().and_then(|target| match &target.expr {
            Expr::Ident(name) if !is_bound(name, scope) => Some(name.as_str()),
            _ => None,
        });
        match (&call.target, space) {
            (_, Some(space)) if is_function(&format!("{space}.{function}")) => {}
            (Some(target), _) => {
                self.names(target, scope)?;
                if is_word && !is_function(&format!("''.{function}")) {
                    return Err(self.fault(id, format!("there is no method `{function}`")));
                }
            }
            (None, _) if is_word && !is_function(function) => {
                return Err(self.fault(id, format!("there is no function `{function}`")));
            }
            (None, _) => {}
        }
        call.args.iter().try_for_each(|argument| self.names(argument, scope))
    }

    fn name(&self, id: u64, name: &str, scope: &[String]) -> Result<(), Fault> {
        if is_bound(name, scope) || TYPES.contains(&name) {
            return Ok(());
        }
        Err(self.fault(id, format!("there is nothing called `{name}`; the object is called `object`")))
    }

    fn fault(&self, id: u64, message: String) -> Fault {
        let offset = self.program.source_info().offset_for(id).map_or(0, |(start, _)| start);
        let before: String = self.text.chars().take(usize::try_from(offset).unwrap_or_default()).collect();
        let line = before.matches('\n').count() as u64 + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() as u64 + 1;
        Fault { line, column, message }
    }
}

fn is_bound(name: &str, scope: &[String]) -> bool {
    NAMES.contains(&name) || scope.iter().any(|bound| bound == name)
}

/// The environment of every expression.
fn environment() -> &'static Arc<Env> {
    static ENVIRONMENT: OnceLock<Arc<Env>> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        let mut environment = Env::stdlib();
        for extension in [extensions::strings, extensions::lists, extensions::math] {
            // Fails only where two libraries bring the same name; what is missing then is told
            // when it is used.
            drop(environment.add_extension(extension));
        }
        Arc::new(environment)
    })
}

/// Whether something of this name can be called. Called without arguments, what is there complains
/// about those, or even answers.
fn is_function(name: &str) -> bool {
    let Ok(program) = environment().compile(&format!("{name}()")) else {
        // A macro that is called in the wrong way.
        return true;
    };
    let answer = program.execute(&Context::with_env(Arc::clone(environment())));
    !matches!(answer, Err(ExecutionError::UndeclaredReference(_)))
}

fn syntax(errors: &ParseErrors) -> Fault {
    let Some(error) = errors.errors.first() else {
        return Fault { line: 1, column: 1, message: "this is no expression".to_owned() };
    };
    let message = error.msg.strip_prefix("Syntax error: ").unwrap_or(&error.msg);
    // The lists of what could stand there instead are long and of no help.
    let message = message.split(" expecting {").next().unwrap_or(message).replace("<EOF>", "the end");
    let place = |number: isize| u64::try_from(number).unwrap_or(1).max(1);
    Fault { line: place(error.pos.0), column: place(error.pos.1), message }
}

/// JSON as the API server gives it to CEL: whole numbers are integers.
fn converted(value: &Value) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(flag) => cel::Value::Bool(*flag),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => cel::Value::Int(whole),
            None => cel::Value::Float(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => cel::Value::from(text.as_str()),
        Value::Array(items) => items.iter().map(converted).collect::<Vec<_>>().into(),
        Value::Object(fields) => {
            let fields: HashMap<String, cel::Value> =
                fields.iter().map(|(key, value)| (key.clone(), converted(value))).collect();
            fields.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ask(text: &str) -> Answer {
        let object = json!({
            "metadata": {"name": "a", "labels": {"app.kubernetes.io/name": "a"}},
            "status": {"phase": "Running", "replicas": 3, "share": 0.5, "nothing": null,
                "conditions": [{"type": "Ready", "status": "True"}]},
        });
        Expression::new(text).unwrap_or_else(|fault| panic!("{text}: {fault}")).ask(&object)
    }

    fn fault(text: &str) -> (u64, u64, String) {
        let fault = Expression::new(text).expect_err(text);
        (fault.line, fault.column, fault.message)
    }

    #[test]
    fn what_holds_and_what_does_not() {
        for text in [
            "object.status.phase == 'Running'",
            "self.status.replicas >= 3 && object.status.replicas + 1 == 4",
            "object.status.share < 1.0 && object.status.replicas > 2.5",
            "object.status.conditions.exists(c, c.type == 'Ready' && c.status == 'True')",
            "object.status.conditions.filter(c, c.type == 'Ready').all(c, c.status == 'True')",
            "!has(object.status.other) || object.status.other == 1",
            "object.?status.?other.orValue('none') == 'none'",
            "object.metadata.labels['app.kubernetes.io/name'] == 'a'",
            "object.status.phase.lowerAscii() in ['running', 'done'] && object.status.phase.matches('^Run')",
            "math.greatest(1, object.status.replicas) == 3 && size(object.status.conditions) == 1",
            "object.status.nothing == null && type(object.status.phase) == string",
        ] {
            assert_eq!(ask(text), Answer::True, "{text}");
        }
        assert_eq!(ask("object.status.phase == 'Done'"), Answer::False);
    }

    #[test]
    fn what_has_no_answer_says_why() {
        assert_eq!(ask("object.status.other.more == 1"), Answer::Missing("other".to_owned()));
        assert!(matches!(ask("object.status.phase + 1 == 2"), Answer::Error(_)));
        assert_eq!(ask("object.status.phase"), Answer::NoBoolean("string".to_owned()));
    }

    #[test]
    fn faults_have_a_place() {
        assert_eq!(fault("object.status."), (1, 15, "no viable alternative at input '.'".to_owned()));
        assert_eq!(fault("object.a ==\n  (1").0, 2);
        assert_eq!(fault("").0, 1);
    }

    #[test]
    fn every_name_must_mean_something() {
        assert_eq!(
            fault("true &&\n objet.status.x == 1"),
            (2, 2, "there is nothing called `objet`; the object is called `object`".to_owned())
        );
        assert!(fault("isReady(object)").2.contains("no function `isReady`"));
        assert!(fault("object.status.phase.isReady()").2.contains("no method `isReady`"));
        assert!(fault("quantity('1') == 1").2.contains("no function `quantity`"));
        assert!(fault("object.list.all(x, y > 1)").2.contains("nothing called `y`"));
        assert!(fault("kube.ready(object)").2.contains("nothing called `kube`"));
    }
}
