//! An admission webhook's server, which answers as a test wants: allows, refuses, or hangs.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::own::Own;
use crate::programs::run;

/// How the server answers.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// Yes.
    Allow,
    /// Yes, after a while.
    Late(Duration),
    /// No, for this reason.
    Deny(String),
    /// The connection is taken, and nothing comes.
    Hang,
}

/// A webhook's server. It answers while the test's runtime runs.
pub(crate) struct Hook {
    port: u16,
    authority: String,
    answer: watch::Sender<Answer>,
}

impl Hook {
    /// Starts it.
    pub(crate) async fn start(own: &Own, answer: Answer) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = camino::Utf8Path::from_path(folder.path()).expect("UTF-8");
        let kubeadm = own.folder().join("kubeadm");
        let common = ["--kubernetes-version", "v1.34.0", "--cert-dir", keys.as_str()];
        run(&kubeadm, &[["init", "phase", "certs", "ca"].as_slice(), &common].concat());
        let server = ["init", "phase", "certs", "apiserver", "--apiserver-cert-extra-sans", "127.0.0.1"];
        run(&kubeadm, &[server.as_slice(), &common].concat());
        let certificate = CertificateDer::from_pem_file(keys.join("apiserver.crt")).expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(keys.join("apiserver.key")).expect("a key");
        let tls = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("a key that fits");
        let authority =
            base64::engine::general_purpose::STANDARD.encode(fs_err::read(keys.join("ca.crt")).expect("an authority"));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (answer, asked) = watch::channel(answer);
        tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(tls)), asked));
        Self { port, authority, answer }
    }

    /// Answers like this from now on.
    pub(crate) fn answers(&self, answer: Answer) {
        self.answer.send_replace(answer);
    }

    /// The configuration by which the API server asks it about config maps in this namespace, and the
    /// namespace. A name that nobody else has. The server waits this many seconds for an answer.
    pub(crate) fn objects(&self, name: &str, seconds: u32) -> String {
        format!(
            "
apiVersion: v1
kind: Namespace
metadata: {{name: {name}, labels: {{hook: {name}}}}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {{name: {name}.hook.test}}
webhooks:
- name: {name}.hook.test
  admissionReviewVersions: [v1]
  sideEffects: None
  failurePolicy: Fail
  timeoutSeconds: {seconds}
  clientConfig: {{url: 'https://127.0.0.1:{}/ask', caBundle: {}}}
  namespaceSelector: {{matchLabels: {{hook: {name}}}}}
  rules: [{{apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}}]
",
            self.port, self.authority
        )
    }
}

async fn serve(listener: TcpListener, tls: TlsAcceptor, answer: watch::Receiver<Answer>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, answer) = (tls.clone(), answer.borrow().clone());
        tokio::spawn(async move {
            let Ok(mut stream) = tls.accept(stream).await else { return };
            let Some(review) = request(&mut stream).await else { return };
            let mut response = json!({"uid": review["request"]["uid"], "allowed": true});
            match answer {
                Answer::Allow => {}
                Answer::Late(time) => tokio::time::sleep(time).await,
                Answer::Deny(why) => {
                    response["allowed"] = json!(false);
                    response["status"] = json!({"message": why});
                }
                Answer::Hang => return std::future::pending().await,
            }
            let body = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
            let body = body.to_string();
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length:";
            let _ = stream.write_all(format!("{head} {}\r\n\r\n{body}", body.len()).as_bytes()).await;
            let _ = stream.shutdown().await;
        });
    }
}

/// The JSON of one request.
async fn request(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Option<Value> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).await.ok()?;
        bytes.extend_from_slice(&buffer[..count]);
        let begin = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(review) = begin.and_then(|begin| serde_json::from_slice(&bytes[begin + 4..]).ok()) {
            return Some(review);
        }
        if count == 0 {
            return None;
        }
    }
}
