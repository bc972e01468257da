"""An API server and its etcd alone, as the api tier of the tests has them: nothing but the two programs."""
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.request

TOKEN = "bench-token"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Server:
    """Runs from `with` to its end. `audit` writes each request of the user `bench` as a line of JSON."""

    def __init__(self, binaries, audit=False):
        self.binaries, self.audit = binaries, audit

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="istiolab-bench-")
        path = lambda name: os.path.join(self.folder, name)
        for name in ["kube-apiserver", "kubeadm", "kubectl"]:
            os.symlink(os.path.join(self.binaries, "kube"), path(name))
        self.kubectl, self.kubeconfig, self.audit_log = path("kubectl"), path("kubeconfig"), path("audit.log")
        with open(path("tokens"), "w") as file:
            file.write(f"{TOKEN},bench,bench,system:masters\n")
        with open(path("audit.yaml"), "w") as file:
            file.write(
                "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived, ResponseStarted]\n"
                "rules: [{level: Metadata, users: [bench]}, {level: None}]\n"
            )
        keys = ["init", "phase", "certs", "sa", "--kubernetes-version", "v1.34.0", "--cert-dir", path("pki")]
        subprocess.run([path("kubeadm"), *keys], check=True, stdout=subprocess.DEVNULL)
        client, peer, self.port = free_port(), free_port(), free_port()
        with open(self.kubeconfig, "w") as file:
            file.write(
                "apiVersion: v1\nkind: Config\ncurrent-context: b\n"
                f"clusters: [{{name: b, cluster: {{server: 'https://127.0.0.1:{self.port}', insecure-skip-tls-verify: true}}}}]\n"
                f"users: [{{name: b, user: {{token: {TOKEN}}}}}]\n"
                "contexts: [{name: b, context: {cluster: b, user: b}}]\n"
            )
        etcd = f"http://127.0.0.1:{client}"
        self.processes = []
        self.start(
            "etcd", os.path.join(self.binaries, "etcd"), "--data-dir", path("data"), "--listen-client-urls", etcd,
            "--advertise-client-urls", etcd, "--listen-peer-urls", f"http://127.0.0.1:{peer}", "--unsafe-no-fsync",
            "--log-level", "error",
        )
        audit = ["--audit-policy-file", path("audit.yaml"), "--audit-log-path", self.audit_log] if self.audit else []
        self.start(
            "apiserver", path("kube-apiserver"), "--etcd-servers", etcd, "--bind-address", "127.0.0.1",
            "--secure-port", str(self.port), "--cert-dir", path("cert"),
            "--service-account-key-file", path("pki/sa.pub"), "--service-account-signing-key-file", path("pki/sa.key"),
            "--service-account-issuer", "https://kubernetes.default.svc", "--token-auth-file", path("tokens"),
            "--authorization-mode", "AlwaysAllow", "--service-cluster-ip-range", "10.0.0.0/16",
            "--disable-admission-plugins", "ServiceAccount", *audit,
        )
        begin = time.monotonic()
        while not self.ready():
            assert time.monotonic() - begin < 120, f"the API server does not answer, see {self.folder}"
            time.sleep(0.1)
        return self

    def start(self, name, *argv):
        with open(os.path.join(self.folder, name + ".log"), "w") as log:
            self.processes.append(subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL))

    def ask(self, path, method="GET", body=None, kind="application/json"):
        """The answer to one request, as bytes."""
        tls = ssl._create_unverified_context()
        request = urllib.request.Request(f"https://127.0.0.1:{self.port}{path}", data=body, method=method)
        request.add_header("Authorization", f"Bearer {TOKEN}")
        if body:
            request.add_header("Content-Type", kind)
        with urllib.request.urlopen(request, context=tls, timeout=60) as answer:
            return answer.read()

    def ready(self):
        try:
            return self.ask("/readyz") == b"ok"
        except OSError:
            return False

    def worked(self):
        """The seconds of processor time that the two programs have taken."""
        ticks = 0
        for process in self.processes:
            with open(f"/proc/{process.pid}/stat") as file:
                # After the name, which may hold blanks: user and system time are fields 14 and 15.
                fields = file.read().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def calls(self):
        """How many requests of the user `bench` the audit log has."""
        with open(self.audit_log) as file:
            return sum(1 for _ in file)

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.send_signal(signal.SIGKILL)
            process.wait()
        shutil.rmtree(self.folder)
