//! Names that say that what they name is secret.

/// Words of secret names, in small letters without `-`, `_` and `.`.
const WORDS: [&str; 19] = [
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "signingkey",
    "encryptionkey",
    "sessionkey",
    "credential",
    "cookie",
    "dockerconfigjson",
    "dockercfg",
    "clientkeydata",
    "connectionstring",
    "bearer",
];
/// Names that are secret as a whole.
const WHOLE: [&str; 6] = ["auth", "pass", "pwd", "jwt", "pin", "psk"];
/// How names of keys end, and that of a header.
const KEYS: [&str; 4] = ["tlskey", "keypem", "pemkey", "authorization"];
/// What is named so only speaks of a secret: where it is, what it is called.
const ABOUT: [&str; 21] = [
    "name",
    "names",
    "namespace",
    "ref",
    "refs",
    "path",
    "file",
    "dir",
    "audience",
    "audiences",
    "type",
    "kind",
    "seconds",
    "policy",
    "provider",
    "endpoint",
    "url",
    "enabled",
    "mode",
    "count",
    "size",
];

/// Whether a value of this name is secret.
pub(in crate::collect) fn is_secret(name: &str) -> bool {
    // What stands before a slash says whose name it is.
    let own = name.rsplit('/').next().unwrap_or(name);
    let plain: String = own.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    // A place in a program, as logs name it.
    if name.rsplit_once('.').is_some_and(|(_, end)| end == "go") {
        return false;
    }
    if WHOLE.contains(&plain.as_str()) || KEYS.iter().any(|end| plain.ends_with(end)) {
        return true;
    }
    WORDS.iter().any(|word| plain.contains(word)) && !ABOUT.iter().any(|end| plain.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_known_and_those_about_secrets_are_not() {
        for name in [
            "password",
            "DB_PASSWORD",
            "db.passwd",
            "apiKey",
            "API_KEY",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_ACCESS_KEY_ID",
            "token",
            "id_token",
            "client-secret",
            "tls.key",
            "ca-key.pem",
            "auth",
            "Authorization",
            "Set-Cookie",
            "client-key-data",
            ".dockerconfigjson",
            "registryCredentials",
            "PGPASSWORD",
            "x-api-key",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in [
            "secretName",
            "credentialName",
            "secretKeyRef",
            "tokenPath",
            "TOKEN_FILE",
            "name",
            "author",
            "key",
            "tls.crt",
            "passthrough",
            "compass",
            "ca.crt",
            "audience",
            "monkey",
            "CREDENTIAL_FETCHER_TYPE",
            "keys",
            "authority",
            "rbac.authorization.kubernetes.io/autoupdate",
            "--authorization-mode",
            "tokencleaner.go",
            "cookie_size",
        ] {
            assert!(!is_secret(name), "{name}");
        }
    }
}
