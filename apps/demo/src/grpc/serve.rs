//! The gRPC server.

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, Request, Response};
use h2::RecvStream;
use h2::server::SendResponse;
use tokio::net::TcpStream;

use super::wire::{decode, encode, frame, unframe};
use super::{CHECK, CONTENT, SAY, collect};
use crate::pages::CALLER;

/// gRPC's numbers of statuses.
const INVALID_ARGUMENT: u16 = 3;
const UNIMPLEMENTED: u16 = 12;

/// Who answers.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    /// What it calls itself.
    pub(crate) name: String,
    /// The version that it claims.
    pub(crate) version: String,
}

/// Serves one connection to its end.
pub(crate) async fn connection(stream: TcpStream, server: Server) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    // An error ends the connection; the client sees it.
    while let Some(Ok((request, respond))) = connection.accept().await {
        let server = server.clone();
        tokio::spawn(async move { answer(request, respond, &server).await });
    }
}

async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>, server: &Server) {
    let (head, mut body) = request.into_parts();
    let reply = match (head.uri.path(), collect(&mut body).await) {
        (SAY, Ok(bytes)) => said(&bytes, &head.headers, server).map_err(|error| (INVALID_ARGUMENT, error)),
        // The enumeration's value 1 in field 1: SERVING.
        (CHECK, Ok(_)) => Ok(vec![0x08, 1]),
        (path, Ok(_)) => Err((UNIMPLEMENTED, format!("there is no method {path}"))),
        (_, Err(error)) => Err((INVALID_ARGUMENT, error)),
    };
    let mut response = Response::new(());
    response.headers_mut().insert("content-type", HeaderValue::from_static(CONTENT));
    match reply {
        Ok(message) => {
            // A client that went away needs no answer.
            let Ok(mut stream) = respond.send_response(response, false) else { return };
            if stream.send_data(frame(&message), false).is_ok() {
                let _ = stream.send_trailers(status(0, ""));
            }
        }
        Err((number, text)) => {
            response.headers_mut().extend(status(number, &text));
            let _ = respond.send_response(response, true);
        }
    }
}

/// The reply to what was said.
///
/// # Errors
/// What is wrong with the message.
fn said(bytes: &[u8], headers: &HeaderMap, server: &Server) -> Result<Vec<u8>, String> {
    let fields = decode(unframe(bytes)?)?;
    let text = fields.get(&1).map_or("", String::as_str);
    let caller = headers.get(CALLER).and_then(|value| value.to_str().ok()).unwrap_or_default();
    Ok(encode(&[(1, text), (2, &server.name), (3, &server.version), (4, caller)]))
}

fn status(number: u16, text: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("grpc-status", HeaderValue::from(number));
    if let Ok(text) = HeaderValue::from_str(text)
        && !text.is_empty()
    {
        headers.insert("grpc-message", text);
    }
    headers
}
