//! Secrets in free text: logs, journals, settings, command lines.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regex::{Captures, Regex};

use super::{REMOVED, is_secret};

fn pattern(text: &str) -> Regex {
    Regex::new(text).unwrap_or_else(|error| unreachable!("tests use every pattern: {error}"))
}

/// A private key, also where line breaks are written as `\n`, and where its end was cut off.
static KEY: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\z)")
});
/// What begins as PEM does, in base64.
static ENCODED: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"LS0tLS1CRUdJTi[A-Za-z0-9+/=]{24,}(?:\s+[A-Za-z0-9+/=]{40,})*"));
/// A JSON web token, also one whose signature was cut off.
static JWT: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?"));
/// An authorization header's value.
static HEADER: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)\b(bearer|basic)[ :]+([A-Za-z0-9._~+/=-]{8,})"));
/// A login in an address.
static LOGIN: LazyLock<Regex> = LazyLock::new(|| pattern(r#"(://)[^/\s:@"']*:[^/\s@"']+@"#));
/// A token by which nodes join a cluster.
static JOIN: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b[a-z0-9]{6}\.[a-z0-9]{16}\b"));
/// Tokens that services give out in a form of their own.
static ISSUED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"\b(?:(?:AKIA|ASIA)[A-Z0-9]{16}|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{30,}|glpat-[\w-]{20,}|xox[abprs]-[\w-]{10,}|AIza[\w-]{35}|npm_[A-Za-z0-9]{36})",
    )
});
/// `name=value`, `name: value`, `"name": "value"`.
static PAIR: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?i)([\w.-]*(?:pass|pwd|secret|token|key|credential|auth|cookie|bearer|jwt|psk|connection)[\w.-]*)(\\?["']?[ \t]*(?::=|[:=])[ \t]*)(\\?"(?:[^"\\\n]|\\[^"\n])*\\?"|'[^'\n]*'|[^\s,;&"'}\])]+)"#,
    )
});
/// `--name value`.
static FLAG: LazyLock<Regex> = LazyLock::new(|| pattern(r"(^|\s)(--?[A-Za-z][\w.-]*)([ \t]+)([^\s-][^\s]*)"));
/// A YAML block under a name.
static BLOCK: LazyLock<Regex> = LazyLock::new(|| pattern(r#"^(\s*)(?:- )?["']?([\w.-]+)["']?\s*:\s*[|>][+-]?\d?\s*$"#));

/// The text without what looks like a secret. Each removal is told by its kind.
pub(super) fn clean(text: &str, removed: impl Fn(&'static str)) -> String {
    let mut text = blocks(text, &removed);
    let mut replace = |pattern: &Regex, with: &dyn Fn(&Captures<'_>) -> Option<String>| {
        if pattern.is_match(&text) {
            let new =
                pattern.replace_all(&text, |found: &Captures<'_>| with(found).unwrap_or_else(|| found[0].to_owned()));
            text = new.into_owned();
        }
    };
    let gone = |kind| {
        removed(kind);
        Some(REMOVED.to_owned())
    };
    replace(&KEY, &|_| gone("private keys"));
    replace(&ENCODED, &|found| if holds_key(&found[0]) { gone("private keys") } else { None });
    replace(&JWT, &|_| gone("tokens"));
    replace(&HEADER, &|found| {
        removed("authorization headers");
        Some(format!("{} {REMOVED}", &found[1]))
    });
    replace(&LOGIN, &|found| {
        removed("logins in addresses");
        Some(format!("{}{REMOVED}@", &found[1]))
    });
    replace(&JOIN, &|_| gone("tokens"));
    replace(&ISSUED, &|_| gone("tokens"));
    replace(&PAIR, &|found| {
        let value = &found[3];
        let bare = value.trim_matches(['"', '\'', '\\']);
        if !is_secret(&found[1])
            || matches!(bare, "" | "true" | "false" | "null" | "nil" | "|" | ">" | "{" | "[")
            || bare.contains(REMOVED)
        {
            return None;
        }
        removed("values with secret names");
        let quote = value.chars().take_while(|c| "\\\"'".contains(*c)).collect::<String>();
        Some(format!("{}{}{quote}{REMOVED}{quote}", &found[1], &found[2]))
    });
    replace(&FLAG, &|found| {
        if !is_secret(&found[2]) {
            return None;
        }
        removed("values with secret names");
        Some(format!("{}{}{}{REMOVED}", &found[1], &found[2], &found[3]))
    });
    text
}

/// Whether a word of a command line asks for a secret in the next one.
pub(super) fn is_secret_flag(word: &str) -> bool {
    word.starts_with('-') && !word.contains('=') && !word.contains(' ') && is_secret(word)
}

/// Whether a value that is kept as a secret is nothing of the kind: certificates go over the wire.
pub(super) fn is_public(value: &str) -> bool {
    value.contains("-----BEGIN CERTIFICATE") && !value.contains("PRIVATE KEY")
}

fn holds_key(encoded: &str) -> bool {
    let mut text: String = encoded.chars().filter(|c| !c.is_whitespace()).collect();
    // What was cut off need not be read.
    text.truncate(text.len() / 4 * 4);
    STANDARD.decode(&text).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains("PRIVATE KEY"))
}

/// Empties YAML blocks that stand under a secret name.
fn blocks(text: &str, removed: &impl Fn(&'static str)) -> String {
    if !text.contains('|') && !text.contains('>') {
        return text.to_owned();
    }
    let mut clean = String::with_capacity(text.len());
    let mut within: Option<usize> = None;
    for line in text.split_inclusive('\n') {
        let indent = line.len() - line.trim_start().len();
        if let Some(outer) = within {
            if line.trim().is_empty() || indent > outer {
                continue;
            }
            within = None;
        }
        clean.push_str(line);
        // Long lines are logs, not settings.
        let begun = if line.len() < 200 { BLOCK.captures(line.trim_end()) } else { None };
        if let Some(begun) = begun
            && is_secret(&begun[2])
        {
            removed("values with secret names");
            clean.extend([&begun[1], "  ", REMOVED, "\n"]);
            within = Some(indent);
        }
    }
    clean
}
