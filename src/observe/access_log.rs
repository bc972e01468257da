//! Lines of a proxy's access log, in the text that Istio has Envoy write unless told otherwise
//! (`EnvoyTextLogFormat` of Istio's telemetry, since 1.9).

use std::fmt;

/// The fields of a line, in its order; the request takes three of them.
const FIELDS: [&str; 24] = [
    "start time",
    "method",
    "path",
    "protocol",
    "response code",
    "response flags",
    "response code details",
    "termination details",
    "transport failure",
    "bytes received",
    "bytes sent",
    "duration",
    "upstream service time",
    "forwarded for",
    "user agent",
    "request id",
    "authority",
    "upstream host",
    "upstream cluster",
    "upstream local address",
    "downstream local address",
    "downstream remote address",
    "requested server name",
    "route",
];

/// One line of an access log. What there is none of is `-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLine(Vec<String>);

impl AccessLine {
    /// The names of the fields that a line has.
    pub const FIELDS: [&'static str; 24] = FIELDS;

    /// Reads a line; nothing if it is none of an access log, such as a message of the proxy itself.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let (start, rest) = line.trim_end().strip_prefix('[')?.split_once("] ")?;
        let mut tokens = tokens(rest)?.into_iter();
        let request = tokens.next()?;
        let (method, rest) = request.split_once(' ')?;
        // A path may hold blanks; the protocol has none.
        let (path, protocol) = rest.rsplit_once(' ')?;
        let fields = [start, method, path, protocol].into_iter().chain(tokens).map(str::to_owned);
        let fields: Vec<String> = fields.collect();
        (fields.len() == FIELDS.len()).then_some(Self(fields))
    }

    /// A field by its name, one of [`AccessLine::FIELDS`].
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        let index = FIELDS.iter().position(|field| *field == name)?;
        self.0.get(index).map(String::as_str)
    }
}

impl fmt::Display for AccessLine {
    /// The fields that tell most of a request.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = |name| self.field(name).unwrap_or_default();
        write!(
            f,
            "{} {}{} {} {} {} -> {} ({} ms)",
            field("method"),
            field("authority"),
            field("path"),
            field("response code"),
            field("response flags"),
            field("response code details"),
            field("upstream cluster"),
            field("duration"),
        )
    }
}

/// Words, and texts in quotes without them.
fn tokens(text: &str) -> Option<Vec<&str>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (token, after) = match rest.strip_prefix('"') {
            // A quote within is followed by something else than a blank, nearly always.
            Some(tail) => match tail.split_once("\" ") {
                Some(found) => found,
                None => (tail.strip_suffix('"')?, ""),
            },
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        tokens.push(token);
        rest = after;
    }
    Some(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTBOUND: &str = "[2026-11-21T20:00:33.123Z] \"GET /traced/s1?a=b HTTP/1.1\" 200 - via_upstream - \"-\" 0 312 4 3 \"-\" \
         \"hyper/1.0\" \"21dde44c-dbfa-48dd-bd00-5cdc8291113a\" \"frontend:8080\" \"10.244.0.9:8080\" \
         outbound|8080||frontend.demo.svc.cluster.local 10.244.0.8:40000 10.96.3.4:8080 10.244.0.8:50000 - default\n";
    const DENIED: &str = "[2026-11-21T20:00:33.123Z] \"GET / HTTP/1.1\" 403 - rbac_access_denied_matched_policy[none] - \"-\" 0 19 0 - \
         \"-\" \"-\" \"-\" \"a b\" \"-\" inbound|8080|| - [::1]:8080 10.244.0.8:50000 outbound_.8080_._.x.y default";
    const TCP: &str = "[2026-11-21T20:00:33.123Z] \"- - -\" 0 UF,URX - - \"connection refused\" 0 0 3 - \"-\" \"-\" \"-\" \"-\" \
         \"10.0.0.1:9\" PassthroughCluster - 10.0.0.1:9 10.244.0.8:50000 - -";

    #[test]
    fn a_line_has_its_fields() {
        let line = AccessLine::parse(OUTBOUND).expect("a line");
        for (field, value) in [
            ("start time", "2026-11-21T20:00:33.123Z"),
            ("method", "GET"),
            ("path", "/traced/s1?a=b"),
            ("protocol", "HTTP/1.1"),
            ("response code", "200"),
            ("response flags", "-"),
            ("response code details", "via_upstream"),
            ("request id", "21dde44c-dbfa-48dd-bd00-5cdc8291113a"),
            ("authority", "frontend:8080"),
            ("upstream cluster", "outbound|8080||frontend.demo.svc.cluster.local"),
            ("route", "default"),
        ] {
            assert_eq!(line.field(field), Some(value), "{field}");
        }
        assert_eq!(line.field("colour"), None);
        assert_eq!(
            line.to_string(),
            "GET frontend:8080/traced/s1?a=b 200 - via_upstream -> outbound|8080||frontend.demo.svc.cluster.local (4 ms)"
        );
    }

    #[test]
    fn refused_and_plain_connections_have_lines_too() {
        let denied = AccessLine::parse(DENIED).expect("a line");
        assert_eq!(denied.field("response code details"), Some("rbac_access_denied_matched_policy[none]"));
        assert_eq!(
            (denied.field("authority"), denied.field("downstream local address")),
            (Some("a b"), Some("[::1]:8080"))
        );
        let tcp = AccessLine::parse(TCP).expect("a line");
        assert_eq!(
            (tcp.field("response flags"), tcp.field("transport failure")),
            (Some("UF,URX"), Some("connection refused"))
        );
    }

    #[test]
    fn what_the_proxy_says_itself_is_no_line() {
        for text in ["2026-11-21T20:00:33Z\tinfo\txdsproxy\tconnected", "[2026] \"GET / HTTP/1.1\" 200", "", "[a"] {
            assert_eq!(AccessLine::parse(text), None, "{text}");
        }
    }
}
