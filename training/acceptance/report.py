"""The report of a local acceptance: one page that opens offline, the figures as JSON, and the model's outputs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from scipy.special import expit

from app.errors import ConfigurationError
from app.files import write_atomically
from app.patchnet.manifest import Manifest
from training.acceptance.drift import MOST_EVIDENCE, MOST_PROBABILITY, Drift
from training.acceptance.gallery import WorstFilm
from training.acceptance.judged import JudgedFinding
from training.acceptance.observed import Observed
from training.acceptance.sample_size import positives_for
from training.measure.status import LEAST_AUROC, LEAST_FILMS
from training.measure.subgroups import Subgroup
from training.publish.figures import embedded, reliability_plot
from training.publish.pages import templates_of

PAGE, FIGURES, OUTPUTS = "report.html", "report.json", "outputs.npz"


@dataclass(frozen=True)
class Acceptance:
    """A judgement of a model on a site's radiographs.

    ``model_dir`` is the artifact's folder, ``refused`` has the reasons of films that were left out, ``fingerprint`` is
    the SHA-256 of the films and labels.
    """

    manifest: Manifest
    model_dir: Path
    dataset: str
    data: str
    at: datetime
    fingerprint: str
    films: int
    refused: Mapping[str, str]
    findings: Sequence[JudgedFinding]
    subgroups: Mapping[str, Mapping[str, Subgroup]]
    drift: Drift | None

    def as_json(self) -> dict[str, object]:
        """Every figure by name; undefined figures are None."""
        manifest = self.manifest
        content = {
            "model": {
                "name": manifest.name,
                "version": manifest.version,
                "directory": str(self.model_dir),
                "weights_sha256": manifest.weights_sha256,
            },
            "dataset": self.dataset,
            "data": self.data,
            "at": self.at.isoformat(),
            "films": self.films,
            "films_sha256": self.fingerprint,
            "refused": dict(self.refused),
            "findings": [_finding(finding) for finding in self.findings],
            "subgroups": {
                column: {value: group.as_json() for value, group in groups.items()}
                for column, groups in self.subgroups.items()
            },
            "drift": asdict(self.drift) if self.drift else None,
        }
        return json.loads(json.dumps(content, default=_plain).replace("NaN", "null"))


@dataclass(frozen=True)
class Accepted:
    """What `adopt` needs of a report: the model's folder and hash, the data set, its films, and the verdicts."""

    model_dir: Path
    weights_sha256: str
    dataset: str
    fingerprint: str
    observed: Observed
    verdicts: Mapping[str, str]


def write_report(acceptance: Acceptance, observed: Observed, worst: Sequence[WorstFilm], out: Path) -> Path:
    """Write the page, the figures and the outputs; returns the page. The page shows radiographs of patients.

    Raises ConfigurationError where the folder cannot be written.
    """
    page = (
        templates_of("training.acceptance")
        .get_template("acceptance.html")
        .render(
            acceptance=acceptance,
            manifest=acceptance.manifest,
            reliability=embedded(reliability_plot(expit(observed.logits), observed.labels), "svg+xml"),
            worst=[(film, embedded(film.picture, "png")) for film in worst],
            needed={width: positives_for(width) for width in (0.10, 0.05, 0.03)},
            limits={"films": LEAST_FILMS, "auroc": LEAST_AUROC, "ks": MOST_PROBABILITY, "tv": MOST_EVIDENCE},
        )
    )
    try:
        out.mkdir(parents=True, exist_ok=True)
        observed.save(out / OUTPUTS)
        for name, text in ((FIGURES, json.dumps(acceptance.as_json(), indent=1) + "\n"), (PAGE, page)):
            with write_atomically(out / name) as fresh:
                fresh.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{out} cannot be written: {error.strerror}") from None
    return out / PAGE


def read_report(folder: Path) -> Accepted:
    """Read the report that `validate` wrote. Raises ConfigurationError where it is missing or was changed."""
    path = folder / FIGURES
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        model = content["model"]
        observed = Observed.read(folder / OUTPUTS)
        accepted = Accepted(
            model_dir=Path(model["directory"]),
            weights_sha256=str(model["weights_sha256"]),
            dataset=str(content["dataset"]),
            fingerprint=str(content["films_sha256"]),
            observed=observed,
            verdicts={str(finding["name"]): str(finding["verdict"]) for finding in content["findings"]},
        )
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}; run `validate` first") from None
    except (ValueError, KeyError, TypeError):
        raise ConfigurationError(f"{path} is not a report of `validate`") from None
    if observed.fingerprint != accepted.fingerprint:
        raise ConfigurationError(f"{folder / OUTPUTS} does not belong to {path}; run `validate` again")
    return accepted


def _finding(finding: JudgedFinding) -> dict[str, object]:
    content = asdict(finding)
    content["quality"] = finding.quality.model_dump() if finding.quality else None
    content["promised"] = finding.promised.model_dump() if finding.promised else None
    return content


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value)} is not a figure")
