"""What R/tables/questions.parquet holds, for those who compute tables again from it.

Its columns and hash, and the hash of every archive of answers that it was made from.
"""

from typing import Any

import pandas as pd

from glow.evaluation.metrics import TENTHS
from glow.files.hashing import hash_path
from glow.reporting.results import Results, tenth_column

SAMPLES = "samples.jsonl.gz"
COLUMNS = {
    "kind": "base (the student before fine-tuning), sft or grpo",
    "domain": "training domain; empty for the base, which has none",
    "name": "arm, or for grpo the model that it started from; base for the base",
    "seed": "seed of training and sampling; for the base, of sampling alone",
    "suite": "name of the suite",
    "problem_id": "the question, by the id that it has in suites/<suite>.jsonl",
    "samples": "how many responses the model gave to the question",
    "correct": "share of them that are right, from 0 to 1",
    "truncated": "share that was cut off at the token limit",
    "unparsed": "share that states no answer",
    "unjudged": "share that got no verdict within the limits of time and memory",
    "bare": "share that states an answer and nothing else",
    "chain": "share with a chain of thought: neither truncated nor unparsed nor bare",
    "lenient": "share in whose answer something is overlooked (docs/verdicts.md)",
    "tokens": "mean length of the responses in tokens; missing where choices were scored",
    "entropy": "policy entropy, summed over the tokens that were scored, in nats",
    "entropy_tokens": "how many tokens were scored",
    "entropy_without_end": "the same sum without the ends of turns",
    "tokens_without_end": "how many tokens that is over",
    "chain_entropy": "the same sum over responses with a chain alone",
    "chain_tokens": "how many tokens that is over",
    "chains": "how many of the scored responses have a chain",
    **{
        tenth_column(tenth): f"the part of chain_entropy in tenth {tenth + 1} of each response"
        for tenth in range(TENTHS)
    },
}
BY_K = {
    "pass": "unbiased estimate of the chance that at least one of {k} responses is right",
    "maj": "chance that the most frequent answer of {k} responses is right",
}
"""What a column is whose name ends in @k."""


def description(results: Results, questions: pd.DataFrame) -> dict[str, Any]:
    """What questions.json says of questions.parquet, which must be there.

    Args:
        questions: what is in questions.parquet.
    """
    archives = [results.evaluation(run) / SAMPLES for run in results.models]
    return {
        "file": results.questions_file.name,
        "sha256": hash_path(results.questions_file),
        "rows": len(questions),
        "columns": {column: _meaning(column) for column in questions.columns},
        "made_from": {str(file.relative_to(results.root)): hash_path(file) for file in archives},
    }


def _meaning(column: str) -> str:
    name, _, k = column.partition("@")
    return BY_K[name].format(k=k) if k else COLUMNS[column]
