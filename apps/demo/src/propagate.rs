//! Which headers a service passes on to the services that it calls.

use axum::http::HeaderMap;

/// Headers that tie a call to the trace of the request that caused it: Envoy's request id, W3C
/// trace context, B3 (single and multiple headers) and `OpenTracing`'s. A proxy can't do this: only
/// the application knows which request caused which call.
pub(crate) const TRACE_HEADERS: [&str; 10] = [
    "x-request-id",
    "traceparent",
    "tracestate",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "x-ot-span-context",
];

/// The trace headers among `received`.
pub(crate) fn trace_headers(received: &HeaderMap) -> HeaderMap {
    received
        .iter()
        .filter(|(name, _)| TRACE_HEADERS.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_trace_headers_go_on() {
        let received: HeaderMap = [("x-b3-traceid", "1"), ("authorization", "secret"), ("b3", "1-2-1"), ("host", "h")]
            .into_iter()
            .map(|(name, value)| (name.parse().expect("a header name"), HeaderValue::from_static(value)))
            .collect();
        let mut names: Vec<String> = trace_headers(&received).keys().map(ToString::to_string).collect();
        names.sort();
        assert_eq!(names, ["b3", "x-b3-traceid"]);
    }
}
