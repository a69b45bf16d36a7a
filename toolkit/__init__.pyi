"""For type checkers: the names that ``__init__.py`` imports when they are used."""

from asmnet_kit.api import DatasetError as DatasetError
from asmnet_kit.api import Evaluation as Evaluation
from asmnet_kit.api import FacePrediction as FacePrediction
from asmnet_kit.api import KitError as KitError
from asmnet_kit.api import MissingDependency as MissingDependency
from asmnet_kit.api import Model as Model
from asmnet_kit.api import ModelError as ModelError
from asmnet_kit.api import TrackedFace as TrackedFace
from asmnet_kit.api import Tracker as Tracker
from asmnet_kit.api import UsageError as UsageError
from asmnet_kit.api import benchmark as benchmark
from asmnet_kit.api import evaluate as evaluate
from asmnet_kit.api import load as load
from asmnet_kit.api import read_image as read_image

__version__: str
