"""The table of openers: what the toolkit borrows from a stage, loaded only when it is asked for.

The toolkit and the benchmarks work without TensorFlow and import no training stage. Where they need
one after all they name it here, and so does a room that needs one above it (the table of formats
offers rendered people); this table, the table of commands (``asmnet_kit.cli``) and the package's
own ``__init__.py``, which offers :mod:`asmnet_kit.api`, are the only places that may name them as a
string.
"""

import importlib
from typing import Any

# name -> "module:attribute"
OPENERS = {
    "keras predictor": "asmnet_kit.training.networks.keras_predictor:KerasPredictor",
    "shard writer": "asmnet_kit.training.data.write_shards:prepare",
    "input size check": "asmnet_kit.training.catalogue:check_input_size",
    "people to measure on": "asmnet_kit.people.fixed_sets:people_to_measure_on",
    "targets of other packages": "asmnet_kit.benchmarks.targets.registry:targets_of_others",
    "devices of a file": "asmnet_kit.benchmarks.shelf:look_over",
    "what the browser needs": "asmnet_kit.benchmarks.browser.needs:needs",
    "problem of a target": "asmnet_kit.benchmarks.targets.registry:problem_of",
    "one benchmark": "asmnet_kit.benchmarks.single:measure_one",
    "options of targets": "asmnet_kit.benchmarks.options:FLAGS",
    "float landmarks": "asmnet_kit.quantize.rounding.emulated_file:float_landmarks",
    "emulated landmarks": "asmnet_kit.quantize.rounding.emulated_file:emulated_landmarks",
}
WITHOUT_TENSORFLOW = (
    "input size check",
    "people to measure on",
    "targets of other packages",
    "devices of a file",
    "what the browser needs",
    "problem of a target",
    "one benchmark",
    "options of targets",
)
ENVIRONMENT = "asmnet_kit.training.environment"


def open_stage(name: str) -> Any:
    """What ``OPENERS`` has under ``name``.

    Raises:
        MissingDependency: it needs TensorFlow, which is not installed.
    """
    if name not in WITHOUT_TENSORFLOW:
        importlib.import_module(ENVIRONMENT).import_tensorflow()
    module, attribute = OPENERS[name].split(":")
    return getattr(importlib.import_module(module), attribute)
