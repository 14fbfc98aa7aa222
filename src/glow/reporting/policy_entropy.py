"""Policy entropy of a study's models, in-domain, out of domain and over all suites, and its changes.

From the frames of `results` to estimates over seeds and questions. Nothing here formats or writes. Suites
differ in their entropy, and in what training does to it, so changes are tested by scope. The change over all
suites stands beside them: it mixes what may differ, by how many tokens each suite has.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from glow.config import Experiment
from glow.evaluation.metrics import TENTHS
from glow.reporting.measures import Comparison, answers, compare, linear_parts, suite_strata
from glow.reporting.results import BASE, Results, tenth_column
from glow.reporting.scopes import SCOPES, scope_suites
from glow.reporting.statistics import Estimate, crossed

ALL = "all"
"""The scope of all suites."""


@dataclass(frozen=True)
class Tokens:
    """The tokens of scored responses that policy entropy is averaged over.

    Attributes:
        nats, count: columns of `results.questions`: sums over these tokens, and how many there are.
        share: what part of `count` they are.
    """

    nats: str
    count: str
    share: float = 1.0


WITH_END = Tokens("entropy", "entropy_tokens")
"""All tokens of all scored responses, and the ends of their turns where these were reached."""
WITHOUT_END = Tokens("entropy_without_end", "tokens_without_end")
"""The same without the ends."""
CHAINS = Tokens("chain_entropy", "chain_tokens")
"""The same of responses with a chain alone: what the form of answers cannot change."""
CHAIN_TENTHS = tuple(Tokens(tenth_column(tenth), "chain_tokens", 1 / TENTHS) for tenth in range(TENTHS))
"""The tenths of these, from the beginning of a response to its end."""


def scopes_present(experiment: Experiment, domain: str) -> list[str]:
    """The scopes that hold suites: in-domain, OOD, and all suites where both do."""
    suites = scope_suites(experiment, domain)
    found = [scope for scope in SCOPES if suites[scope]]
    return [*found, ALL] if len(found) > 1 else found


def level(
    results: Results, domain: str, name: str, over: Tokens = WITH_END, scope: str = ALL
) -> Estimate | None:
    """Policy entropy in nats per token, over seeds and questions; None where none was scored, or the archive
    does not tell these tokens apart."""
    scored = _nats_and_tokens(results, domain, name, over, scope)
    if scored is None:
        return None
    by_seed, departures = linear_parts(*scored)
    return crossed(*suite_strata(departures.add(by_seed, axis="index")))


def changes(results: Results, over: Tokens = WITH_END) -> dict[tuple[str, str, str], Comparison]:
    """Change of policy entropy against the reference arm, in percent of it, by (domain, arm, scope).

    Taken on the logarithm of the ratio, paired by question and seed, and turned into percent: the mean is
    that of the geometric mean over seeds, and no bound lies below -100 %. All arms (and the base), domains
    and both scopes are one family; `ALL` is in none (`overall_change`). Empty where there is no reference arm
    or no entropy was scored.
    """
    experiment, reference = results.experiment, results.experiment.reference_arm
    if reference is None:
        return {}
    family = {
        (domain, arm, scope): suite_strata(ratio)
        for domain in experiment.domain_names
        for arm in (BASE, *experiment.arms)
        for scope in scopes_present(experiment, domain)
        if scope in SCOPES
        and arm != reference
        and (ratio := _log_ratio(results, domain, arm, reference, over, scope)) is not None
    }
    return {key: _in_percent(found) for key, found in compare(family).items()}


def overall_change(results: Results, domain: str, name: str, over: Tokens = WITH_END) -> Estimate | None:
    """The same over all suites, which is not tested; None too where there is none."""
    reference = results.experiment.reference_arm
    if reference is None or name == reference:
        return None
    ratio = _log_ratio(results, domain, name, reference, over, ALL)
    if ratio is None:
        return None
    return _in_percent(compare({ALL: suite_strata(ratio)})[ALL]).difference


def chains_scored(results: Results, domain: str, name: str, scope: str = ALL) -> int | None:
    """How many scored responses of all seeds have a chain; None where an archive does not tell."""
    count = 0.0
    for seed in results.experiment.seeds:
        chains = results.questions(results.run("sft", domain, name, seed))["chains"]
        within = chains.index.get_level_values("suite").isin(_suites(results.experiment, domain, scope))
        count += chains[within].sum(skipna=False)
    return None if np.isnan(count) else int(count)


def is_divided(results: Results) -> bool:
    """Whether all archives tell the ends of turns apart, which those of earlier versions do not."""
    runs = (*results.runs("base"), *results.runs("sft"))
    return not any(results.questions(run)[WITHOUT_END.count].isna().any() for run in runs)


def _suites(experiment: Experiment, domain: str, scope: str) -> list[str]:
    return list(experiment.suites) if scope == ALL else scope_suites(experiment, domain)[scope]


def _nats_and_tokens(
    results: Results, domain: str, name: str, over: Tokens, scope: str
) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """Nats and tokens by seed and question, of the questions that were scored for every seed.

    A question may have none of the tokens that are asked for (its response has no chain): it then adds
    nothing to the two sums whose ratio the mean is.
    """
    every, nats, tokens = (
        answers(results, "sft", domain, name, key) for key in (WITH_END.count, over.nats, over.count)
    )
    within = _suites(results.experiment, domain, scope)
    scored = {suite: (every[suite] > 0).all(axis="index") for suite in every if suite in within}
    suites = [suite for suite, own in scored.items() if own.any()]
    if not suites or any(suite not in nats for suite in suites):
        return None
    summed, counted = (
        pd.concat({suite: table[suite].loc[:, scored[suite]] for suite in suites}, axis="columns")
        for table in (nats, tokens)
    )
    return (summed, over.share * counted) if (counted.sum(axis="columns") > 0).all() else None


def _log_ratio(
    results: Results, domain: str, name: str, reference: str, over: Tokens, scope: str
) -> pd.DataFrame | None:
    """Logarithm of the ratio of entropies by seed, with each question's part in its error."""
    own, other = (_nats_and_tokens(results, domain, arm, over, scope) for arm in (name, reference))
    if own is None or other is None:
        return None
    shared = own[0].columns.intersection(other[0].columns)
    if shared.empty:
        return None
    (own_level, parts), (base, base_parts) = (
        linear_parts(*(table[shared] for table in scored)) for scored in (own, other)
    )
    if (own_level <= 0).any() or (base <= 0).any():
        return None
    relative = parts.div(own_level, axis="index") - base_parts.div(base, axis="index")
    return relative.add(np.log(own_level / base), axis="index")


def _in_percent(found: Comparison) -> Comparison:
    """A comparison of logarithms as change in percent."""
    return replace(found, difference=found.difference.in_percent, relative=True)
