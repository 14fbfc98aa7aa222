"""Which suites a mean is over: in-domain, out of domain (OOD), and the groups of the latter; and those whose
steps are known.

The configuration alone decides it. Nothing heavy is imported here, as the workflow asks for captions.
"""

from glow.config import Experiment

IN_DOMAIN = "in_domain"
OOD = "ood"
SCOPES = (IN_DOMAIN, OOD)
MEANS = {IN_DOMAIN: "ID mean", OOD: "OOD mean"}
"""Scope -> the heading of the mean over its suites."""
SCOPE_TITLES = {IN_DOMAIN: "In-domain", OOD: "Out of domain"}
"""Scope -> the title of what is about its suites."""


def scope_suites(experiment: Experiment, domain: str) -> dict[str, list[str]]:
    """The suites that are in-domain for `domain`, and all others (out of domain), in file order."""
    inside = [name for name, suite in experiment.suites.items() if suite.domain == domain]
    return {IN_DOMAIN: inside, OOD: [name for name in experiment.suites if name not in inside]}


def group_suites(experiment: Experiment, domain: str) -> dict[str, list[str]]:
    """The OOD suites of each group (`Suite.group`) by column `ood_<group>`; none where there is one."""
    groups: dict[str | None, list[str]] = {}
    for name in scope_suites(experiment, domain)[OOD]:
        groups.setdefault(experiment.suites[name].group, []).append(name)
    if len(groups) < 2:
        return {}
    return {f"{OOD}_{group}": names for group, names in groups.items() if group is not None}


def mean_columns(experiment: Experiment, domain: str) -> dict[str, list[str]]:
    """The columns that are means over suites, with their suites: scopes that hold any, then OOD groups."""
    scopes = {scope: suites for scope, suites in scope_suites(experiment, domain).items() if suites}
    return scopes | group_suites(experiment, domain)


def mean_columns_present(experiment: Experiment) -> list[str]:
    """The columns that are means over suites for at least one training domain."""
    by_domain = [mean_columns(experiment, domain) for domain in experiment.domain_names]
    found = dict.fromkeys(column for columns in by_domain for column in columns)
    return [scope for scope in SCOPES if scope in found] + [key for key in found if key not in SCOPES]


def mean_heading(column: str) -> str:
    """The heading of a mean over suites: of a scope, or of a group of OOD suites (`OOD general`)."""
    return MEANS.get(column) or f"OOD {column.removeprefix(f'{OOD}_')}"


def suites_with_steps(experiment: Experiment) -> list[str]:
    """The suites of procedural families that models answer in words: whether a step holds is known there."""
    return [name for name, suite in experiment.suites.items() if suite.families and suite.format != "choice"]


def domains_with_steps(experiment: Experiment) -> list[str]:
    """The training domains whose trajectories answer questions of procedural families."""
    return [name for name, domain in experiment.domains.items() if domain.problems.families]
