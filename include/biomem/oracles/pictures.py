"""Draws docs/images, the shipped model against published figures: `python -m biomem.oracles.pictures` (make docs)."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

mpl.use("svg")

from matplotlib import pyplot as plt

from biomem.oracles import activation, forgetting, learning, serial_position
from biomem.oracles.bench import Bench
from biomem.oracles.curves import predict_retention
from biomem.settings import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLE: Any = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.use": True,
    "font.size": 9,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    # the same input gives the same file
    "svg.hashsalt": "biomem",
}
TIME_TICKS = {1: "1 s", 60: "1 min", 3600: "1 h", 86400: "1 d", 30 * 86400: "1 month", 365 * 86400: "1 year"}
MODEL, HUMAN = {"color": "#c1440e"}, {"color": "#1f4e79", "linestyle": "none", "marker": "o", "markersize": 4}


def draw_all(settings: Settings, folder: Path) -> list[Path]:
    """Draw every picture into `folder`; returns the files in the order of the chapters."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures: dict[str, Callable[[Bench], Figure]] = {
        "forgetting": draw_forgetting,
        "serial_position": draw_serial_position,
        "spacing": draw_spacing,
        "testing": draw_testing,
        "fan_and_practice": draw_fan_and_practice,
    }
    files = []
    with mpl.rc_context(STYLE), Bench(settings) as bench:
        for name, draw in pictures.items():
            figure = draw(bench)
            files.append(folder / f"{name}.svg")
            figure.savefig(files[-1], metadata={"Date": None}, bbox_inches="tight")
            plt.close(figure)
    return files


def draw_forgetting(bench: Bench) -> Figure:
    """Retention over minutes to a year, and over seconds with rehearsal prevented."""
    figure, (long, short) = plt.subplots(1, 2, figsize=(9, 3.6), width_ratios=(2, 1))
    delays = [10 ** (step / 20) for step in range(20, 151)]
    long.plot(delays, predict_retention(bench.settings, "ebbinghaus", delays), label="model: ebbinghaus", **MODEL)
    for grade, name in ((1, "again"), (2, "hard"), (3, "good"), (4, "easy")):
        stability = bench.rows(f"select {bench.equations('first_stability', str(grade), '0')}")[0][0]
        retained = predict_retention(bench.settings, "fsrs", delays, stability)
        long.plot(delays, retained, linewidth=0.8, alpha=0.4 + grade / 8, color="#5b8c5a", label=f"model: fsrs, {name}")
    for marker, (dataset, label) in zip(
        "os^vD",
        {
            "Ebbinghaus1885": "Ebbinghaus 1885 (fitted)",
            "Mack1991": "Mack 1991",
            "Seitz1991": "Seitz 1991",
            "Dros2015": "Dros 2015",
            "Mosteller_wordrecall": "Mosteller 1970",
        }.items(),
        strict=True,
    ):
        points = forgetting.predictions(bench, "ebbinghaus_retention", dataset)
        fill = "full" if dataset == "Ebbinghaus1885" else "none"
        _points(long, points, label=label, marker=marker, fillstyle=fill)
    _time_axis(long, 10, 400 * 86400)
    long.set(ylim=(0, 1.02), ylabel="retained", title="Minutes to a year")
    figure.legend(*long.get_legend_handles_labels(), fontsize=7, loc="outside lower center", ncols=5)
    seconds = [step / 10 for step in range(1, 201)]
    short.plot(seconds, predict_retention(bench.settings, "short_term", seconds), label="model: short_term", **MODEL)
    murdock = forgetting.predictions(bench, "short_term_retention", "Murdock1961_STM")
    _points(short, murdock, label="Murdock 1961 (fitted)")
    short.set(ylim=(0, 1.02), xlabel="seconds without rehearsal", title="Seconds")
    short.legend(fontsize=7)
    return figure


def draw_serial_position(bench: Bench) -> Figure:
    """Free recall by position in lists of 20, 30 and 40 words."""
    rows = serial_position.predictions(bench)
    lengths = sorted({row[0] for row in rows})
    figure, panels = plt.subplots(1, len(lengths), figsize=(9, 2.8), sharey=True)
    for axes, length in zip(panels, lengths, strict=True):
        _, positions, observed, predicted = zip(*(row for row in rows if row[0] == length), strict=True)
        axes.plot(positions, predicted, label="model, nothing fitted", **MODEL)
        axes.plot(positions, observed, label="Murdock 1962", **HUMAN)
        axes.set(title=f"{length} words", xlabel="position in the list", ylim=(0, 1.02))
    panels[0].set_ylabel("recalled")
    panels[0].legend(fontsize=7, loc="upper center")
    return figure


