"""The DICOM nodes of the configuration: the listener of the service, its peers, and the archives."""

import ipaddress
import re
import ssl
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    Field,
    IPvAnyNetwork,
    StringConstraints,
    ValidationInfo,
    model_validator,
)

from app.errors import ConfigurationError
from app.validation import StrictModel

_AE_TITLE = re.compile(r"[\x20-\x5b\x5d-\x7e]{1,16}")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|[0-9A-Fa-f:]+")


def _ae_title(text: str) -> str:
    """Source: PS3.8 table 9-11 and PS3.5 table 6.2-1 (VR AE): 1 to 16 characters; outer spaces are not significant."""
    title = text.strip(" ")
    if not title or not _AE_TITLE.fullmatch(title):
        raise ValueError("an AE title has 1 to 16 ASCII characters, without backslash or control characters")
    return title


def _host(text: str) -> str:
    if not _HOST.fullmatch(text):
        raise ValueError("neither a host name nor an IP address")
    return text


def _beside_the_file(path: Path, info: ValidationInfo) -> Path:
    """Resolve a relative path against the folder of the configuration file, not the working directory."""
    folder = info.context
    return folder / path if isinstance(folder, Path) else path


AeTitle = Annotated[str, AfterValidator(_ae_title)]
Host = Annotated[str, StringConstraints(max_length=253), AfterValidator(_host)]
Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=3600)]
NearbyPath = Annotated[Path, AfterValidator(_beside_the_file)]


def is_local(host: str) -> bool:
    """Whether a host is ``localhost`` or a loopback address; performs no name resolution."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.casefold() == "localhost"


class Peer(StrictModel):
    """A permitted caller: AE title, and the address or network it must connect from (None: any)."""

    ae_title: AeTitle
    address: IPvAnyNetwork | None = None

    def is_caller(self, ae_title: str, address: str) -> bool:
        """Whether a calling AE title and address are those of this peer."""
        if ae_title.strip(" ") != self.ae_title:
            return False
        return self.address is None or _plain(address) in self.address


class Listener(StrictModel):
    """The service as a Storage SCP. Sizes in bytes, times in seconds; port 0 selects a free port."""

    ae_title: AeTitle = "MEDPATCHNET"
    host: Host = "127.0.0.1"
    port: int = Field(default=11112, ge=0, le=65535)
    peers: tuple[Peer, ...] = ()
    max_associations: int = Field(default=8, ge=1, le=256)
    timeout_s: Seconds = 30.0
    max_instance_bytes: int = Field(default=64 * 1024 * 1024, ge=1024)

    @model_validator(mode="after")
    def _known_callers(self) -> Self:
        if not self.peers and not is_local(self.host):
            raise ValueError("a listener on a non-loopback address needs 'peers', the permitted callers")
        return self

    def admits(self, ae_title: str, address: str) -> bool:
        """Whether a caller is a peer. A listener without peers is bound to loopback and admits every caller."""
        return not self.peers or any(peer.is_caller(ae_title, address) for peer in self.peers)


class DicomWebNode(StrictModel):
    """An archive with QIDO-RS, WADO-RS and STOW-RS below one URL.

    Secrets are read from files. Plain http is accepted to this machine, and to others only with ``plain_http``, because
    images, patient names and the password then cross the network unencrypted.
    """

    protocol: Literal["dicomweb"]
    url: str
    username: str | None = Field(default=None, min_length=1, max_length=256)
    password_file: NearbyPath | None = None
    token_file: NearbyPath | None = None
    ca_file: NearbyPath | None = None
    plain_http: bool = False
    timeout_s: Seconds = 30.0

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        _require_address(self.url, plain_http=self.plain_http)
        if (self.username is None) != (self.password_file is None):
            raise ValueError("'username' and 'password_file' require each other")
        if self.username is not None and self.token_file is not None:
            raise ValueError("either 'username' or 'token_file', not both")
        if self.username is not None and ":" in self.username:
            raise ValueError("'username' must not contain a colon (RFC 7617)")
        if self.ca_file is not None and not self.url.startswith("https:"):
            raise ValueError("'ca_file' requires https")
        return self


class DimseNode(StrictModel):
    """An archive that accepts objects by C-STORE."""

    protocol: Literal["dimse"]
    ae_title: AeTitle
    host: Host
    port: Port
    timeout_s: Seconds = 30.0


Node = Annotated[DicomWebNode | DimseNode, Field(discriminator="protocol")]


def read_secret(path: Path) -> str:
    """A password or token: the first line of a file. Raises ConfigurationError, which never quotes the contents."""
    try:
        secret = path.read_text(encoding="utf-8").partition("\n")[0].strip()
    except OSError as error:
        raise ConfigurationError(f"the secret {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"the secret {path} is not UTF-8 text") from None
    if not secret:
        raise ConfigurationError(f"the secret {path} is empty")
    return secret


def require_authorities(path: Path) -> None:
    """Raise ConfigurationError unless a file holds CA certificates in PEM form."""
    try:
        ssl.create_default_context(cafile=path)
    except ssl.SSLError:
        raise ConfigurationError(f"{path} contains no certificate in PEM form") from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None


def _require_address(url: str, *, plain_http: bool) -> None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError("'url' is not a valid URL") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("'url' must be https://…, or http://… on this machine")
    if parts.username is not None or parts.password is not None:
        raise ValueError("'url' contains credentials; use 'username' and 'password_file'")
    if parts.query or parts.fragment:
        raise ValueError("'url' must be the root of the DICOMweb services, without query or fragment")
    if parts.scheme == "http" and not plain_http and not is_local(parts.hostname):
        raise ValueError(
            "'url' is plain http to another machine; use https, or accept unencrypted transfer: plain_http: true"
        )


def _plain(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The address that a socket reports, without scope, and IPv4-mapped IPv6 as IPv4."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    return getattr(parsed, "ipv4_mapped", None) or parsed
