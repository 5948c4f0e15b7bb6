"""The decision about one finding as a sum over zones, and whether its evidence lies where it should."""

from dataclasses import dataclass

from torch import Tensor

from app.anatomy.zones import ANYWHERE, OUTSIDE_LIMIT, ZoneEvidence, ledger, outside_share


@dataclass(frozen=True)
class ZoneLedger:
    """The decision about one finding as a sum over zones, in the order of ``ZONES``.

    ``total`` is the sum, ``outside_share`` the share of the positive evidence outside lungs, heart and mediastinum.
    ``suspicious``: the finding is positive, and that share is above the limit.
    """

    zones: tuple[ZoneEvidence, ...]
    total: float
    outside_share: float | None
    suspicious: bool


def sum_over_zones(name: str, patch_logits: Tensor, patch_shares: Tensor, *, positive: bool) -> ZoneLedger:
    """The ledger of one finding: patch logits [P²], and the zones' shares of the patches [Z, P²]."""
    zones = ledger(patch_logits, patch_shares)
    outside = outside_share(zones)
    suspicious = positive and name not in ANYWHERE and outside is not None and outside > OUTSIDE_LIMIT
    return ZoneLedger(zones, sum(zone.evidence for zone in zones), outside, suspicious)