def draw_spacing(bench: Bench) -> Figure:
    """Final recall by the gap between two sessions, and the best gap against the published one."""
    figure, (curves, best) = plt.subplots(1, 2, figsize=(9, 3.2))
    rows = bench.rows(
        f"select retention_interval_days, gap_days, recall from ({learning.recall_by_gap(bench)}) "
        "where gap_days <= 60 order by retention_interval_days, gap_days"
    )
    gaps = learning.optimal_gaps(bench)
    for interval, _, gap in gaps:
        _, days, recall = zip(*(row for row in rows if row[0] == interval), strict=True)
        (line,) = curves.plot(days, recall, label=f"tested {interval} days later")
        curves.plot([gap], [recall[days.index(gap)]], marker="o", color=line.get_color())
    curves.set(xscale="log", xlabel="gap between the sessions, days", ylabel="predicted recall", title="Best gap: dot")
    curves.legend(fontsize=7)
    intervals, observed, predicted = zip(*gaps, strict=True)
    best.plot(intervals, predicted, marker=".", label="model, nothing fitted", **MODEL)
    best.plot(intervals, observed, label="Cepeda et al. 2008", **HUMAN)
    best.set(xscale="log", yscale="log", xlabel="days until the test", ylabel="best gap, days", title="Best gap")
    best.legend(fontsize=7)
    return figure


def draw_testing(bench: Bench) -> Figure:
    """Restudy against test: people, and the model's difference on a scale of its own."""
    rows = learning.testing_predictions(bench)
    delays, studied, tested, model_studied, model_tested = zip(*rows, strict=True)
    figure, (people, model, difference) = plt.subplots(1, 3, figsize=(9, 2.8))
    for axes, study, test, title in (
        (people, studied, tested, "Roediger & Karpicke 2006"),
        (model, model_studied, model_tested, "model (order calibrated)"),
    ):
        axes.plot(delays, study, marker="s", color="#777777", label="read again")
        axes.plot(delays, test, marker="o", label="tested", **MODEL)
        axes.set(ylim=(0.35, 1.02), title=title)
        axes.legend(fontsize=7)
    advantage = [test - study for study, test in zip(model_studied, model_tested, strict=True)]
    difference.plot(delays, advantage, marker="o", **MODEL)
    difference.axhline(0, color="black", linewidth=0.6)
    difference.set(title="model: tested minus read again")
    for axes in (people, model, difference):
        _time_axis(axes, 200, 10 * 86400)
    people.set_ylabel("recalled")
    return figure


def draw_fan_and_practice(bench: Bench) -> Figure:
    """Recall times under fan, and recall over trials."""
    figure, (fan, practice) = plt.subplots(1, 2, figsize=(9, 3))
    rows = activation.fan_predictions(bench, "target")
    labels = [f"{person}-{place}" for person, place, _, _ in rows]
    fan.plot(labels, [row[3] for row in rows], marker=".", label="model (fitted)", **MODEL)
    fan.plot(labels, [row[2] for row in rows], label="Anderson 1974", **HUMAN)
    fan.set(xlabel="facts known of the person - of the place", ylabel="seconds to recognise", title="Fan")
    fan.legend(fontsize=7)
    trials, observed, predicted, _, _ = zip(*activation.practice_predictions(bench), strict=True)
    practice.plot(trials, predicted, marker=".", label="model (fitted)", **MODEL)
    practice.plot(trials, observed, label="Anderson 1981", **HUMAN)
    practice.set(xlabel="trial", ylabel="recalled", ylim=(0, 1.02), title="Practice")
    practice.legend(fontsize=7)
    return figure


def _points(axes: Axes, rows: list[tuple[Any, ...]], **style: Any) -> None:
    axes.plot([row[0] for row in rows], [row[1] for row in rows], **{**HUMAN, **style})


def _time_axis(axes: Axes, first: float, last: float) -> None:
    ticks = {at: name for at, name in TIME_TICKS.items() if first <= at <= last}
    axes.set(xscale="log", xlim=(first, last))
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.minorticks_off()


def main() -> None:
    """Draw into docs/images, or where --to says."""
    settings = load_settings()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, default=settings.project_root / "docs" / "images", metavar="DIR")
    for file in draw_all(settings, parser.parse_args().to):
        print(file)


if __name__ == "__main__":
    main()
