"""An image of some 130 MB in six layers, of this machine's own files, and a registry that serves it."""
import glob, gzip, hashlib, http.server, io, json, os, sys, tarfile, threading, urllib.request

NAME, LAYERS, UNPACKED = "bench/pull", 6, 80_000_000


def serve(lab):
    """Starts the registry as a process of its own, outside of the account; port, name, {digest: bytes} of the layers."""
    import socket
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    folder = lab.world + "/registry"
    os.mkdir(folder)
    sizes = make(folder)
    lab.start([sys.executable, __file__, folder, str(port)])
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/")
            return port, NAME, sizes
        except OSError:
            pass


def has(cache, name):
    return bool(glob.glob(f"{cache}/registry/**/repositories/{name}", recursive=True))


def make(folder):
    """Six layers of 80 MB of programs and libraries each: content as real images have it."""
    files = (os.path.join(d, f) for top in ("/usr/lib", "/usr/bin", "/usr/share") for d, _, names in sorted(os.walk(top)) for f in sorted(names))
    files = (f for f in files if os.path.isfile(f) and not os.path.islink(f) and 0 < os.path.getsize(f) < 8_000_000)
    sizes, diffs, entries = {}, [], []
    for _ in range(LAYERS):
        plain = io.BytesIO()
        with tarfile.open(fileobj=plain, mode="w") as tar:
            while plain.tell() < UNPACKED:
                tar.add(next(files))
        diffs.append(put(folder, plain.getvalue(), keep=False)[0])
        digest, size = put(folder, gzip.compress(plain.getvalue(), 5, mtime=0))
        sizes[digest] = size
        entries.append({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest, "size": size})
    config, size = put(folder, json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diffs}}).encode())
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": entries,
                "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": size}}
    digest, _ = put(folder, json.dumps(manifest).encode())
    os.symlink(digest, folder + "/latest")
    return sizes


def put(folder, body, keep=True):
    digest = "sha256:" + hashlib.sha256(body).hexdigest()
    if keep:
        with open(f"{folder}/{digest}", "wb") as f:
            f.write(body)
    return digest, len(body)


class Registry(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        words = self.path.strip("/").split("/")
        if words == ["v2"]:
            return self.answer(200, 0, "application/json")
        path = os.path.join(FOLDER, words[-1])
        if not os.path.exists(path):
            return self.answer(404, 0, "text/plain")
        digest, size = os.path.basename(os.path.realpath(path)), os.path.getsize(path)
        manifest = "manifests" in words
        self.answer(200, size, "application/vnd.oci.image.manifest.v1+json" if manifest else "application/octet-stream", digest)
        if self.command == "GET":
            self.wfile.flush()
            with open(path, "rb") as f:
                at = 0
                while at < size:
                    at += os.sendfile(self.connection.fileno(), f.fileno(), at, size - at)

    do_HEAD = do_GET

    def answer(self, status, size, kind, digest=None):
        self.send_response(status)
        self.send_header("Content-Length", str(size))
        self.send_header("Content-Type", kind)
        if digest:
            self.send_header("Docker-Content-Digest", digest)
        self.end_headers()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    FOLDER = sys.argv[1]
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Registry).serve_forever()
