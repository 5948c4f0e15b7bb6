"""What a process reaches beyond itself: names it looks up, addresses it connects to, files it writes."""

import ipaddress
import json
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Recorder:
    """Records every Python process that is started with ``environment``.

    ``folder`` gets the record, a home folder and a folder for temporary files, all for these processes alone.
    """

    folder: Path

    @property
    def home(self) -> Path:
        """The home folder of the processes."""
        return self.folder / "home"

    @property
    def environment(self) -> dict[str, str]:
        """Variables to add to those of a process."""
        for folder in (self.home, self._temporary):
            folder.mkdir(exist_ok=True)
        paths = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {
            "HOME": str(self.home),
            "TMPDIR": str(self._temporary),
            "TORCHINDUCTOR_CACHE_DIR": str(self._temporary / "torchinductor"),  # torch sets it to that of the tests
            "PYTHONPATH": os.pathsep.join(paths),
            "RECORDED_IN": str(self.folder / "recorded.jsonl"),
        }

    def events(self) -> list[tuple[str, str]]:
        """Everything that was recorded: the audit event, and the host or path."""
        return [tuple(json.loads(line)) for line in (self.folder / "recorded.jsonl").read_text().splitlines()]

    def beyond(self, *folders: Path) -> list[tuple[str, str]]:
        """Events about anything but loopback, devices, temporary files, bytecode and the given folders."""
        allowed = [Path("/dev"), Path("/proc"), self._temporary, *folders]
        return [(event, what) for event, what in self.events() if not (_is_loopback(what) or _is_within(what, allowed))]

    @property
    def _temporary(self) -> Path:
        return self.folder / "temporary"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_within(what: str, folders: list[Path]) -> bool:
    path = Path(what).resolve()
    return "__pycache__" in path.parts or any(path.is_relative_to(folder.resolve()) for folder in folders)
