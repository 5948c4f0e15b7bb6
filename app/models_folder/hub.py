"""Files of a Hugging Face hub, through ``huggingface_hub``: its cache, tokens, endpoint and proxies apply."""

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from app.errors import ArtifactError, ConfigurationError
from app.files import sha256_of
from app.models_folder.catalogue import CatalogueEntry

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

_SHA256 = re.compile(r"[0-9a-f]{64}")
_REASONS = {
    401: "the hub requires an access token: run `hf auth login`, or set HF_TOKEN",
    403: "the hub refuses this access token",
    404: "the hub has no such file",
    429: "the hub limits the rate of requests; try again later, or with an access token (HF_TOKEN)",
}


@dataclass(frozen=True)
class HubFile:
    """A downloaded file in the hub's cache, its commit in the repository, and its SHA-256."""

    path: Path
    commit: str
    sha256: str

    def discard(self) -> None:
        """Remove the file from the cache, so that the next download fetches it again."""
        blob = self.path.resolve()
        self.path.unlink(missing_ok=True)
        blob.unlink(missing_ok=True)


def download(entry: CatalogueEntry, *, endpoint: str | None = None, cache: Path | None = None) -> HubFile:
    """Download a file into the hub's cache, or take it from there; an interrupted transfer continues.

    ``endpoint`` and ``cache`` are by default those of ``huggingface_hub`` (HF_ENDPOINT, HF_HOME). Raises ArtifactError
    with the reason, and ConfigurationError where the package is missing.
    """
    path = _fetch(entry, endpoint, cache)
    try:
        found = HubFile(path, path.parent.name, sha256_of(path))
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}") from None
    announced = path.resolve().name  # the hub's cache names a large file by the SHA-256 that the hub states
    if _SHA256.fullmatch(announced) and announced != found.sha256:
        found.discard()
        raise ArtifactError(
            f"{entry.address} was damaged: the hub states the SHA-256 {announced}, the received file has "
            f"{found.sha256}; it was removed from the cache"
        )
    return found


def _fetch(entry: CatalogueEntry, endpoint: str | None, cache: Path | None) -> Path:
    try:
        from httpx2 import HTTPError  # noqa: PLC0415 - the client of huggingface_hub, an optional extra
        from huggingface_hub import hf_hub_download  # noqa: PLC0415
        from huggingface_hub.errors import (  # noqa: PLC0415
            GatedRepoError,
            HfHubHTTPError,
            LocalEntryNotFoundError,
        )
    except ImportError:
        raise ConfigurationError(
            "downloads from a hub need the extra 'hub' of this project: uv sync --extra hub"
        ) from None
    fetch = partial(hf_hub_download, entry.repository, entry.file, revision=entry.revision)
    try:
        return Path(fetch(endpoint=endpoint, cache_dir=cache))
    except GatedRepoError:
        raise ArtifactError(
            f"{entry.repository} is gated: accept its conditions on its page of the hub, then run `hf auth login` or "
            "set HF_TOKEN"
        ) from None
    except HfHubHTTPError as error:
        raise ArtifactError(f"{entry.address}: {_reason(error)}") from None
    except LocalEntryNotFoundError as error:
        cause = error.__cause__
        reason = _reason(cause) if isinstance(cause, HfHubHTTPError) else "the hub cannot be reached"
        raise ArtifactError(
            f"{entry.address}: {reason}, and the cache does not have the file. Without a connection, run `medpatchnet "
            "models export` on another machine, and `medpatchnet models add FILE.zip` here"
        ) from None
    except (HTTPError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0] or type(error).__name__
        raise ArtifactError(f"{entry.address}: the download failed: {reason}; run the command again") from None


def _reason(error: "HfHubHTTPError") -> str:
    status = error.response.status_code
    return _REASONS.get(status, f"the hub answers with status {status}")
