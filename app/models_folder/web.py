"""A file from a URL, with a progress callback."""

from collections.abc import Callable
from pathlib import Path

import httpx

from app.errors import ArtifactError

_TIMEOUT_S = 30.0
_CHUNK_BYTES = 1024 * 1024

Progress = Callable[[int, int | None], None]
"""Called with the bytes received since the last call, and the size of the file where it is known."""


def download(url: str, target: Path, progress: Progress) -> None:
    """Write the content of ``url`` to ``target``. Raises ArtifactError with the reason; a cut transfer is an error."""
    try:
        with httpx.stream("GET", url, follow_redirects=True, timeout=_TIMEOUT_S) as response:
            response.raise_for_status()
            size = response.headers.get("content-length")
            with target.open("wb") as file:
                for chunk in response.iter_bytes(_CHUNK_BYTES):
                    file.write(chunk)
                    progress(len(chunk), int(size) if size else None)
    except httpx.HTTPStatusError as error:
        raise ArtifactError(f"{url}: the server answers with status {error.response.status_code}") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ArtifactError(f"{url}: the download failed: {error or type(error).__name__}") from None
    except OSError as error:
        raise ArtifactError(f"{url}: the download failed: {error.strerror}") from None
