"""Registries on this machine, and proxies before them that delay and count."""
import asyncio
import http.client
import json
import multiprocessing
import os
import re
import shutil
import socket
import subprocess
import time


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Registry:
    def __init__(self, program, folder):
        self.program, self.folder, self.port, self.process = program, folder, free_port(), None
        os.makedirs(folder)
        with open(os.path.join(folder, "config.yml"), "w") as file:
            json.dump({
                "version": "0.1", "log": {"level": "error", "accesslog": {"disabled": False}},
                "storage": {"filesystem": {"rootdirectory": os.path.join(folder, "data")}},
                "http": {"addr": f"127.0.0.1:{self.port}", "secret": "for a benchmark"},
            }, file)
        # Two open files, each with its own place.
        self.log, self.told = (open(os.path.join(folder, "log"), mode) for mode in ("a", "r"))
        self.start()

    def start(self):
        argv = [self.program, "serve", os.path.join(self.folder, "config.yml")]
        env = {**os.environ, "OTEL_TRACES_EXPORTER": "none"}
        self.process = subprocess.Popen(argv, stdout=self.log, stderr=subprocess.DEVNULL, env=env)
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                time.sleep(0.05)
        raise SystemExit("the registry does not answer")

    def stop(self):
        self.process.kill()
        self.process.wait()

    def empty(self):
        self.stop()
        shutil.rmtree(os.path.join(self.folder, "data"), ignore_errors=True)
        self.start()

    def requests(self):
        """How many were answered since the last call."""
        # The last line is written after its answer was sent.
        time.sleep(0.1)
        lines = self.told.readlines()
        return sum(1 for line in lines if re.search(r'"[A-Z]+ /v2/', line))

    def ask(self, method, path, body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer

    def fill(self, images, place):
        for image in images:
            base = f"/v2/{place(image)}"
            for blob in image.blobs.values():
                upload = self.ask("POST", f"{base}/blobs/uploads/").headers["Location"]
                path = upload.split(str(self.port), 1)[-1] + f"&digest={blob.digest}"
                answer = self.ask("PUT", path, iter(blob.pieces), Content_Length=str(blob.size))
                assert answer.status == 201, answer.status
            for descriptor, text in image.manifests:
                name = "1" if descriptor is image.root else descriptor["digest"]
                answer = self.ask("PUT", f"{base}/manifests/{name}", text, Content_Type=descriptor["mediaType"])
                assert answer.status == 201, answer.status

    def check(self, images, place):
        for image in images:
            path = f"/v2/{place(image)}/manifests/1"
            found = self.ask("HEAD", path, Accept=image.root["mediaType"]).headers["Docker-Content-Digest"]
            assert found == image.root["digest"], f"{path} is {found}"


class Proxy:
    """Passes bytes on, each `delay` seconds later, and counts them. A new connection costs a round trip."""

    def __init__(self, to, delay):
        self.port, self.delay = free_port(), delay
        self.up, self.down = multiprocessing.Value("Q", lock=False), multiprocessing.Value("Q", lock=False)
        self.process = multiprocessing.Process(target=lambda: asyncio.run(self.serve(to)), daemon=True)
        self.process.start()

    async def serve(self, to):
        async def passing(reader, writer):
            await asyncio.sleep(2 * self.delay)
            try:
                there, back = await asyncio.open_connection("127.0.0.1", to, limit=1 << 20)
            except OSError:
                return writer.close()
            await asyncio.gather(self.pump(reader, back, self.up), self.pump(there, writer, self.down))

        server = await asyncio.start_server(passing, "127.0.0.1", self.port, limit=1 << 20)
        await server.serve_forever()

    async def pump(self, reader, writer, counter):
        queue, clock = asyncio.Queue(64), asyncio.get_running_loop().time

        async def feed():
            try:
                while data := await reader.read(1 << 18):
                    counter.value += len(data)
                    await queue.put((clock() + self.delay, data))
            except OSError:
                pass
            await queue.put((clock() + self.delay, None))

        feeding = asyncio.create_task(feed())
        try:
            while True:
                due, data = await queue.get()
                if (left := due - clock()) > 0:
                    await asyncio.sleep(left)
                if data is None:
                    break
                writer.write(data)
                await writer.drain()
        except OSError:
            feeding.cancel()
        writer.close()

    def bytes(self):
        """What has gone up and down since the last call."""
        counts = self.up.value, self.down.value
        self.up.value = self.down.value = 0
        return counts
