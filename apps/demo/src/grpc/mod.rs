//! gRPC: an echo with gRPC's standard health check, and the control port's order to call one.
//!
//! | method | request | reply |
//! |---|---|---|
//! | `istiolab.demo.Echo/Say` | `{text = 1}` | `{text = 1, name = 2, version = 3, caller = 4}`, all strings |
//! | `grpc.health.v1.Health/Check` | any | `{status = 1}`: `SERVING` |
//!
//! `POST /grpc` of the control port takes a JSON body of [`call::Order`]; an answer's body is the
//! reply as JSON, and its headers have the trailers among them.

pub(crate) mod call;
pub(crate) mod serve;
mod wire;

/// The echo's method.
const SAY: &str = "/istiolab.demo.Echo/Say";
/// The method of gRPC's health-checking protocol.
const CHECK: &str = "/grpc.health.v1.Health/Check";
/// The type of every message.
const CONTENT: &str = "application/grpc";
/// The largest message that is read, in bytes.
const LARGEST: usize = 1 << 20;

/// Reads a stream to its end.
///
/// # Errors
/// It broke off, or is too large.
async fn collect(body: &mut h2::RecvStream) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.map_err(|error| error.to_string())?;
        body.flow_control().release_capacity(chunk.len()).map_err(|error| error.to_string())?;
        bytes.extend_from_slice(&chunk);
        if bytes.len() > LARGEST {
            return Err(format!("the message is larger than {LARGEST} bytes"));
        }
    }
    Ok(bytes)
}
