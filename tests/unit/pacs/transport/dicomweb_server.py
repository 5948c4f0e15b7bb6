"""A DICOMweb server with scripted responses, and a client of it."""

import asyncio
import json
import threading
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from app.pacs.nodes import DicomWebNode
from app.pacs.transport.dicomweb import DicomWebClient

DX = "1.2.840.10008.5.1.4.1.1.1.1"


class Archive(ThreadingHTTPServer):
    """Responds to each path from a table of (status, content type, body), and records all requests."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.asked = {}, []
        self.default = (200, "application/dicom+json", b"[]")
        self.refused_content, self.refused_status = b"", 400

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/dicom-web"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        length = int(self.headers.get("Content-Length") or 0)
        self.server.asked.append((self.command, self.path, dict(self.headers), self.rfile.read(length)))
        path = self.path.partition("?")[0].removeprefix("/dicom-web/")
        status, kind, body = self.server.answers.get((self.command, path), self.server.default)
        if self.server.refused_content and self.server.refused_content in self.server.asked[-1][3]:
            status, kind, body = self.server.refused_status, "text/plain", b""
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", "http://127.0.0.1:9/elsewhere")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *arguments):
        pass


@contextmanager
def running():
    with Archive() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@asynccontextmanager
async def client_of(archive, chest_body_parts=(), **options):
    node = DicomWebNode.model_validate({"protocol": "dicomweb", "url": archive.url, "timeout_s": 5, **options})
    async with DicomWebClient(node, 10_000, chest_body_parts) as client:
        yield client


def run(archive, work, **options):
    async def go():
        async with client_of(archive, **options) as client:
            return await work(client)

    return asyncio.run(go())


def answer(value, status=200):
    return status, "application/dicom+json", json.dumps(value).encode()


def attributes(**values):
    return {tag.removeprefix("t"): {"vr": "UN", "Value": [value]} for tag, value in values.items()}
