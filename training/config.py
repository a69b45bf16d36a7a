"""What a training run is told, and its ``config.toml``."""

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asmnet_kit.base import reading
from asmnet_kit.base.errors import UsageError
from asmnet_kit.base.files import write_text
from asmnet_kit.base.limits import MAX_PEOPLE, MAX_SEED, SCHEME_NAMES
from asmnet_kit.base.run_folder import CONFIG
from asmnet_kit.datasets.formats import PEOPLE
from asmnet_kit.training.catalogue import IMAGENET

if TYPE_CHECKING:
    from asmnet_kit.face.schemes import Scheme
    from asmnet_kit.training.loss.extra_terms import ExtraTerms

STRATEGIES = ("auto", "none", "mirrored", "multiworker")
# Type of a field -> types its value may have in a file, where 1 stands for 1.0 too.
KINDS: dict[Any, tuple[type, ...]] = {
    str: (str,), int: (int,), float: (float, int), bool: (bool,),
}  # fmt: skip
PRECISIONS = ("auto", "float32", "mixed_float16")
# Where things lie: they may have moved since a run began, and lie elsewhere on another worker.
PLACES = ("data", "val_data", "teacher", "init_from", "scheme")  # data first
NAMED = {"init_from": (IMAGENET,), "scheme": SCHEME_NAMES}  # words in a place's stead
MAX_SAMPLING_WEIGHT = 1000.0
MAX_TERM_WEIGHT = 100.0  # of a term of the loss beside the landmarks
# Settings that speak of the labels, splits and subsets of a folder, which rendered people lack.
NOT_OF_PEOPLE = ("split", "teacher", "sampling", "clips", "visibility_subsets")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything that decides what a run computes; a resumed run must have the same.

    Attributes:
        data: folder of the training data; ``people`` with that format, which has none.
        format: of the data set. ``people``: each epoch is of new people, drawn as it goes.
        faces_per_epoch: new people of an epoch, with the format ``people`` alone; 0 = not given.
        split: train on this split only; empty = ``train`` where there is one, else everything.
        val_data: folder to validate on; empty = the split ``val``, else a hold-out; people that
            are not trained on with the format ``people``.
        val_format: of ``val_data``; empty = ``format``.
        val_share: of the pictures held out where there is nothing else to validate on: enough for
            an NME, little enough to be missed. With the format ``people``, of ``faces_per_epoch``.
        points: landmarks, 68 or 98; 0 = what the data has.
        scheme: the landmarks to learn, a built-in scheme's name or its .toml, to which the data's
            are mapped; empty = what the data has.
        arch: name in ``networks.architectures.ARCHITECTURES``.
        loss: name in ``losses.LOSSES``.
        alpha: weight of the ASM term by epoch, ``paper`` (Eq. 10) or ``constant:V``.
        augmentation: name in ``catalogue.AUGMENTATIONS``.
        asm_variance: share of the shapes' variance that the shape model keeps; the paper's middle.
        asm_aligned: bring shapes to one position, size and roll before the PCA and put them back
            after it. Without, the shape model fails on faces that lean in the original picture
            (25 % of the eye distance at 45 degrees), and their smoothed truth misleads.
        pose_weight: of the pose's squared error beside 1 for the landmarks, in the units of
            ``losses.TERM_UNITS``; the paper's 0.5 belongs to ``mse`` and ``asm``, beside
            ``smooth_l1``, which is fifty times larger, it counts for little.
        uncertainty: give the network the output ``uncertainty`` (``networks.heads``) and train it
            by the likelihood of its landmarks' errors.
        likelihood: name in ``catalogue.LIKELIHOODS``: which distribution errors are taken to have.
        likelihood_weight: of the negative log-likelihood beside 1 for the landmarks; it counts as
            much in every loss (``losses.LossKind.others``). A tenth: sigma needs few of the
            features, and none shall be lost to it.
        likelihood_gradient: name in ``catalogue.LIKELIHOOD_GRADIENTS``: whether the likelihood
            moves the landmarks.
        visibility: give the network the output ``visibility`` and train it where data says which
            points can be seen.
        visibility_subsets: ``SUBSET,...`` whose visibility is believed: a format may have marks
            that a data set's makers did not set. Empty = wherever the data has marks.
        visibility_weight: of the cross-entropy beside 1 for the landmarks, as for the likelihood.
        keep_landmarks: train the outputs ``uncertainty`` and ``visibility`` alone: what landmarks
            and pose are made of stays as ``init_from`` has it.
        input_size: side of the model's input, pixels.
        crop_scale: side of the crop as a multiple of the landmark box's longer side. A smaller
            one shows the face larger, a larger one forgives a box that is off.
        teacher: .npz of a larger network's landmarks (``teacher_labels.Teacher``); empty = none.
        teacher_share: ``SUBSET=SHARE,...``, or a share for all others, of the teacher in
            labels; see ``teacher_labels.relabel``.
        teacher_calibrate: ``SUBSET=LABELLED,...``: on the first's faces the teacher follows the
            convention of the second's labels, of its own where none is named; see
            ``teacher_convention``.
        fill_weight: of points without a label that get the teacher's.
        sampling: ``SUBSET=WEIGHT,...``, or a weight for all others: how often an epoch shows its
            faces, each time augmented anew; 1 by default.
        clips: ``SUBSET,...`` of video frames, of which an epoch shows one per clip.
        epochs: passes over the data.
        batch_size: pictures per step over all devices. 32 is the smallest with steady batch-norm
            statistics; larger ones cost epochs on a CPU and gain nothing there.
        learning_rate: peak of Adam's. 1e-3 is Adam's own default and was stable for every
            architecture here.
        warmup_epochs: of linear rise.
        ema_decay: of the averaged weights, per step; 0.998 averages the last 500 steps.
        gradient_norm: longer gradients are shortened to this.
        init_from: file or run whose weights to start from; empty = random.
        precision: ``auto`` is mixed_float16 on a GPU and float32 elsewhere, where float16 is slow.
        strategy: of tf.distribute. ``auto``: multiworker with TF_CONFIG, mirrored with several
            GPUs, else none.
        seed: of weights, order, augmentation and dropout.
    """

    data: str
    format: str
    faces_per_epoch: int = 0
    split: str = ""
    val_data: str = ""
    val_format: str = ""
    val_share: float = 0.1
    points: int = 0
    scheme: str = ""
    arch: str = "asmnet"
    loss: str = "asm"
    alpha: str = "paper"
    augmentation: str = "full"
    asm_variance: float = 0.9
    asm_aligned: bool = True
    pose_weight: float = 0.5
    uncertainty: bool = False
    likelihood: str = "laplace"
    likelihood_weight: float = 0.1
    likelihood_gradient: str = "stop"
    visibility: bool = False
    visibility_subsets: str = ""
    visibility_weight: float = 0.1
    keep_landmarks: bool = False
    input_size: int = 112
    crop_scale: float = 1.2  # face.boxes.CROP_SCALE, which a quick --help cannot import
    teacher: str = ""
    teacher_share: str = ""
    teacher_calibrate: str = ""
    fill_weight: float = 0.2
    sampling: str = ""
    clips: str = ""
    epochs: int = 60
    batch_size: int = 32
    learning_rate: float = 1e-3
    warmup_epochs: float = 1.0
    ema_decay: float = 0.998
    gradient_norm: float = 5.0
    init_from: str = ""
    precision: str = "auto"
    strategy: str = "auto"
    seed: int = 0

    def validated(self) -> "TrainConfig":
        """This configuration, once its values make sense together.

        Raises:
            UsageError: an unknown name or a value out of range.
        """
        from asmnet_kit.training.catalogue import (
            ASM_LOSSES,
            AUGMENTATIONS,
            LIKELIHOOD_GRADIENTS,
            LIKELIHOODS,
            LOSSES,
            check_input_size,
        )
        from asmnet_kit.training.loss.alpha import constant_value
        from asmnet_kit.training.networks.architectures import ARCHITECTURES

        for name, value in dataclasses.asdict(self).items():
            if isinstance(value, str):
                _require_unicode(name, value)
        ARCHITECTURES.check(self.arch)
        check_input_size(self.input_size)
        for name, known in (
            ("loss", LOSSES),
            ("augmentation", AUGMENTATIONS),
            ("likelihood", LIKELIHOODS),
            ("likelihood_gradient", LIKELIHOOD_GRADIENTS),
            ("precision", PRECISIONS),
            ("strategy", STRATEGIES),
        ):
            if getattr(self, name) not in known:
                raise UsageError(
                    f"expected --{name.replace('_', '-')} to be one of {', '.join(known)}; "
                    f"got {getattr(self, name)!r}"
                )
        if self.points and self.scheme:
            raise UsageError("--points and --scheme both say which landmarks: give one of them")
        constant_value(self.alpha)
        if self.loss not in ASM_LOSSES and self.alpha != type(self).alpha:
            raise UsageError(
                f"alpha weighs the ASM term, which the loss {self.loss!r} does not have: use "
                f"--loss {' or '.join(sorted(ASM_LOSSES))}, or leave out --alpha"
            )
        for parse in (self.teacher_shares, self.teacher_conventions, self.sampling_weights):
            parse()
        for name in ("teacher_share", "teacher_calibrate"):
            if getattr(self, name) and not self.teacher:
                option = "--" + name.replace("_", "-")
                raise UsageError(f"{option} says how to use a teacher: give --teacher too")
        if not 0 <= self.fill_weight <= 1:
            raise UsageError(f"expected --fill-weight from 0 to 1, got {self.fill_weight}")
        if not 0 <= self.ema_decay < 1:
            raise UsageError(f"expected ema_decay from 0 to less than 1, got {self.ema_decay}")
        # 2, since batch normalisation has no statistics of one picture.
        for name, least in (("epochs", 1), ("batch_size", 2)):
            if getattr(self, name) < least:
                option = "--" + name.replace("_", "-")
                raise UsageError(f"expected {option} from {least}, got {getattr(self, name)}")
        for name, low, high in (
            ("val_share", 0.0, 0.5),
            ("asm_variance", 0.0, 1.0),
            ("learning_rate", 0.0, 1.0),
            ("gradient_norm", 0.0, float("inf")),
            ("pose_weight", 0.0, MAX_TERM_WEIGHT),
            ("crop_scale", 0.5, 4.0),
            ("likelihood_weight", 0.0, MAX_TERM_WEIGHT),
            ("visibility_weight", 0.0, MAX_TERM_WEIGHT),
        ):
            value = getattr(self, name)
            if not low < value <= high:
                option = "--" + name.replace("_", "-")
                raise UsageError(f"expected {option} above {low:g}, at most {high:g}; got {value}")
        # The default of one epoch stays possible for a run of one.
        if not 0 <= self.warmup_epochs < max(self.epochs, 1.5):
            raise UsageError(
                f"expected --warmup-epochs from 0 to less than the {self.epochs} epochs, got "
                f"{self.warmup_epochs}"
            )
        if not 0 <= self.seed <= MAX_SEED:
            raise UsageError(f"expected --seed from 0 to {MAX_SEED}, got {self.seed}")
        for name, other, is_dead in (
            ("fill_weight", "--teacher, whose points it weighs", not self.teacher),
            ("val_share", "no --val-data, which takes its place", bool(self.val_data)),
            ("likelihood", "--uncertainty", not self.uncertainty),
            ("likelihood_weight", "--uncertainty", not self.uncertainty),
            ("likelihood_gradient", "--uncertainty", not self.uncertainty),
            ("visibility_subsets", "--visibility", not self.visibility),
            ("visibility_weight", "--visibility", not self.visibility),
            ("keep_landmarks", "--uncertainty or --visibility", not self.extra_outputs),
            ("keep_landmarks", "--init-from, whose landmarks they are", not self.init_from),
            ("val_format", "--val-data, whose format it is", not self.val_data),
            ("faces_per_epoch", f"--format {PEOPLE}, which draws them", not self.draws_people),
        ):
            if is_dead and getattr(self, name) != getattr(type(self), name):
                raise UsageError(f"--{name.replace('_', '-')} needs {other}")
        if self.val_format == PEOPLE:
            raise UsageError(
                f"expected the --val-format of a folder, got {PEOPLE}: a training on people "
                "validates on some where --val-data is left out"
            )
        if self.draws_people:
            self.check_people()
        return self

    @property
    def extra_outputs(self) -> tuple[str, ...]:
        """The network's outputs beside landmarks and pose, as ``networks.build`` takes them."""
        outputs = {"uncertainty": self.uncertainty, "visibility": self.visibility}
        return tuple(name for name, wanted in outputs.items() if wanted)

    def extra_terms(self) -> "ExtraTerms":
        """How all outputs but the landmarks are trained. It imports TensorFlow."""
        from asmnet_kit.training.loss.extra_terms import ExtraTerms

        return ExtraTerms(
            pose_weight=self.pose_weight,
            likelihood=self.likelihood,
            likelihood_weight=self.likelihood_weight,
            likelihood_gradient=self.likelihood_gradient,
            visibility_weight=self.visibility_weight,
        )

    @property
    def draws_people(self) -> bool:
        """Whether the training faces are people that are drawn as the run goes."""
        return self.format == PEOPLE

    def check_people(self) -> None:
        """Refuse what makes no sense where people are drawn.

        Raises:
            UsageError: a setting of folders, or a number of people out of range.
        """
        if self.data != PEOPLE:
            raise UsageError(
                f"--format {PEOPLE} draws its own faces: expected --data {PEOPLE}, got {self.data}"
            )
        if self.faces_per_epoch < 1:
            raise UsageError(
                f"--format {PEOPLE}: expected --faces-per-epoch from 1, how many new people an "
                f"epoch shows (for example 5000), got {self.faces_per_epoch or 'none'}"
            )
        for name in NOT_OF_PEOPLE:
            if getattr(self, name):
                raise UsageError(
                    f"--{name.replace('_', '-')} is for faces of a folder, people are drawn anew "
                    "in each epoch: leave it out"
                )
        if self.val_data and not self.val_format:
            raise UsageError(
                f"--val-data {self.val_data}: expected --val-format, how that folder is laid out"
            )
        if self.epochs * self.faces_per_epoch > MAX_PEOPLE:
            raise UsageError(
                f"expected at most {MAX_PEOPLE} people in all epochs, got {self.epochs} x "
                f"{self.faces_per_epoch}: use fewer --faces-per-epoch"
            )
        if not self.val_data and self.people_to_validate_on < 1:
            raise UsageError(
                f"expected --faces-per-epoch times --val-share people to validate on, got "
                f"{self.faces_per_epoch} x {self.val_share:g}, less than one: give more, or "
                "--val-data"
            )

    @property
    def people_to_validate_on(self) -> int:
        """How many people a training on people is validated on, without ``val_data``."""
        return round(self.val_share * self.faces_per_epoch)

    def teacher_shares(self) -> dict[str, float]:
        """``teacher_share`` by subset.

        Raises:
            UsageError: see ``sampling.subset_values``; so below.
        """
        from asmnet_kit.training.subset_options import subset_values

        return subset_values(self.teacher_share, option="--teacher-share", at_most=1)

    def teacher_conventions(self) -> dict[str, str]:
        """``teacher_calibrate``: subset -> the one whose labels it follows."""
        from asmnet_kit.training.subset_options import subset_conventions

        return subset_conventions(self.teacher_calibrate)

    def sampling_weights(self) -> dict[str, float]:
        """``sampling`` by subset."""
        from asmnet_kit.training.subset_options import subset_values

        return subset_values(self.sampling, option="--sampling", at_most=MAX_SAMPLING_WEIGHT)

    def save(self, path: Path) -> None:
        """Write ``config.toml``."""
        lines = ["# What this run was told; --resume reads it. Written by asmnet-kit train."]
        lines += [
            f"{name} = {toml_value(value)}" for name, value in dataclasses.asdict(self).items()
        ]
        write_text(path, "\n".join(lines) + "\n")

    @classmethod
    def load(cls, path: Path) -> "TrainConfig":
        """Read ``config.toml``.

        Raises:
            UsageError: it is missing, no TOML, or holds names or types that are not this class's.
        """
        try:
            values = read_toml(path)
        except FileNotFoundError as error:
            raise UsageError(
                f"{path}: no such file, so there is no run to resume in {path.parent}; start one "
                "without --resume"
            ) from error
        check_settings(values, where=str(path))
        missing = [name for name in ("data", "format") if name not in values]
        if missing:
            raise UsageError(f"{path}: no {' and no '.join(missing)} in it")
        return cls(**values).validated()

    def differences(self, other: "TrainConfig") -> list[str]:
        """Where ``other`` differs, as text: ``epochs: 10 in the run, 20 asked for``.

        Another place of the same thing is no difference; whether it is the same, the data says.
        """
        return [
            f"{name}: {mine!r} in the run, {theirs!r} asked for"
            for name, mine in dataclasses.asdict(self).items()
            if mine != (theirs := getattr(other, name))
            if not (name in PLACES and mine and theirs) or {mine, theirs} & set(NAMED.get(name, ()))
        ]

    def places(self) -> dict[str, str]:
        """Those of ``PLACES`` that are set; people are drawn and lie nowhere, nor do ``NAMED``."""
        names = PLACES[1:] if self.draws_people else PLACES
        found = {name: getattr(self, name) for name in names if getattr(self, name)}
        return {name: at for name, at in found.items() if at not in NAMED.get(name, ())}

    def landmark_scheme(self) -> "Scheme | None":
        """What ``scheme`` or ``points`` name; None where neither is given.

        Raises:
            UsageError: no such scheme.
        """
        from asmnet_kit.face.schemes import scheme_named, scheme_of

        if self.scheme:
            return scheme_named(self.scheme)
        return scheme_of(self.points) if self.points else None


