"""Images for measuring how they are copied: made here, the same in every run."""
import hashlib
import json
import random

OCI = "application/vnd.oci.image."


class Blob:
    def __init__(self, *pieces):
        self.pieces, self.size = pieces, sum(map(len, pieces))
        digest = hashlib.sha256()
        for piece in pieces:
            digest.update(piece)
        self.digest = "sha256:" + digest.hexdigest()


class Image:
    """An image: for each platform its layers. With more than one platform it has an index."""

    def __init__(self, name, platforms):
        self.name = name
        self.blobs, self.manifests, self.platforms = {}, [], {}
        for system, layers in platforms.items():
            text = json.dumps({
                "architecture": system.split("/")[1], "os": "linux", "config": {"Labels": {"image": name}},
                "rootfs": {"type": "layers", "diff_ids": [one.digest for one in layers]},
            }).encode()
            config = Blob(text)
            self.blobs |= {blob.digest: blob for blob in [config, *layers]}
            parts = {
                "config": described("config.v1+json", config),
                "layers": [described("layer.v1.tar+gzip", one) for one in layers],
            }
            manifest = self.add("manifest.v1+json", {"schemaVersion": 2, "mediaType": OCI + "manifest.v1+json", **parts})
            self.platforms[system] = {"manifest": manifest, **parts}
        if len(platforms) > 1:
            children = [
                {**one["manifest"], "platform": dict(zip(("os", "architecture"), system.split("/")))}
                for system, one in self.platforms.items()
            ]
            index = {"schemaVersion": 2, "mediaType": OCI + "index.v1+json", "manifests": children}
            self.add("index.v1+json", index)
        self.root = self.manifests[-1][0]

    def add(self, kind, content):
        text = json.dumps(content).encode()
        descriptor = described(kind, Blob(text))
        self.manifests.append((descriptor, text))
        return descriptor


def described(kind, blob):
    return {"mediaType": OCI + kind, "digest": blob.digest, "size": blob.size}


def layer(name, size):
    """Bytes that are the same in every run; those of a long one repeat. To skopeo they must look compressed."""
    pool = b"\x1f\x8b\x08" + random.Random(name).randbytes(min(size, 1 << 20) - 3)
    return Blob(*[pool] * (size // len(pool)), pool[: size % len(pool)])


def layers(name, count, size):
    return [layer(f"{name} {number}", size) for number in range(count)]


def sets(large_megabytes):
    """Sets of images, by name: what they are, how they are copied, the images."""
    both = ("linux/amd64", "linux/arm64")
    bases = {(base, system): layers(f"base {base} {system}", 3, 6_000_000) for base in range(3) for system in both}
    own = lambda number, system: layers(f"own {number} {system}", 2, 800_000)
    shared = [
        Image(f"shared/app{number}", {system: bases[number % 3, system] + own(number, system) for system in both})
        for number in range(12)
    ]
    ground = layers("ground", 1, 1_000_000)
    small = [Image(f"small/app{number}", {both[0]: ground + layers(f"small {number}", 2, 64_000)}) for number in range(40)]
    same = layers("same", 5, 4_000_000)
    all_shared = [Image(f"same/app{number}", {both[0]: same}) for number in range(20)]
    large = [Image("large/app", {both[0]: layers("large", 1, large_megabytes * 1_000_000)})]
    return {
        "shared bases": ("12 images for two platforms on three bases", ("direct", "delay"), shared),
        "one large": (f"one image with a layer of {large_megabytes} MB", ("direct",), large),
        "many small": ("40 images of three layers, the largest of them shared", ("direct", "delay"), small),
        "all shared": ("20 images that differ in their configuration only", ("direct", "delay"), all_shared),
    }


def formula(images):
    """The least that must cross the wire: requests at source and target, bytes, requests of a warm run."""
    unique = {blob.digest: blob.size for image in images for blob in image.blobs.values()}
    pairs = sum(len(image.blobs) for image in images)
    manifests = {d["digest"]: len(text) for image in images for d, text in image.manifests}
    puts = sum(len(image.manifests) for image in images)
    source = len(manifests) + len(unique)
    target = len(images) + 2 * len(unique) + (pairs - len(unique)) + puts
    return source, target, sum(unique.values()) + sum(manifests.values()), len(images)
