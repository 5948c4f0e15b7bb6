"""`medpatchnet setup`: the key file, certificate and passwords that docker-compose.yml mounts, each made once."""

import json
import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from app.access.keys import add_key, new_key, read_keys, record_of
from app.cli.outcomes import fail
from app.errors import ConfigurationError
from app.files import write_atomically

# The users of the containers that read the files, as in docker-compose.yml and in the Dockerfile.
SERVICE, ORTHANC, NGINX, GRAFANA = 10001, 999, 101, 472

_CLIENT, _SCOPES = "first-client", ("predict", "explain", "report", "analyze")
_KEYS, _PASSWORD, _USERS = "keys/api-keys.json", "pacs/orthanc-password", "orthanc/users.json"
_PRIVATE_KEY, _CERTIFICATE = "tls/tls.key", "tls/tls.crt"
_VALID = timedelta(days=825)  # browsers accept no certificate that is valid for longer


@dataclass(frozen=True)
class Site:
    """The folder of all files, and the names and addresses by which clients reach the TLS proxy."""

    folder: Path
    hostnames: tuple[str, ...]


@dataclass(frozen=True)
class SecretFile:
    """A file in the folder, the user id that can read it, and what writes it.

    ``make`` returns a line with the credential for a person, which is shown once; empty where no person needs it.
    """

    path: str
    user: int
    make: Callable[[Site], str]


def setup(
    folder: Annotated[Path, typer.Argument(help="Folder of the files; created if needed.")],
    hostname: Annotated[
        list[str] | None,
        typer.Option(help="Name or address of this host in the certificate; repeat for more (default: localhost)."),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Make nothing; fail if a file is missing or invalid.")] = False,
) -> None:
    """Make the API key, TLS certificate and passwords that docker-compose.yml needs. Existing files are kept.

    New credentials are printed once. As root, the command gives each file to the user of the container that reads it.
    """
    site = Site(folder, tuple(hostname or ("localhost", "127.0.0.1")))
    try:
        if check:
            verify_files(folder)
        else:
            make_missing(site)
    except ConfigurationError as error:
        fail(error.detail)
    except OSError as error:
        fail(f"{error.filename or folder}: {error.strerror}")


def verify_files(folder: Path) -> None:
    """Raises ConfigurationError if a file is missing, or if the service would refuse the key file."""
    missing = [file.path for file in FILES if not (folder / file.path).is_file()]
    if missing:
        raise ConfigurationError(
            f"missing in {folder}: {', '.join(missing)}. To make them, run: docker compose run --rm setup"
        )
    read_keys(folder / _KEYS)


def make_missing(site: Site) -> None:
    """Make the files that do not exist, and print the state of each. Raises ConfigurationError and OSError."""
    for file in FILES:
        path = site.folder / file.path
        _remove_empty_folder(path)
        state, credential = "exists", ""
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            state, credential = "made", file.make(site)
        _give_to(file.user, path)
        until = f" (valid until {_expiry(path)})" if file.path == _CERTIFICATE else ""
        typer.echo(f"{state}: {file.path}{until}")
        if credential:
            typer.echo(f"  {credential}  (not shown again)")


def _make_api_key(site: Site) -> str:
    key = new_key()
    add_key(site.folder / _KEYS, record_of(key, _CLIENT, _SCOPES))
    return f"API key '{_CLIENT}' ({', '.join(_SCOPES)}): {key}"


def _make_private_key(site: Site) -> str:
    if (site.folder / _CERTIFICATE).is_file():
        raise ConfigurationError(f"{_CERTIFICATE} has no {_PRIVATE_KEY}: add it, or remove the certificate")
    key = ec.generate_private_key(ec.SECP256R1())
    pkcs8, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    _write(site.folder / _PRIVATE_KEY, key.private_bytes(serialization.Encoding.PEM, pkcs8, plain))
    return ""


def _make_certificate(site: Site) -> str:
    """A self-signed certificate of the key, for the host names of the site. Raises ConfigurationError."""
    try:
        key = serialization.load_pem_private_key((site.folder / _PRIVATE_KEY).read_bytes(), password=None)
    except (ValueError, TypeError):
        raise ConfigurationError(f"{_PRIVATE_KEY} is not a PEM key without a password") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise ConfigurationError(f"{_PRIVATE_KEY} is neither an RSA nor an EC key")
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, site.hostnames[0])])
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # clocks of clients differ
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectAlternativeName(list(map(_general_name, site.hostnames))), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    certificate = builder.sign(key, hashes.SHA256())
    _write(site.folder / _CERTIFICATE, certificate.public_bytes(serialization.Encoding.PEM))
    return ""


def _make_archive_password(site: Site) -> str:
    _write_text(site.folder / _PASSWORD, _known_password(site.folder / _USERS) or _new_password())
    return ""


def _known_password(users: Path) -> str | None:
    """The password that Orthanc already knows the service by. Raises ConfigurationError for an invalid file."""
    if not users.is_file():
        return None
    try:
        return json.loads(users.read_bytes())["RegisteredUsers"]["medpatchnet"]
    except (ValueError, KeyError, TypeError):
        raise ConfigurationError(f"{_USERS} has no user 'medpatchnet' in RegisteredUsers") from None


def _make_archive_users(site: Site) -> str:
    reader = _new_password()
    of_service = (site.folder / _PASSWORD).read_text(encoding="utf-8").splitlines()[0]
    users = {"RegisteredUsers": {"medpatchnet": of_service, "reader": reader}}
    _write_text(site.folder / _USERS, json.dumps(users, indent=1))
    return f"Orthanc user 'reader': {reader}"


def _make_dashboard_password(site: Site) -> str:
    password = _new_password()
    _write(site.folder / "grafana/admin-password", password.encode())  # Grafana keeps a line feed as a part of it
    return f"Grafana user 'admin': {password}"


# A password is made before the file that repeats it, a key before its certificate.
FILES: Sequence[SecretFile] = (
    SecretFile(_KEYS, SERVICE, _make_api_key),
    SecretFile(_PRIVATE_KEY, NGINX, _make_private_key),
    SecretFile(_CERTIFICATE, NGINX, _make_certificate),
    SecretFile(_PASSWORD, SERVICE, _make_archive_password),
    SecretFile(_USERS, ORTHANC, _make_archive_users),
    SecretFile("grafana/admin-password", GRAFANA, _make_dashboard_password),
)


def _new_password() -> str:
    return secrets.token_urlsafe(18)


def _general_name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _expiry(path: Path) -> str:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc.date().isoformat()
    except ValueError:
        raise ConfigurationError(f"{path} is not a PEM certificate") from None


def _write_text(path: Path, text: str) -> None:
    _write(path, f"{text}\n".encode())


def _write(path: Path, content: bytes) -> None:
    with write_atomically(path) as fresh:
        fresh.touch(0o600)
        fresh.write_bytes(content)


def _remove_empty_folder(path: Path) -> None:
    """Container engines make a folder in place of a file that is mounted but does not exist."""
    if path.is_dir():
        path.rmdir()


def _give_to(user: int, path: Path) -> None:
    """Only ``user`` can read the file and its folder; its owner changes only if this process runs as root."""
    for entry, mode in ((path, 0o600), (path.parent, 0o700)):
        entry.chmod(mode)
        if os.name == "posix" and os.geteuid() == 0:
            os.chown(entry, user, user)
