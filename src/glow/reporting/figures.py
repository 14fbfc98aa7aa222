"""The study's figures, drawn with matplotlib as PNG (200 dpi) and SVG.

One colour per arm in every figure, one order everywhere, and the same bytes from the same numbers. The
numbers come from `measures`, `losses` and `dynamics`; what a figure means is in its caption (`captions`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, to_hex
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from glow.config import Experiment
from glow.files.atomic import atomic_path
from glow.files.manifest import Manifest
from glow.reporting import chance, dynamics, losses, measures, policy_entropy
from glow.reporting.captions import figure_names
from glow.reporting.cells import MARK, number
from glow.reporting.epochs_figure import draw_epochs
from glow.reporting.figure_parts import legend, panels, say_nothing_to_draw, titled
from glow.reporting.grpo_figure import draw_grpo_curves
from glow.reporting.palette import GRID, INK, MUTED, VERDICT_COLOURS, Dash, arm_colours, arm_dashes, ink_on
from glow.reporting.pass_figure import draw_pass_at_k
from glow.reporting.results import BASE, Results, Run
from glow.reporting.scopes import IN_DOMAIN, OOD, SCOPE_TITLES, SCOPES, mean_columns_present, scope_suites
from glow.reporting.statistics import Estimate, Floats
from glow.reporting.types_figure import draw_response_types
from glow.reporting.weights_figure import draw_weights

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType  # not in every release that draws these figures

DPI = 200
HALO = [withStroke(linewidth=2.5, foreground="white")]
"""Keeps a label readable where a line passes behind it."""
STYLE: "dict[RcKeyType, str | float]" = {
    "font.family": "DejaVu Sans", "font.size": 9, "axes.titlesize": 10, "axes.labelsize": 9,
    "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.edgecolor": MUTED, "axes.labelcolor": INK,
    "text.color": INK, "xtick.color": INK, "ytick.color": INK, "axes.spines.top": False,
    "axes.spines.right": False, "axes.grid": True, "grid.color": GRID, "grid.linewidth": 0.8,
    "axes.axisbelow": True, "legend.frameon": False, "figure.facecolor": "white",
    "savefig.facecolor": "white", "svg.hashsalt": "glow", "svg.fonttype": "path",
    "figure.constrained_layout.use": True, "figure.constrained_layout.h_pad": 0.08,
}  # fmt: skip


def write_figures(experiment: Experiment, root: Path, student: str = "") -> None:
    """Write R/figures/<figure>.{png,svg} and the manifest.

    Args:
        experiment: the configuration, of one student.
        root: its results, R, with R/tables.
        student: its name, where there are several: the tables are then below R/students/<student>.

    Raises:
        UserError: a result that a figure needs is missing, or R/tables was made before it changed; the
            message names the file.
    """
    manifest = Manifest("figures")
    results = Results(experiment, root, student)
    results.refuse_outdated("tables")
    names = figure_names(experiment)
    with mpl.rc_context(STYLE):
        for name in names:
            figure = DRAWERS[name](results)
            save(figure, results.figures / name)
            plt.close(figure)
    manifest.write(results.figures, results.settings, results.inputs("figures"), {"figures": len(names)})
    print(f"{len(names)} figures: {results.figures}/{{{','.join(names)}}}.{{png,svg}}")


def save(figure: Figure, stem: Path) -> None:
    """Write a figure as <stem>.png and <stem>.svg."""
    # Without these two fields the files carry no date and no program version.
    for suffix, metadata in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
        with atomic_path(stem.with_name(f"{stem.name}.{suffix}")) as partial:
            figure.savefig(partial, format=suffix, dpi=DPI, metadata=metadata)


# --- parts ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Dot:
    """A mean with its error and the values of the seeds, and whether a star marks it."""

    middle: Estimate
    marked: bool = False


def _dots(
    axes: Axes, dots: dict[str, _Dot], colours: dict[str, str], digits: int, signed: bool = False
) -> None:
    """One row per arm: a disc and a number for the mean, rings for seeds, a bar for ± one standard error
    (dotted with a single seed: then it is over questions alone)."""
    for row, (arm, dot) in enumerate(dots.items()):
        mean, error, seeds = dot.middle.mean, dot.middle.error, dot.middle.n
        if error is not None:
            axes.hlines(
                row, mean - error, mean + error, colours[arm], "-" if dot.middle.over_seeds else ":",
                linewidth=1.8, zorder=2,
            )  # fmt: skip
        axes.scatter(mean, row, s=60, color=colours[arm], zorder=3)
        if seeds > 1:
            rings = dot.middle.by_seed
            axes.scatter(
                rings, [row + 0.22] * seeds, s=15, facecolor="white", edgecolor=colours[arm], zorder=4
            )
        axes.annotate(
            number(mean, digits, signed) + MARK * dot.marked, (mean, row), xytext=(0, 7),
            textcoords="offset points", ha="center", fontsize=8, path_effects=HALO, zorder=5,
        )  # fmt: skip
    axes.set_yticks(range(len(dots)), list(dots))
    axes.set_ylim(len(dots) - 0.5, -0.7)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.09)


# --- main and suites ------------------------------------------------------------------------------


def draw_main(results: Results) -> Figure:
    """Dot plots of the in-domain and the OOD mean, one row per arm."""
    experiment = results.experiment
    colours, reference = arm_colours(experiment), experiment.reference_arm
    domains, means = experiment.domain_names, mean_columns_present(experiment)
    scopes = [scope for scope in SCOPES if scope in means]
    compared = measures.gains(results)
    width = 4.6 if len(scopes) > 1 else 6.5
    figure, grid = panels(len(domains), len(scopes), width, 0.8 + 0.42 * len(colours), sharey="row")
    for row, domain in zip(grid, domains, strict=True):
        suites = scope_suites(experiment, domain)
        for axes, scope in zip(row, scopes, strict=True):
            if not suites[scope]:
                say_nothing_to_draw(axes, f"no {SCOPE_TITLES[scope].lower()} suite")
                continue
            dots = {}
            for arm in colours:
                comparison = compared.get((domain, arm, scope))
                if (middle := measures.mean(results, "sft", domain, arm, scope)) is not None:
                    dots[arm] = _Dot(middle, bool(comparison and comparison.sign))
            _dots(axes, dots, colours, 1)
            if reference is not None:
                mean = dots[reference].middle.mean
                axes.axvline(mean, color=MUTED, linestyle="--", linewidth=1, zorder=1)
            _chance_line(axes, chance.mean_chance(results, domain, scope))
            axes.set_title(titled(results, SCOPE_TITLES[scope], domain))
    return figure


def _chance_line(axes: Axes, level: float | None) -> None:
    """Mark chance, and say it below; but do not stretch the axis to a chance that no mark comes near."""
    axes.set_xlabel("accuracy, %" if level is None else f"accuracy, % (chance: {number(level, 1)})")
    left, right = axes.get_xlim()
    if level is not None and left - (right - left) / 2 <= level <= right + (right - left) / 2:
        axes.axvline(level, color=MUTED, linestyle=":", linewidth=1.2, zorder=1)


def draw_suites(results: Results) -> Figure:
    """Heat maps of arm x suite: numbers are accuracies, colour the difference from positive-only SFT."""
    experiment = results.experiment
    arms, domains = [BASE, *experiment.arms], experiment.domain_names
    compared = measures.gains(results, suites=True)
    width, height = max(5.5, 2.2 + 1.0 * len(experiment.suites)), 1.4 + 0.38 * len(arms)
    figure, grid = panels(len(domains), 1, width, height)
    for axes, domain in zip(grid[:, 0], domains, strict=True):
        scopes = scope_suites(experiment, domain)
        suites = [suite for scope in SCOPES for suite in scopes[scope]]
        means, marked = np.full((len(arms), len(suites)), np.nan), set()
        for row, place in np.ndindex(means.shape):
            arm, column = arms[row], f"suite:{suites[place]}"
            if (found := measures.mean(results, "sft", domain, arm, column)) is not None:
                means[row, place] = found.mean
            if (comparison := compared.get((domain, arm, column))) and comparison.sign:
                marked.add((row, place))
        image = _heat_map(axes, means, marked, arms.index(experiment.reference_arm or BASE))
        axes.set_xticks(range(len(suites)), suites, rotation=30, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(arms)), arms)
        if scopes[IN_DOMAIN] and scopes[OOD]:
            axes.axvline(len(scopes[IN_DOMAIN]) - 0.5, color=INK, linewidth=2)
        axes.set_title(titled(results, "Accuracy, %", domain))
        bar = figure.colorbar(image, ax=axes, extend="both", shrink=0.9, pad=0.02)
        bar.set_label(f"points over {experiment.reference_arm or BASE}")
        bar.outline.set_visible(False)
    return figure


def _heat_map(axes: Axes, means: Floats, marked: set[tuple[int, int]], reference: int) -> mpl.image.AxesImage:
    """Draw (arms, suites) accuracies coloured by their difference from row `reference`; stars at `marked`."""
    difference = means - means[reference]
    reach = max(1.0, float(np.abs(difference[1:]).max()))
    image = axes.imshow(difference, cmap="PuOr", norm=Normalize(-reach, reach), aspect="auto")
    for (row, column), accuracy in np.ndenumerate(means):
        shown = number(accuracy, 1) + MARK * ((row, column) in marked)
        red, green, blue, _ = image.to_rgba(difference[row, column])
        colour = ink_on(to_hex((red, green, blue)))
        axes.text(column, row, shown, ha="center", va="center", fontsize=8.5, color=colour)
    axes.set_xticks(np.arange(-0.5, means.shape[1]), minor=True)
    axes.set_yticks(np.arange(-0.5, means.shape[0]), minor=True)
    axes.grid(visible=False, which="major")
    axes.grid(which="minor", color="white", linewidth=2)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    return image


# --- dynamics -------------------------------------------------------------------------------------


def draw_loss_dynamics(results: Results) -> Figure:
    """Mean loss of positives and negatives by epoch, for the arms that train on all of both, or on pairs;
    dashed, that of chains alone, where not all trajectories are chains."""
    experiment = results.experiment
    arms, domains = dynamics.both_signs(experiment), experiment.domain_names
    figure, grid = panels(len(domains), len(arms), 3.5, 2.9, sharey="row")
    for row, domain in zip(grid, domains, strict=True):
        for axes, arm in zip(row, arms, strict=True):
            history = losses.with_types(results, domain, dynamics.histories(results, domain, arm))
            loss, chains = losses.curve(history, "all"), losses.curve(history, "chain")
            for verdict, colour in VERDICT_COLOURS.items():
                if verdict in loss:
                    _loss_lines(axes, loss[verdict].unstack("seed"), colour)
                if verdict in chains and losses.mixes_types(history):
                    mean = chains[verdict].groupby(level="epoch").mean()
                    axes.plot(mean.index, mean, color=colour, linewidth=1.6, linestyle="--")
            axes.set_title(titled(results, arm, domain))
            axes.set_xlabel("epoch")
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.margins(x=0.04)
        row[0].set_ylabel("loss, nats per token")
    legend(figure, VERDICT_COLOURS)
    return figure


def _loss_lines(axes: Axes, by_seed: pd.DataFrame, colour: str) -> None:
    axes.plot(by_seed.index, by_seed, color=colour, linewidth=0.8, alpha=0.6)
    axes.plot(by_seed.index, by_seed.mean(axis="columns"), color=colour, linewidth=2.2)


NO_ENTROPY = "no policy entropy was scored"
NO_CHAINS = "no entropy of chains was archived"
ENTROPY_ROWS = {
    "all responses, ends included": policy_entropy.WITH_END,
    "chains, without ends": policy_entropy.CHAINS,
}


def draw_entropy(results: Results) -> Figure:
    """Policy entropy of every arm by scope, and its change from positive-only SFT, on two sets of tokens."""
    experiment = results.experiment
    colours = arm_colours(experiment)
    rows = [
        (domain, title, scope)
        for domain in experiment.domain_names
        for title in ENTROPY_ROWS
        for scope in policy_entropy.scopes_present(experiment, domain)
        if scope in SCOPES
    ]
    tested = {title: policy_entropy.changes(results, over) for title, over in ENTROPY_ROWS.items()}
    figure, grid = panels(len(rows), 2, 4.6, 0.8 + 0.42 * len(colours), sharey="row")
    for (level, change), (domain, title, scope) in zip(grid, rows, strict=True):
        over = ENTROPY_ROWS[title]
        levels = {
            arm: _Dot(middle)
            for arm in colours
            if (middle := policy_entropy.level(results, domain, arm, over, scope)) is not None
        }
        if len(levels) < len(colours):
            nothing = NO_ENTROPY if over == policy_entropy.WITH_END else NO_CHAINS
            say_nothing_to_draw(level, "not scored for all arms" if levels else nothing)
            say_nothing_to_draw(change, "no change to show")
            continue
        _dots(level, levels, colours, 3)
        level.set_title(titled(results, f"{SCOPE_TITLES[scope]}: {title}", domain))
        level.set_xlabel("nats per token")
        if experiment.reference_arm is None:
            say_nothing_to_draw(change, "no arm of positives only to compare with")
            continue
        compared = {
            arm: found
            for (of_domain, arm, of_scope), found in tested[title].items()
            if (of_domain, of_scope) == (domain, scope)
        }
        _dots(change, _change_dots(levels, compared, experiment.reference_arm), colours, 1, signed=True)
        change.axvline(0, color=MUTED, linestyle="--", linewidth=1, zorder=1)
        change.set_title(f"Change against {experiment.reference_arm}")
        change.set_xlabel("%")
    return figure


def _change_dots(
    levels: dict[str, _Dot], compared: dict[str, measures.Comparison], reference: str
) -> dict[str, _Dot]:
    """The change of every arm against the reference, in percent of it."""
    dots = {}
    for arm in levels:
        own, other = (np.array(levels[name].middle.by_seed) for name in (arm, reference))
        relative = 100 * (own / other - 1)
        comparison = compared.get(arm)
        middle = Estimate(relative.mean(), None, None, None, len(relative))
        if comparison is not None:
            middle = comparison.difference
        middle = replace(middle, by_seed=tuple(relative))
        dots[arm] = _Dot(middle, bool(comparison and comparison.sign))
    return dots


def draw_entropy_positions(results: Results) -> Figure:
    """Policy entropy by tenth of the response, on responses with a chain: one line per arm."""
    colours, domains = arm_colours(results.experiment), results.experiment.domain_names
    dashes = arm_dashes(results.experiment)
    figure, grid = panels(len(domains), 1, 7.5, 3.4)
    for axes, domain in zip(grid[:, 0], domains, strict=True):
        for arm, colour in colours.items():
            found = [policy_entropy.level(results, domain, arm, over) for over in policy_entropy.CHAIN_TENTHS]
            tenths = {place: own.mean for place, own in enumerate(found, 1) if own is not None}
            if tenths:
                axes.plot(
                    tenths.keys(), tenths.values(), color=colour, linestyle=dashes[arm], linewidth=1.8,
                    marker="o", markersize=3.5,
                )  # fmt: skip
        if not axes.lines:
            say_nothing_to_draw(axes, NO_CHAINS)
            continue
        axes.set_title(titled(results, "Policy entropy by position", domain))
        axes.set_xlabel("tenth of the response")
        axes.set_xticks(range(1, len(policy_entropy.CHAIN_TENTHS) + 1))
        axes.set_ylabel("nats per token")
    legend(figure, colours, dashes=dashes)
    return figure


# --- curves ---------------------------------------------------------------------------------------


def draw_sft_curves(results: Results) -> Figure:
    """Training loss over the optimiser steps, one line per arm."""
    experiment = results.experiment
    colours, domains, dashes = arm_colours(experiment), experiment.domain_names, arm_dashes(experiment)
    figure, grid = panels(len(domains), 1, 7.5, 3.4)
    for axes, domain in zip(grid[:, 0], domains, strict=True):
        for arm in experiment.arms:
            loss = _mean_by_step(_logs(results, domain, arm), "sample_loss")
            _curve(axes, loss, colours[arm], dashes[arm])
        axes.set_title(titled(results, "Training loss", domain))
        axes.set_xlabel("optimiser step")
        axes.set_ylabel("loss, nats per token")
    legend(figure, {arm: colours[arm] for arm in experiment.arms}, dashes=dashes)
    return figure


def _logs(results: Results, domain: str, arm: str) -> pd.DataFrame:
    logs = [results.log(Run("sft", domain, arm, seed)) for seed in results.experiment.seeds]
    return pd.concat(logs, ignore_index=True)


def _mean_by_step(log: pd.DataFrame, key: str) -> pd.Series:
    return log.groupby("step")[key].mean().dropna()


def _curve(axes: Axes, values: pd.Series, colour: str, style: Dash) -> None:
    """The values faint, and smoothed by a centred moving average over a tenth of them."""
    window = max(1, round(len(values) / 10))
    smooth = values.rolling(window, center=True, min_periods=1).mean()
    axes.plot(values.index, values, color=colour, linewidth=0.7, alpha=0.28)
    axes.plot(smooth.index, smooth, color=colour, linestyle=style, linewidth=1.8)
    axes.margins(x=0.02)


DRAWERS: dict[str, Callable[[Results], Figure]] = {
    "response_types": draw_response_types,
    "main": draw_main,
    "suites": draw_suites,
    "pass_at_k": draw_pass_at_k,
    "grpo_curves": draw_grpo_curves,
    "entropy": draw_entropy,
    "entropy_positions": draw_entropy_positions,
    "loss_dynamics": draw_loss_dynamics,
    "epochs": draw_epochs,
    "weights": draw_weights,
    "sft_curves": draw_sft_curves,
}