def strategy_to_resume(run: Path, given: Mapping[str, Any]) -> str:
    """The ``--strategy`` with which the run in a folder goes on.

    Args:
        run: the folder. On a worker that is not the chief it is not looked at: what is in it is
            some other run.
        given: settings that are given once more.

    Raises:
        UsageError: the run's settings cannot be read, or TF_CONFIG names no workers.
    """
    from asmnet_kit.training.cluster.addresses import leads

    strategy = given.get("strategy")
    if strategy:
        return str(strategy)
    if not leads(TrainConfig.strategy) or not (run / CONFIG).exists():
        return TrainConfig.strategy
    return TrainConfig.load(run / CONFIG).strategy


def _require_unicode(name: str, text: str) -> None:
    """Refuse what no text file can hold: a path with bytes that are not UTF-8.

    Raises:
        UsageError: ``text`` is such a path.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"expected --{name.replace('_', '-')} in UTF-8, got {text!a}: rename the folder or file"
        ) from error


def toml_value(value: str | float | bool) -> str:
    """A string, number or boolean as TOML writes it.

    JSON's are nearly right, so no package is needed: its ``\\ud83d\\ude00`` is no TOML string, its
    ``Infinity`` no TOML number, and it does not escape DEL.
    """
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # inf, -inf, nan
    return json.dumps(value)


def check_settings(values: Mapping[str, Any], *, where: str) -> None:
    """Refuse names that ``TrainConfig`` has no field of, and values of another type.

    Raises:
        UsageError: naming them and ``where`` they are.
    """
    fields = {field.name: field.type for field in dataclasses.fields(TrainConfig)}
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise UsageError(f"{where}: unknown settings: {', '.join(unknown)}")
    for name, value in values.items():
        kinds = KINDS[fields[name]]
        if type(value) not in kinds:  # not isinstance: True is an int to Python
            raise UsageError(
                f"{where}: expected {' or '.join(kind.__name__ for kind in kinds)} for {name}, "
                f"got {value!r}"
            )


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file's content.

    Raises:
        FileNotFoundError: it is missing.
        UsageError: it is no TOML.
    """
    try:
        return reading.read_toml(path)
    except ValueError as error:
        raise UsageError(f"{path}: not TOML ({error})") from error
