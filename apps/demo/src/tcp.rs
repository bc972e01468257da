//! TCP without HTTP: an echo by line, which a mesh can only pass on, and the control port's order to
//! talk to one.
//!
//! The echo answers `NAME VERSION LINE` to each line. It waits for the client to speak first: a
//! proxy that guesses protocols needs the client's bytes.
//!
//! `POST /tcp` takes a JSON body of [`Order`]; `connections` of the report counts `answered`,
//! `refused` and `closed` (connected, but closed without an answer), or an error's text.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use axum::Json;
use axum::http::HeaderMap;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::report::{Answer, Report};

/// How long one connection may take.
const LIMIT: Duration = Duration::from_secs(5);
/// The most connections of one order.
const MOST: u32 = 1000;

/// Whom to talk to.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Order {
    /// `host:port`.
    to: String,
    /// What is sent, followed by a line feed.
    line: String,
    /// How many connections, one after the other; 1 unless given, at most 1000.
    count: Option<u32>,
}

/// Answers every line with `name` before it, until the client closes.
pub(crate) async fn echo(stream: TcpStream, name: String) {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if write.write_all(format!("{name} {line}\n").as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Does what an order says.
pub(crate) async fn talk(Json(order): Json<Order>) -> Json<Report> {
    let begin = Instant::now();
    let mut report = Report::default();
    for _ in 0..order.count.unwrap_or(1).min(MOST) {
        report.sent += 1;
        let begin = Instant::now();
        let ended = tokio::time::timeout(LIMIT, exchange(&order.to, &order.line))
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {} s", LIMIT.as_secs())));
        let how = match ended {
            Ok(line) => {
                report.keep(Answer::new(0, &HeaderMap::new(), line.as_bytes(), begin), usize::MAX);
                "answered".to_owned()
            }
            Err(how) => how,
        };
        *report.connections.entry(how).or_default() += 1;
    }
    Json(report.after(begin.elapsed()))
}

/// One line there and one back.
///
/// # Errors
/// How the connection ended instead.
async fn exchange(to: &str, line: &str) -> Result<String, String> {
    let told = |error: std::io::Error| match error.kind() {
        ErrorKind::ConnectionRefused => "refused".to_owned(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof => "closed".to_owned(),
        _ => error.to_string(),
    };
    let mut stream = TcpStream::connect(to).await.map_err(told)?;
    stream.write_all(format!("{line}\n").as_bytes()).await.map_err(told)?;
    let mut answer = String::new();
    let read = BufReader::new(stream).read_line(&mut answer).await.map_err(told)?;
    if read == 0 { Err("closed".to_owned()) } else { Ok(answer.trim_end().to_owned()) }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio::sync::watch;

    use super::*;

    async fn ask(to: String) -> Report {
        talk(Json(Order { to, line: "hello".to_owned(), count: Some(2) })).await.0
    }

    #[tokio::test]
    async fn lines_come_back_with_a_name() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let to = listener.local_addr().expect("an address").to_string();
        let (_stop, stopped) = watch::channel(false);
        tokio::spawn(crate::listen::accept(listener, stopped, |stream| echo(stream, "echo v1".to_owned())));
        let report = ask(to).await;
        assert_eq!((report.sent, report.connections["answered"]), (2, 2));
        assert_eq!(report.answers[1].body, "echo v1 hello");
    }

    #[tokio::test]
    async fn refused_and_closed_are_told_apart() {
        assert_eq!(ask("127.0.0.1:1".to_owned()).await.connections["refused"], 2);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let to = listener.local_addr().expect("an address").to_string();
        let (_stop, stopped) = watch::channel(false);
        tokio::spawn(crate::listen::accept(listener, stopped, |stream| async { drop(stream) }));
        assert_eq!(ask(to).await.connections["closed"], 2);
    }
}
