"""A real nginx with the shipped configuration, and certificates for it."""

import shutil
import signal
import ssl
import subprocess
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.integration.orthanc import free_ports
from tests.programs import installed
from tests.waiting import eventually

CONFIGURATION = Path(__file__).resolve().parent.parent.parent / "deploy/nginx/medpatchnet.conf"


@dataclass(frozen=True)
class Proxy:
    """Its process, where it listens, and the folder of its certificate (``tls.crt``) and temporary files."""

    process: subprocess.Popen
    port: int
    folder: Path

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def trusted(self) -> ssl.SSLContext:
        """What a client needs to trust it."""
        return ssl.create_default_context(cafile=self.folder / "tls.crt")

    def lead_to(self, service_urls: Sequence[str]) -> None:
        """Send later requests to these services in turn; running requests end where they are."""
        write_upstream(self.folder, service_urls)
        self.process.send_signal(signal.SIGHUP)

    def answers(self) -> bool:
        """Whether it takes connections."""
        try:
            httpx.get(f"{self.url}/livez", verify=self.trusted(), trust_env=False)
        except httpx.TransportError:
            return False
        return True


def certificate(folder: Path, name: str, issuer: str | None = None) -> None:
    """Make ``name``.crt and ``name``.key in a folder, signed by ``issuer`` there or by itself."""
    by = ["-CA", folder / f"{issuer}.crt", "-CAkey", folder / f"{issuer}.key"] if issuer else []
    subprocess.run(
        [
            installed("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}",
            "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days", "2",
            "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.crt", *by,
        ],
        check=True, capture_output=True,
    )  # fmt: skip


def write_upstream(folder: Path, service_urls: Sequence[str]) -> None:
    """The services behind the proxy, as nginx's configuration names them."""
    hosts = [url.removeprefix("http://").replace("0.0.0.0", "127.0.0.1") for url in service_urls]
    servers = " ".join(f"server {host};" for host in hosts)
    (folder / "upstream.conf").write_text(f"upstream medpatchnet {{ {servers} }}\n")


@contextmanager
def tls_proxy(service_url: str, folder: Path, *, client_certificates: bool = False) -> Generator[Proxy]:
    """nginx in front of a service; with ``client_certificates`` only for those whom ``clients-ca.crt`` signed."""
    certificate(folder, "tls")
    (port,) = free_ports(1)
    text = CONFIGURATION.read_text()
    text = text.replace("medpatchnet:8000", "medpatchnet")
    write_upstream(folder, [service_url])
    text = text.replace("8443", f"127.0.0.1:{port}").replace("/run/secrets/tls", str(folder))
    text = text.replace("    http2 on;\n", "")  # Debian's nginx is older than that directive
    if client_certificates:
        assert text.count("# ssl_") == 2
        text = text.replace("# ssl_", "ssl_")
    temporary = "\n".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    head = f"daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}}"
    upstream = f"include {folder}/upstream.conf;"
    (folder / "nginx.conf").write_text(f"{head}\nhttp {{ {temporary}\n{upstream}\n{text} }}\n")
    process = subprocess.Popen([installed("nginx"), "-c", folder / "nginx.conf", "-e", folder / "error.log"])
    proxy = Proxy(process, port, folder)
    try:
        eventually(proxy.answers)
        yield proxy
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(folder, ignore_errors=True)
