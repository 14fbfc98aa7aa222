"""`glow plan`, and what of it `glow check` says: from options to a question, and from a plan to what is
printed.
"""

import sys
from dataclasses import replace
from pathlib import Path

from glow.config import Experiment
from glow.errors import UserError
from glow.planning.constants import assumed, device
from glow.planning.fit import Machine
from glow.planning.kinds import Kinds, Question
from glow.planning.needs import needs
from glow.planning.plan import planned
from glow.planning.printing import csv_rows, text_of, write_csv
from glow.planning.resources import Profile, read_profile


def machine_of(gpu: str, nodes: int | None, per_node: int | None) -> Machine:
    """What is planned for; a node has as many devices as such nodes have, unless that is said.

    Without `nodes` it is one for now, and there may be more.

    Raises:
        UserError: no such device, or numbers below 1.
    """
    found = device(gpu)
    number = found.per_node if per_node is None else per_node
    for option, value in (("--nodes", nodes), ("--gpus-per-node", number)):
        if value is not None and value < 1:
            raise UserError(f"{option} {value}: give at least 1")
    return Machine(found, nodes or 1, number, is_open=nodes is None and not found.is_cpu)


def _read(folder: Path | None, given: list[str] | None) -> Profile:
    """The profile; with a word of it where `--set-resources` takes the place of what it says."""
    profile = read_profile(folder, given or [])
    if profile.is_replaced:
        print(
            f"--set-resources takes the place of all set-resources of {folder}, in Snakemake as here: "
            "to change some of them, edit a copy of it",
            file=sys.stderr,
        )
    return profile


def _on_enough_nodes(question: Question) -> Question:
    """The question for as many nodes as the largest job asks for."""
    nodes = max((kind.fit.nodes for kind in Kinds(question).all if kind.fit is not None), default=1)
    return replace(question, machine=replace(question.machine, nodes=nodes))


def print_plan(  # noqa: PLR0913, PLR0917 (the options of the command)
    experiment: Experiment,
    gpu: str,
    nodes: int | None = None,
    per_node: int | None = None,
    profile: Path | None = None,
    set_resources: list[str] | None = None,
    assume: list[str] | None = None,
    results: Path | None = None,
    csv: Path | None = None,
) -> None:
    """Print the plan of a study, and write it as CSV where that is asked.

    Args:
        gpu: a device of `constants.yaml`.
        nodes: how many; as many as the largest job asks for, where that is not said.
        per_node: GPUs of a node, or cores.
        results: where what the study found out already is read (default: results/<name>).

    Raises:
        UserError: something does not fit, or an option is no value.
    """
    question = Question(
        experiment=experiment,
        machine=machine_of(gpu, nodes, per_node),
        profile=_read(profile, set_resources),
        results=results or Path("results") / experiment.name,
        assumed=assumed(assume or []),
    )
    if results is not None and not results.is_dir():
        raise UserError(f"--results {results}: no such folder")
    plan = planned(question if nodes is not None else _on_enough_nodes(question))
    print(text_of(plan))
    if csv is not None:
        write_csv(csv, csv_rows(plan))
        print(f"\n{csv}: {len(plan.rows)} rows")


def check_memory(
    experiment: Experiment,
    gpu: str | None,
    nodes: int | None,
    profile: Path | None,
    set_resources: list[str] | None,
) -> tuple[list[str], list[str]]:
    """Lines for `glow check`: whether all fits on a device, or what a device must have where none is named.

    Returns:
        What is to be said, and what does not fit.

    Raises:
        UserError: an option is no value, or the shape of a model is not known where a device is named.
    """
    given = _read(profile, set_resources)
    results = Path("results") / experiment.name
    if gpu is None:
        if profile is not None or set_resources:
            raise UserError("--profile and --set-resources are for --gpu: name the device too (--gpu h100)")
        return needs(experiment, results), []
    machine = machine_of(gpu, nodes, None)
    question = Question(experiment, machine, given, results, assumed([]))
    question = question if nodes is not None else _on_enough_nodes(question)
    refused = Kinds(question).refused()
    fits = f"every job fits on {question.machine.text}; `glow plan` says what it costs"
    return ([], [refused]) if refused else ([fits], [])
