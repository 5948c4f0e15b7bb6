"""A model whose decisions on any radiograph are known: findings of every status, thresholds that pass or never do."""

import json
import shutil
from pathlib import Path

SHIPPED = Path(__file__).resolve().parent.parent.parent / "models" / "chest-lite0"
POSITIVE = {"Lung Opacity", "Lung Lesion"}
WITHOUT_DECISION = {"Pneumonia": "weak", "Consolidation": "weak", "Enlarged Cardiomediastinum": "derived"}
MEASURED = {
    "sensitivity": 0.875, "specificity": 0.625, "ppv": 0.374, "npv": 0.946,
    "prevalence": 0.205, "positives": 82, "negatives": 318, "dataset": "natural",
}  # fmt: skip
ALWAYS, NEVER = 0.0001, 0.9999


def with_known_decisions(folder: Path) -> Path:
    """A copy of the shipped artifact. *No Finding* passes its own threshold, but other findings are positive."""
    copy = folder / "known"
    shutil.copytree(SHIPPED, copy)
    path = copy / "manifest.json"
    manifest = json.loads(path.read_text())
    for finding in manifest["findings"]:
        finding.pop("threshold", None)
        if finding["status"] == "untrained":
            continue
        finding["status"] = WITHOUT_DECISION.get(finding["name"], "validated")
        threshold = ALWAYS if finding["name"] in POSITIVE | {"No Finding"} else NEVER
        points = {"balanced": threshold, "specific": NEVER}
        finding["operating_points"] = {name: {"threshold": value, **MEASURED} for name, value in points.items()}
    manifest |= {"schema_version": 2, "default_operating_point": "balanced"}
    path.write_text(json.dumps(manifest))
    return copy
