"""What a run's manifest notes of its faces, so that it is never resumed with others."""

from collections.abc import Mapping
from typing import Any

from asmnet_kit.datasets.base import Dataset

# Which key of the manifest's ``dataset`` tells what of a side.
_SIDES = {"training": "", "validation": "val_"}
_KINDS = {
    "sha256": "files, sizes or landmarks",
    # An earlier version did not note it.
    "labels_sha256": "poses, splits, subsets, boxes or visibility",
}


def fingerprints(train: Dataset, val: Dataset) -> dict[str, str]:
    """Keys of the manifest's ``dataset`` that tell whether the faces are the same ones."""
    return {
        "sha256": train.fingerprint(),
        "val_sha256": val.fingerprint(),
        "labels_sha256": train.labels_fingerprint(),
        "val_labels_sha256": val.labels_fingerprint(),
    }


def _comparable(one: str | None, other: str | None) -> bool:
    """Whether two ``labels_fingerprint`` tell of the same things: both there, of one version."""
    return bool(one and other) and version_of(one) == version_of(other)


def version_of(labels_fingerprint: str | None) -> str:
    """``v1`` of ``v1:...``; empty for None."""
    return (labels_fingerprint or "").partition(":")[0]


def changed_faces(before: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, str] | None:
    """Which faces changed, and what of them, in words; None where they are the same.

    Args:
        before, now: with the keys of ``fingerprints``; what one of them did not note is taken for
            the same, except for ``sha256``, which every manifest has.

    Returns:
        For example ("training and validation", "files, sizes or landmarks").
    """
    changed = [
        (side, what)
        for side, prefix in _SIDES.items()
        for key, what in _KINDS.items()
        if before.get(prefix + key) != now.get(prefix + key)
        if key == "sha256" or _comparable(before.get(prefix + key), now.get(prefix + key))
    ]
    if not changed:
        return None
    sides, kinds = (dict.fromkeys(words) for words in zip(*changed, strict=True))
    return " and ".join(sides), ", ".join(kinds)
