"""The cumulative error distribution as a picture."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import UsageError, require
from asmnet_kit.base.files import replacing
from asmnet_kit.face.metrics import auc, ced, mean_nme
from asmnet_kit.measure.evaluate import THRESHOLDS, Evaluation


def check_plot(path: Path) -> None:
    """Check that ``plot_ced`` can write a picture of this name.

    Raises:
        MissingDependency: matplotlib is not installed.
        UsageError: matplotlib cannot write such a file, or there is a folder of that name.
    """
    require("matplotlib", extra=None)  # [train] has it, and 2.5 GB of TensorFlow
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    suffixes = sorted(FigureCanvasAgg.filetypes)
    if path.suffix.lstrip(".").lower() not in suffixes:
        raise UsageError(f"{path}: expected a picture name ending in {', '.join(suffixes)}")
    if path.is_dir():
        raise UsageError(f"{path}: expected the name of a picture, got a folder")


def curve(
    nme: NDArray[np.float64], *, limit_percent: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The CED as it is drawn: its last step goes on to the right, to ``limit_percent`` or beyond.

    Faces that the detector missed have an infinite NME: the curve ends below 1 by their share.

    Args:
        nme: [B], percent; NaN = no NME.

    Returns:
        NME in percent, ascending and finite, and the share (0..1) of faces with at most this NME.
    """
    x, y = ced(nme)
    drawn = np.isfinite(x)
    x, y = x[drawn], y[drawn]
    return np.append(x, max(limit_percent, x[-1])), np.append(y, y[-1])


def plot_ced(evaluation: Evaluation, path: Path, *, limit_percent: float = 10.0) -> None:
    """Draw the cumulative error distribution of all faces and of each subset.

    Args:
        path: of the picture; its suffix chooses the format (.png, .svg, .pdf).

    Raises:
        MissingDependency: matplotlib is not installed.
        UsageError: matplotlib cannot write such a file.
    """
    check_plot(path)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.8), layout="constrained")
    axes = figure.add_subplot()
    everything = np.ones(len(evaluation.nme), np.bool_)
    for name, members in {"all faces": everything, **evaluation.in_subset}.items():
        nme = evaluation.nme[members]
        if np.isfinite(nme).any():
            label = (
                f"{name}: NME {mean_nme(nme[np.isfinite(nme)]):.2f} %, AUC@10 {auc(nme, 10):.3f}"
            )
            # 'post' holds each value until the next error.
            axes.step(*curve(nme, limit_percent=limit_percent), where="post", label=label)
    for threshold in THRESHOLDS:
        axes.axvline(threshold, color="grey", linewidth=0.6, linestyle=":")
    axes.set(
        xlim=(0, limit_percent),
        ylim=(0, 1),
        xlabel="NME, % of the distance between the outer eye corners",
        ylabel="share of faces",
        title=f"{evaluation.model} on {evaluation.dataset}",
    )
    axes.grid(alpha=0.3)
    axes.legend(loc="best", fontsize="small")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)
