"""A service connected to an Orthanc: configuration, radiographs to send, and senders."""

import gc
import subprocess
import warnings
from io import BytesIO
from pathlib import Path
from time import sleep

import yaml
from pydicom import dcmread, dcmwrite, uid
from pynetdicom.ae import ApplicationEntity

from tests.integration.conftest import DECISIONS
from tests.integration.orthanc import Orthanc, free_ports
from tests.programs import installed

WEB_SENDER, DIMSE_SENDER = "MODALITY", "OLDMODALITY"
"""Calling AE titles; their results go to the archive by STOW-RS and by C-STORE."""


def write_config(folder: Path, archive: Orthanc, outputs=("sr", "sc", "gsps"), **listener: object) -> Path:
    """A configuration with a listener, and with the archive as ``archive`` (DICOMweb) and ``store`` (DIMSE)."""
    nodes = {
        "archive": {"protocol": "dicomweb", "url": archive.dicomweb, "timeout_s": 20},
        "store": {
            "protocol": "dimse", "ae_title": archive.ae_title, "host": "127.0.0.1", "port": archive.dicom_port,
            "timeout_s": 20,
        },
    }  # fmt: skip
    rules = [
        {"name": name, "when": {"source_ae": sender}, "outputs": list(outputs), "target": target}
        for name, sender, target in (("web", WEB_SENDER, "archive"), ("dimse", DIMSE_SENDER, "store"))
    ]
    peers = [{"ae_title": title} for title in (WEB_SENDER, DIMSE_SENDER, "UNROUTED")]
    path = folder / "pacs.yaml"
    path.write_text(yaml.safe_dump({"listener": {"peers": peers, **listener}, "nodes": nodes, "routes": rules}))
    return path


def pacs_settings(folder: Path, config: Path, **settings: object) -> dict[str, object]:
    """Settings of a service with that configuration and short retry delays."""
    database = f"sqlite:///{folder}/pacs.sqlite"
    return {
        "pacs_file": config,
        "database_url": database,
        "operating_points_file": DECISIONS,
        "retry_longest_s": 2,
        "spool_reserve_bytes": 0,
        **settings,
    }


def free_port() -> int:
    return free_ports(1)[0]


def new_study() -> str:
    """A new Study Instance UID."""
    return str(uid.generate_uid(entropy_srcs=None))


def radiograph_as(rg1: bytes, study: str, number: int) -> bytes:
    """The radiograph as an instance of another study, with the same pixels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = dcmread(BytesIO(rg1))
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, f"{study[:50]}.2"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"{study[:50]}.3.{number}"
        file = BytesIO()
        dcmwrite(file, dataset)
    return file.getvalue()


def storescu(port: int, *files: Path, called="MEDPATCHNET", calling=WEB_SENDER, options=()):
    """Send files with dcmtk in their own transfer syntax."""
    command = [
        installed("storescu"),
        "-aet",
        calling,
        "-aec",
        called,
        "-xv",
        "-R",
        *options,
        "127.0.0.1",
        str(port),
        *map(str, files),
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def store(port: int, radiographs, *, called="MEDPATCHNET", calling=WEB_SENDER, timeout=60.0) -> list[int | None]:
    """Send radiographs with pynetdicom over one association; returns each status, None without a response."""
    entity = ApplicationEntity(calling)
    entity.dimse_timeout = entity.network_timeout = timeout
    entity.acse_timeout = 20
    entity.add_requested_context(uid.ComputedRadiographyImageStorage, uid.JPEG2000Lossless)
    entity.add_requested_context(uid.DigitalXRayImageStorageForPresentation, uid.ExplicitVRLittleEndian)
    association = entity.associate("127.0.0.1", port, ae_title=called)
    statuses: list[int | None] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for content in radiographs:
            try:
                statuses.append(association.send_c_store(dcmread(BytesIO(content))).get("Status"))
            except RuntimeError:  # the association ended
                statuses.append(None)
    if association.is_established:
        association.release()
    return statuses


def send_until_accepted(port, radiographs, done, calling=WEB_SENDER):
    """Send every radiograph until it is accepted once, across restarts of the listener."""
    waiting = list(radiographs)
    while waiting:
        try:
            statuses = store(port, waiting, calling=calling, timeout=30)
        except OSError:
            statuses = []
        accepted = {index for index, status in enumerate(statuses) if status == 0}
        waiting = [radiograph for index, radiograph in enumerate(waiting) if index not in accepted]
        sleep(0.2)
    gc.collect()
    done.set()
