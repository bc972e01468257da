//! What a registry says of how to log in: the header `WWW-Authenticate`
//! ([RFC 9110, 11.6.1](https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1)).

use std::collections::BTreeMap;

/// The longest header that is looked at.
const LONGEST: usize = 8 * 1024;

/// One way to log in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Challenge {
    /// `basic`, `bearer`: in lower case.
    pub scheme: String,
    /// Its parameters, their names in lower case. Of two with one name the first counts.
    pub parameters: BTreeMap<String, String>,
}

/// All ways to log in that the header names, in its order. What is no challenge is passed over: the
/// header comes from foreign hands, and one that nobody understands is the same as none.
#[must_use]
pub fn parse(header: &str) -> Vec<Challenge> {
    let mut found: Vec<Challenge> = Vec::new();
    if header.len() > LONGEST {
        return found;
    }
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let word = token(rest);
        if word.is_empty() {
            // Not where a name may stand: over to what comes after the next comma.
            match rest.split_once(',') {
                Some((_, after)) => rest = after,
                None => return found,
            }
            continue;
        }
        let after = rest[word.len()..].trim_start_matches([' ', '\t']);
        rest = after;
        let Some(value) = after.strip_prefix('=') else {
            found.push(Challenge { scheme: word.to_ascii_lowercase(), parameters: BTreeMap::new() });
            continue;
        };
        // `name=value`, or padding of a token68, which belongs to no parameter of ours.
        let (value, after) = value_of(value.trim_start_matches([' ', '\t']));
        if let Some(challenge) = found.last_mut() {
            challenge.parameters.entry(word.to_ascii_lowercase()).or_insert(value);
        }
        rest = after;
    }
}

/// The token that `text` begins with; empty if it begins with none.
fn token(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/".contains(c))).unwrap_or(text.len());
    &text[..end]
}

/// A value, quoted or not, and what follows it.
fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let value = token(text);
        return (value.to_owned(), &text[value.len()..]);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    // The quote never ends: what is there counts.
    (value, "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_registries_send_is_understood() {
        let found = parse(
            r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/nginx:pull,push""#,
        );
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].scheme, "bearer");
        assert_eq!(found[0].parameters["realm"], "https://auth.docker.io/token");
        assert_eq!(found[0].parameters["scope"], "repository:library/nginx:pull,push");
        let found = parse(r#"Basic realm=Registry , BEARER Realm = "a\"b,c" ,error=x"#);
        assert_eq!(found.iter().map(|one| one.scheme.as_str()).collect::<Vec<_>>(), ["basic", "bearer"]);
        assert_eq!(found[0].parameters["realm"], "Registry");
        assert_eq!(found[1].parameters["realm"], "a\"b,c");
        assert_eq!(parse(r#"Bearer realm="never ends"#)[0].parameters["realm"], "never ends");
        assert_eq!(parse("Negotiate"), [Challenge { scheme: "negotiate".into(), ..Challenge::default() }]);
        assert!(parse("").is_empty() && parse(" ,;, \"").is_empty());
        assert!(parse(&"a ".repeat(LONGEST)).is_empty());
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic_or_hang(text in "\\PC{0,80}") {
            let _ = parse(&text);
        }

        #[test]
        fn quoted_values_come_back(value in "[ -~]{0,30}") {
            let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
            let found = parse(&format!("Bearer a=\"{quoted}\", b=c"));
            prop_assert_eq!(&found[0].parameters["a"], &value);
            prop_assert_eq!(&found[0].parameters["b"], "c");
        }
    }
}
