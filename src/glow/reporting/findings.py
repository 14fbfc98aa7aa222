"""The findings of an experiment in plain sentences, and whether they agree with what was published.

Every sentence is made from estimates of `measures`, `losses`, `policy_entropy`, `dynamics` and `grpo`, by
`accuracy_findings` and `training_findings`. A headline states a difference only where one remains after
correction for the number of comparisons: never from a tie, and never with a single seed. The claims are those
of the paper's abstract and first version (docs/paper.md); none is assumed to hold here.
"""

from dataclasses import replace

from glow.reporting import accuracy_findings as accuracy
from glow.reporting import training_findings as training
from glow.reporting.finding_words import Finding
from glow.reporting.results import Results

FINDERS = (
    accuracy.stated,
    accuracy.glow_ood,
    accuracy.negatives_ood,
    accuracy.base_ood,
    accuracy.in_domain,
    training.loss,
    training.entropy,
    training.weights,
    accuracy.after_grpo,
)
"""What each finds of a training domain, in the order of the report."""


def find(results: Results) -> list[Finding]:
    """The findings of an experiment, domain by domain."""
    several = len(results.experiment.domain_names) > 1
    return [
        replace(found, headline=f"{domain}: {found.headline}") if several else found
        for domain in results.experiment.domain_names
        for finder in FINDERS
        for found in finder(results, domain)
    ]
