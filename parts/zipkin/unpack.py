"""unpack.py JAR RUNTIME: Zipkin as plain jars, with an archive of its loaded classes, into the working folder.

A jar of jars is slow to start: every class is found, inflated and verified again each time. Here the jars lie side by
side, and the virtual machine maps the classes that a training run has loaded (JEP 350). The archive is only valid for
files with the same times and sizes, so these are set to what layers have.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
import zipfile

JAR, RUNTIME = sys.argv[1:]
# What needs a configuration that no lab has, or another platform.
DROP = re.compile(r"pulsar-client|bouncy-castle|^bc(prov|pkix|util)-|-osx-|-aarch_64|-macos-")
TIME = 1
OPTIONS = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-Dspring.jmx.enabled=false"]
MAIN = "zipkin.server.ZipkinServer"


def unpack():
    """Returns the class path."""
    with zipfile.ZipFile(JAR) as jar:
        index = re.findall(r'"BOOT-INF/(.+)"', jar.read("BOOT-INF/classpath.idx").decode())
        path = ["zipkin.jar"] + [name for name in index if not DROP.search(os.path.basename(name))]
        os.mkdir("lib")
        for name in path[1:]:
            with jar.open("BOOT-INF/" + name) as source, open(name, "wb") as target:
                shutil.copyfileobj(source, target)
        prefix = "BOOT-INF/classes/"
        with zipfile.ZipFile("zipkin.jar", "w", zipfile.ZIP_STORED) as own:
            for name in sorted(jar.namelist()):
                if name.startswith(prefix) and not name.endswith("/"):
                    own.writestr(zipfile.ZipInfo(name[len(prefix):]), jar.read(name))
    for name in path:
        os.utime(name, (TIME, TIME))
    return ":".join(path)


def train(path):
    """Runs it once, sends and reads a trace, and keeps the classes that were loaded."""
    command = [RUNTIME + "/bin/java", *OPTIONS, "-XX:ArchiveClassesAtExit=zipkin.jsa", "-cp", path, MAIN]
    # Any free port, so that the build meets nothing that runs here.
    environment = {"PATH": os.environ["PATH"], "QUERY_PORT": "0", "SERVER_PORT": "0"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        for line in process.stdout:
            found = re.search(r"Serving HTTP at .*:(\d+) ", line)
            if found:
                break
        else:
            sys.exit("Zipkin did not start")
        use("http://127.0.0.1:" + found.group(1))
        process.terminate()
        for line in process.stdout:
            pass
    finally:
        process.kill()
        process.wait()
    if not os.path.exists("zipkin.jsa"):
        sys.exit("the virtual machine wrote no archive of classes")


def use(url):
    span = {
        "traceId": "a" * 32, "id": "b" * 16, "name": "get /", "kind": "SERVER", "duration": 5,
        "timestamp": int(time.time() * 1e6), "localEndpoint": {"serviceName": "training", "ipv4": "127.0.0.1"},
        "tags": {"http.status_code": "200"}, "annotations": [],
    }
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url + "/api/v2/spans", json.dumps([span]).encode(), headers)
    urllib.request.urlopen(request, timeout=30).read()
    deadline = time.time() + 30
    while b"training" not in urllib.request.urlopen(url + "/api/v2/services", timeout=30).read():
        if time.time() > deadline:
            sys.exit("the training span did not arrive")
        time.sleep(0.1)
    pages = ["/health", "/api/v2/traces?serviceName=training&limit=10", "/api/v2/trace/" + "a" * 32, "/metrics"]
    for page in pages + ["/api/v2/dependencies?endTs=1&lookback=1", "/api/v2/spans?serviceName=training", "/info"]:
        urllib.request.urlopen(url + page, timeout=30).read()


def main():
    path = unpack()
    train(path)
    with open("arguments", "w") as arguments:
        arguments.write("\n".join([*OPTIONS, "-XX:SharedArchiveFile=zipkin.jsa", "-cp", path, MAIN]) + "\n")
    for name in ["zipkin.jsa", "arguments", "zipkin.jar"]:
        os.chmod(name, 0o644)


main()
