//! A proxy before a registry that does to chosen requests what networks and bad registries do.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use istiolab::images::registry::Client;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// What is done to a request.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// This is answered, and the registry not asked.
    Answer(String),
    /// Such an answer goes on without end.
    Endless(String),
    /// The connection is cut after so many percent of the answer's body.
    CutAnswer(u64),
    /// The connection is cut after so many percent of the request's body.
    CutRequest(u64),
    /// A byte in the middle of the answer's body is changed.
    Spoil,
    /// The answer comes so much later.
    Delay(Duration),
}

struct Rule {
    method: &'static str,
    path: &'static str,
    left: usize,
    fault: Fault,
}

/// The proxy; it ends with the test's runtime.
#[derive(Clone)]
pub(crate) struct Proxy(Arc<Shared>);

struct Shared {
    address: String,
    upstream: String,
    rules: Mutex<Vec<Rule>>,
    log: Mutex<Vec<String>>,
    /// Bytes of bodies towards the registry and from it.
    sent: AtomicU64,
    received: AtomicU64,
    /// A connection towards the registry on which a body has begun is cut when nothing comes for so long.
    idle: Option<Duration>,
}

impl Proxy {
    /// Before the registry of `client`.
    pub(crate) fn before(client: &Client) -> Self {
        Self::start(client, None)
    }

    /// One that cuts requests which stop in the middle.
    pub(crate) fn impatient(client: &Client, idle: Duration) -> Self {
        Self::start(client, Some(idle))
    }

    fn start(client: &Client, idle: Option<Duration>) -> Self {
        // Small buffers: what is counted as moved shall not lie in the kernel for long.
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_send_buffer_size(64 << 10).expect("allowed");
        socket.set_recv_buffer_size(64 << 10).expect("allowed");
        socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
        let listener = socket.listen(64).expect("it listens");
        let port = client.base().port().expect("a port");
        let shared = Shared {
            address: listener.local_addr().expect("an address").to_string(),
            upstream: format!("127.0.0.1:{port}"),
            rules: Mutex::default(),
            log: Mutex::default(),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            idle,
        };
        let proxy = Self(Arc::new(shared));
        let serving = proxy.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let proxy = serving.clone();
                // A connection that breaks is what this is for.
                tokio::spawn(async move { drop(proxy.serve(stream).await) });
            }
        });
        proxy
    }

    /// The next `times` requests of this method whose path has `path` in it suffer `fault`.
    pub(crate) fn rule(&self, method: &'static str, path: &'static str, times: usize, fault: Fault) -> &Self {
        self.0.rules.lock().expect("no panic").push(Rule { method, path, left: times, fault });
        self
    }

    /// A client of the registry behind it, with counters of its own.
    pub(crate) fn client(&self) -> Client {
        Client::new(&format!("http://{}", self.0.address)).expect("an address")
    }

    pub(crate) fn address(&self) -> &str {
        &self.0.address
    }

    /// How many requests had this method and `path` in their path.
    pub(crate) fn count(&self, method: &str, path: &str) -> usize {
        let log = self.0.log.lock().expect("no panic");
        log.iter().filter(|line| line.starts_with(method) && line.contains(path)).count()
    }

    /// Bytes of bodies towards the registry.
    pub(crate) fn sent(&self) -> u64 {
        self.0.sent.load(Ordering::Relaxed)
    }

    /// Bytes of bodies from the registry.
    pub(crate) fn received(&self) -> u64 {
        self.0.received.load(Ordering::Relaxed)
    }

    /// Whether every fault has happened.
    pub(crate) fn is_spent(&self) -> bool {
        self.0.rules.lock().expect("no panic").iter().all(|rule| rule.left == 0)
    }

    fn fault(&self, line: &str) -> Option<Fault> {
        self.0.log.lock().expect("no panic").push(line.to_owned());
        let mut rules = self.0.rules.lock().expect("no panic");
        let rule =
            rules.iter_mut().find(|rule| rule.left > 0 && line.starts_with(rule.method) && line.contains(rule.path))?;
        rule.left -= 1;
        Some(rule.fault.clone())
    }

    /// One request on each connection.
    async fn serve(&self, mut client: TcpStream) -> std::io::Result<()> {
        let (head, rest) = head(&mut client).await?;
        let length = length(&head).unwrap_or_default();
        let fault = self.fault(head.lines().next().unwrap_or_default());
        match &fault {
            Some(Fault::Answer(answer)) => {
                // The request is taken in first: else the client may see a reset before the answer.
                let left = length.saturating_sub(rest.len() as u64);
                tokio::io::copy(&mut (&mut client).take(left), &mut tokio::io::sink()).await?;
                client.write_all(answer.as_bytes()).await?;
                return client.shutdown().await;
            }
            Some(Fault::Endless(answer)) => {
                client.write_all(answer.as_bytes()).await?;
                loop {
                    client.write_all(&[b' '; 4096]).await?;
                }
            }
            Some(Fault::Delay(time)) => tokio::time::sleep(*time).await,
            _ => {}
        }
        let mut upstream = TcpStream::connect(&self.0.upstream).await?;
        upstream.write_all(closing(&head).as_bytes()).await?;
        let most = match fault {
            Some(Fault::CutRequest(percent)) => length * percent / 100,
            _ => length,
        };
        let mut body = rest.as_slice().chain(&mut client).take(most);
        pass(&mut body, &mut upstream, &self.0.sent, None, self.0.idle).await?;
        if most < length {
            return Ok(());
        }
        let (head, rest) = self::head(&mut upstream).await?;
        let length = self::length(&head).unwrap_or(u64::MAX);
        client.write_all(head.as_bytes()).await?;
        let most = match fault {
            Some(Fault::CutAnswer(percent)) => length * percent / 100,
            _ => length,
        };
        let spoil = matches!(fault, Some(Fault::Spoil)).then_some(length / 2);
        let mut body = rest.as_slice().chain(upstream).take(most);
        pass(&mut body, &mut client, &self.0.received, spoil, None).await?;
        client.shutdown().await
    }
}

/// The head of a message, and what came after it.
async fn head(stream: &mut TcpStream) -> std::io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Ok((String::from_utf8_lossy(&bytes).into_owned(), rest));
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}

fn length(head: &str) -> Option<u64> {
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    let field = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?;
    field.1.trim().parse().ok()
}

/// The head of a request after which the connection ends.
fn closing(head: &str) -> String {
    head.replacen("\r\n", "\r\nconnection: close\r\n", 1)
}

async fn pass(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    count: &AtomicU64,
    spoil: Option<u64>,
    idle: Option<Duration>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    let mut at = 0_u64;
    loop {
        let read = match idle {
            Some(idle) => tokio::time::timeout(idle, from.read(&mut buffer)).await??,
            None => from.read(&mut buffer).await?,
        };
        if read == 0 {
            return to.flush().await;
        }
        if let Some(place) = spoil.and_then(|place| place.checked_sub(at)).and_then(|place| usize::try_from(place).ok())
            && place < read
        {
            buffer[place] ^= 1;
        }
        at += read as u64;
        count.fetch_add(read as u64, Ordering::Relaxed);
        to.write_all(&buffer[..read]).await?;
    }
}
