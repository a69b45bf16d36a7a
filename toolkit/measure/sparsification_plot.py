"""The sparsification curve as a picture: the error of what is left without the least sure."""

from pathlib import Path

from asmnet_kit.base.errors import UsageError
from asmnet_kit.base.files import replacing
from asmnet_kit.measure.ced_plot import check_plot
from asmnet_kit.measure.evaluate import Evaluation
from asmnet_kit.measure.sureness import CURVE, sparsification


def plot_sparsification(evaluation: Evaluation, path: Path) -> None:
    """Draw the mean error against the share of points, and of faces, that is dropped.

    Args:
        path: of the picture; its suffix chooses the format (.png, .svg, .pdf).

    Raises:
        MissingDependency: matplotlib is not installed.
        UsageError: matplotlib cannot write such a file, or the model says not how sure it is.
    """
    check_plot(path)
    if evaluation.sure is None or not evaluation.sure.has_sigma:
        raise UsageError(
            f"{evaluation.model} does not say how sure it is: train one with --uncertainty"
        )
    from matplotlib.figure import Figure

    curves = sparsification(evaluation.sure, evaluation.nme[~evaluation.missed])
    figure = Figure(figsize=(9, 4), layout="constrained")
    for axes, (what, lines) in zip(figure.subplots(1, 2), curves.items(), strict=True):
        for label, values in lines.items():
            axes.plot(CURVE, values, label=label, linestyle="-" if label == "by sigma" else ":")
        axes.set(
            xlabel=f"least sure {what} dropped, %",
            ylabel="mean error, % of the eye distance",
            title=what,
            ylim=(0, None),
            xlim=(0, CURVE[-1]),
        )
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    figure.suptitle(f"{evaluation.model} on {evaluation.dataset}")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)
