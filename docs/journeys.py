"""The journeys of docs/architecture.md: which function does what, in which order.

``docs/architecture.py`` checks them and draws them. Where code has moved, ``make docs`` names the
step that must be corrected here.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One step of a journey.

    Attributes:
        at: "module:name" without ``asmnet_kit.``, or a file.
        does: one short sentence.
        gives: what it hands on.
        typed: the command with which the user starts here; else an earlier step leads here.
        by: module that leads here, where it is not the last of the earlier ones that could.
    """

    at: str
    does: str
    gives: str = ""
    typed: str = ""
    by: str = ""

    @property
    def module(self) -> str:
        return self.at.partition(":")[0]

    @property
    def name(self) -> str:
        return self.at.partition(":")[2]


@dataclass(frozen=True)
class Journey:
    """A way through the house: ``architecture-<key>.svg``."""

    key: str
    title: str
    about: str
    steps: tuple[Step, ...]


JOURNEYS = (
    Journey(
        "picture",
        "A picture, from disk to the loss",
        "Labels arrive upright and stay so until the loss: a batch carries each picture's "
        "`transform` and `flipped` beside its upright landmarks, because the shape model knows "
        "upright faces only. The loss smooths them first and moves them with the picture after.",
        (
            Step(
                "training.run:train",
                "Takes the settings of a run through everything below.",
                typed="asmnet-kit train",
            ),
            Step(
                "training.data.sources:choose_sources",
                "Chooses faces to train and to validate on; refuses a test split.",
                "Sources",
            ),
            Step(
                "datasets.registry:load_dataset",
                "Reads a data set of any format; too many bad files are an error.",
                "Dataset",
            ),
            Step(
                "datasets.ibug300w:read",
                "The reader of one format: landmarks in pixels, counted from 0.",
                "Face, Problem",
            ),
            Step(
                "training.data.teacher_labels:relabel",
                "With --teacher: averages a larger network's points into labels.",
                "Face, label weights",
            ),
            Step(
                "training.data.write_shards:prepare",
                "Cuts out the surroundings of each face, shrinks and stores them.",
                "TFRecord shards",
            ),
            Step(
                "datasets.read_shards:read",
                "Finds every record again, without TensorFlow.",
                "Face: file, offset, length",
            ),
            Step(
                "training.data.run_batches:batches_for",
                "Makes whole batches in threads; each follows from seed and epoch.",
                "FaceBatches",
            ),
            Step(
                "training.data.batches:targets_of",
                "Labels, once: fractions of the upright crop; pose in degrees.",
                "upright, visible, pose",
            ),
            Step(
                "training.data.augment:draw_transform",
                "Draws mirroring, rotation, zoom and shift.",
                "transform, flipped",
            ),
            Step(
                "face.crop:warp",
                "One warp from the picture to the crop, the same as on devices.",
                "uint8 [S, S, 3]",
            ),
            Step(
                "training.data.augment:change_pixels",
                "Changes colours, covers parts, blurs, adds noise.",
                "batch",
            ),
            Step(
                "training.fit.loop:fit",
                "Runs the compiled step: network, loss, gradient, averaged weights.",
                "landmarks, pose",
            ),
            Step(
                "training.loss.asm_operator:AsmOperator",
                "Smooths the upright landmarks with the shape model.",
                "ASM(G), upright",
            ),
            Step(
                "training.batch:move_labels",
                "Moves labels with the picture: swaps mirrored pairs, transforms.",
                "G and A in the crop",
            ),
            Step(
                "training.loss.losses:AsmLoss",
                "Distances to the truth and the smoothed truth, and of the pose.",
                "total",
            ),
        ),
    ),
    Journey(
        "int8",
        "A run, to an int8 file",
        "The way of the recipe `qat_w8a8`; the others leave steps out.",
        (
            Step(
                "quantize.run:quantize",
                "Takes a run and a recipe through everything below.",
                typed="asmnet-kit quantize",
            ),
            Step(
                "quantize.source.float_model:open_float_model",
                "Loads the model, settings and shape model of the run.",
                "FloatModel",
            ),
            Step(
                "training.data.sources:choose_sources",
                "Chooses the same faces as the run did.",
                "Sources",
            ),
            Step(
                "quantize.ranges.int8_ready:int8_ready",
                "Prepares the float model, in the next three steps.",
                "Int8Ready",
            ),
            Step(
                "quantize.source.fold:deployable",
                "Folds batch normalisation away; drops training-only layers.",
                "tf_keras model",
            ),
            Step(
                "quantize.ranges.calibrate:collect_crops",
                "Crops of training faces, as a device sees them.",
                "uint8 [F, S, S, 3]",
            ),
            Step(
                "quantize.source.equalise:equalise",
                "Gives inputs of a concatenation one range; same function.",
                "factors",
            ),
            Step(
                "quantize.rounding.emulate:emulate",
                "Puts int8 rounding into the network, ranges from the crops.",
                "emulated model",
            ),
            Step(
                "quantize.rounding.finetune:finetune",
                "Trains on with the rounding; the float model is the teacher.",
                "weights, ranges",
            ),
            Step(
                "training.fit.loop:fit",
                "The same loop, checkpoints and resume as in training.",
                "FitResult",
            ),
            Step(
                "quantize.convert:convert",
                "Runs TFLiteConverter with the settings of the recipe.",
                "bytes",
            ),
            Step(
                "tflite.contract:verify_contract",
                "Refuses a file whose names, types or scales are wrong.",
            ),
            Step(
                "measure.evaluate:evaluate",
                "Measures float model and file, the file by the users' runtime.",
                "NME, pose error",
                by="quantize.run",
            ),
            Step(
                "tflite.audit:audit_model",
                "Says what the file really holds and what is cut off.",
                "Audit",
            ),
            Step(
                "quantize.gates:Gates",
                "Refuses a file that is worse than the user allows.",
            ),
            Step(
                "tflite.metadata:with_metadata",
                "Writes crop, recipe, source and scores into the file.",
                "bytes",
            ),
            Step(
                "base.files:write_bytes",
                "Writes the file whole, or not at all.",
                ".tflite",
            ),
        ),
    ),
    Journey(
        "benchmark",
        "A .tflite, to a result and a report",
        "The target `cpu`; others differ in one file of `benchmarks/targets/`.",
        (
            Step(
                "benchmarks.commands.benchmark:benchmark",
                "Refuses mistakes before anything is measured.",
                typed="asmnet-kit benchmark",
            ),
            Step(
                "benchmarks.call:requests_for",
                "One request for each model, target, device and thread count.",
                "Request",
            ),
            Step(
                "benchmarks.runner:benchmark_model",
                "Measures in a process of its own; makes its answer a result.",
                "request as JSON",
            ),
            Step(
                "benchmarks.worker:main",
                "The process: a request on stdin, JSON lines on stdout.",
            ),
            Step(
                "benchmarks.targets.registry:load_target",
                "Finds the target by name, other packages' included.",
                "Target",
            ),
            Step(
                "benchmarks.targets.cpu:CPU",
                "One target: opens the model, proves where it ran.",
            ),
            Step(
                "tflite.runtime:open_runtime",
                "Opens the model in LiteRT, by XNNPACK or builtin kernels.",
                "Runtime",
            ),
            Step(
                "tflite.reader:read_graph",
                "Refuses a damaged file before C++ code reads it.",
            ),
            Step(
                "benchmarks.timing.session_timing:measure_session",
                "Load, first run, warm-up, timed runs.",
                "Measurement",
            ),
            Step(
                "benchmarks.timing.frame_stages:time_stages",
                "The way of a camera frame: crop, invoke, landmarks back.",
                "ms by stage",
            ),
            Step(
                "benchmarks.timing.output_check:OutputCheck",
                "Outputs of the first, a middle and the last run beside the CPU's.",
                "output_check",
            ),
            Step(
                "measure.evaluate:evaluate",
                "With --data: accuracy through the same target.",
                "NME, pose error",
            ),
            Step(
                "results.noise:intervals",
                "How sure the percentiles are.",
                "intervals_ms",
            ),
            Step(
                "results.results:check_result",
                "Holds the result against results.schema.json.",
                "Result",
            ),
            Step(
                "results.results:save_result",
                "Writes the result whole, or not at all.",
                "results/*.json",
            ),
            Step(
                "commands.report:report",
                "Takes results, files or folders.",
                typed="asmnet-kit report",
            ),
            Step(
                "results.results:load_results",
                "Reads and checks each again.",
                "Result",
            ),
            Step(
                "results.report.build:write_report",
                "Ranks, groups and words what was measured.",
                "Report",
            ),
            Step(
                "toolkit/results/report/report.html.j2",
                "The page: charts and styles inside, nothing loaded.",
                "report.html",
            ),
        ),
    ),
)
