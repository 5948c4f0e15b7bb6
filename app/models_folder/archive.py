"""An artifact as one zip file, for hosts without internet access."""

import shutil
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile, ZipInfo

from app.errors import ArtifactError
from app.files import write_atomically
from app.patchnet import artifact

_LARGEST_BYTES = 8 * 1024**3


def export(directory: Path, target: Path) -> None:
    """Write the files of an artifact into a zip file, after checking them. Raises ArtifactError."""
    name = artifact.read(directory).manifest.name
    try:
        with write_atomically(target) as fresh, ZipFile(fresh, "w") as archive:
            for file in sorted(path for path in directory.iterdir() if path.is_file()):
                archive.write(file, f"{name}/{file.name}")
    except OSError as error:
        raise ArtifactError(f"{target} cannot be written: {error.strerror}") from None


def extract(source: Path, folder: Path) -> None:
    """Write the files of an exported artifact into ``folder``, without subfolders. Raises ArtifactError, OSError."""
    try:
        with ZipFile(source) as archive:
            for member in _members(archive, source):
                with archive.open(member) as content, (folder / PurePosixPath(member.filename).name).open("wb") as file:
                    shutil.copyfileobj(content, file)
    except (BadZipFile, EOFError, NotImplementedError, RuntimeError):  # damaged, cut, encrypted or exotic
        raise ArtifactError(f"{source} is not a complete zip file of an artifact") from None


def _members(archive: ZipFile, source: Path) -> list[ZipInfo]:
    """The files of one folder. Raises ArtifactError for anything else."""
    members = [member for member in archive.infolist() if not member.is_dir()]
    folders = {PurePosixPath(member.filename).parent for member in members}
    (folder, *others) = folders or {PurePosixPath("..")}
    if others or len(folder.parts) > 1 or ".." in folder.parts or folder.is_absolute():
        raise ArtifactError(f"{source} does not hold the files of one artifact")
    if sum(member.file_size for member in members) > _LARGEST_BYTES:
        raise ArtifactError(f"{source} is larger than an artifact can be")
    return members
