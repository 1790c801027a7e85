"""The loss curve of a run, in the terminal and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from baize_train.training.run_manifest import LossPoint

_COLUMNS, _ROWS = 72, 15


def loss_curve_text(losses: Sequence[LossPoint]) -> str:
    """The curve in characters; empty if there are fewer than two points of training."""
    import plotext

    trained = [point for point in losses if not point.held_out]
    held_out = [point for point in losses if point.held_out]
    if len(trained) < 2:
        return ""
    plotext.clear_figure()
    plotext.theme("clear")
    plotext.plot_size(_COLUMNS, _ROWS)
    plotext.plot([p.step for p in trained], [p.loss for p in trained], label="trained")
    if held_out:
        plotext.scatter(
            [p.step for p in held_out], [p.loss for p in held_out], label="held out", marker="x"
        )
    plotext.title("loss by step")
    last = losses[-1].step
    plotext.xticks(sorted({1, *(round(last * part / 4) for part in range(1, 5))}))
    lines = plotext.uncolorize(plotext.build()).splitlines()
    return "\n".join(line.rstrip() for line in lines).rstrip()


def save_loss_curve(losses: Sequence[LossPoint], file: Path) -> None:
    """Write the curve to ``file`` as a PNG."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    axes = figure.subplots()
    for held_out, label, style in ((False, "trained", "-"), (True, "held out", "o--")):
        points = [point for point in losses if point.held_out == held_out]
        if points:
            axes.plot([p.step for p in points], [p.loss for p in points], style, label=label)
    axes.set_xlabel("step")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel("loss")
    axes.legend()
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file)
