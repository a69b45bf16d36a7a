"""asmnet-kit: train, quantize, benchmark and ship small face alignment models.

For programs: ``asmnet_kit.load`` and the other names of :mod:`asmnet_kit.api` (docs/api.md). Each
is imported when it is first used, so ``import asmnet_kit`` loads nothing else.
"""

import importlib

__version__ = "0.2.0"

# What ``__init__.pyi`` tells type checkers.
__all__ = [
    "DatasetError",
    "Evaluation",
    "FacePrediction",
    "KitError",
    "MissingDependency",
    "Model",
    "ModelError",
    "TrackedFace",
    "Tracker",
    "UsageError",
    "benchmark",
    "evaluate",
    "load",
    "read_image",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("asmnet_kit.api"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
