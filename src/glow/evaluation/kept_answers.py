"""What a model says to the questions of suites, apart from how it is judged, and kept as soon as it is said.

    answers/<suite>.jsonl.gz             all answers in the suite's order, when an evaluation has ended
    answers/<suite>.jsonl                those that an evaluation under way has added
    answers/shard-K-of-N/<suite>.jsonl   those that one shard has added (`glow answer`)

No rule of the workflow declares these files: they outlive a job that fails, and one that is repeated. What is
in them is not asked for again, unless it is of another run: what a model says depends on the model, the
prompt, the decoding, the seed and the suite; not on how it is judged, nor on how many samples there are.
"""

import glob
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from glow.config import AnswerSettings
from glow.data.problem_rows import suite_name
from glow.files.hashing import hash_path
from glow.files.kept_rows import KeptRows, SampleKey, read_kept, write_kept
from glow.files.same_run import Identity, run_identity
from glow.models.adapters import with_base
from glow.models.sampling import Completion
from glow.models.scoring import Score
from glow.models.templates import template_files

_CHANGES_NO_ANSWER = ("evaluation.samples", "evaluation.entropy_samples")


class SuiteAnswers:
    """The answers to one suite: completions, or for each question the log-likelihoods of its choices.

    Args:
        folder: the answers of an evaluation.
        suite: name of the suite.
        identity: of the run.
        part: the folder below it in which answers are added; "": the evaluation's own.

    Attributes:
        differs: in which ways some of the files there are of another run, in words.
    """

    def __init__(self, folder: Path, suite: str, identity: Identity, part: str) -> None:
        self._finished = folder / f"{suite}.jsonl.gz"
        self._growing = [folder / f"{suite}.jsonl", *sorted(folder.glob(f"*/{glob.escape(suite)}.jsonl"))]
        self._own = folder / part / f"{suite}.jsonl"
        self._added: KeptRows | None = None
        self._identity = identity
        self._rows: dict[SampleKey, Any] = {}
        self.differs: set[str] = set()
        for file in (self._finished, *self._growing):
            if file.exists():
                rows, differs = read_kept(file, identity)
                self._rows |= rows
                self.differs |= {differs} - {""}

    def __contains__(self, key: SampleKey) -> bool:
        return key in self._rows

    def completion(self, key: SampleKey) -> Completion | None:
        """The sampled answer, where there is one."""
        if key not in self._rows:
            return None
        said = dict(self._rows[key])
        del said["problem_id"], said["sample_index"]
        return Completion(**said)

    def choices(self, problem: str) -> list[tuple[float, bool]] | None:
        """(log-likelihood, whether greedy decoding gives it) of each choice, where the question is scored."""
        row = self._rows.get((problem, 0))
        return None if row is None else list(zip(row["log_likelihoods"], row["greedy"], strict=True))

    def keep_completion(self, key: SampleKey, completion: Completion) -> None:
        """Keep a sampled answer."""
        self._keep(key, asdict(completion))

    def keep_choices(self, problem: str, scores: Sequence[Score]) -> None:
        """Keep the scores of a question's choices."""
        likelihoods = [score.log_likelihood for score in scores]
        greedy = [score.greedy for score in scores]
        self._keep((problem, 0), {"log_likelihoods": likelihoods, "greedy": greedy})

    def _keep(self, key: SampleKey, said: dict[str, Any]) -> None:
        if self._added is None:
            self._added = KeptRows(self._own, self._identity)
            self._rows |= self._added.rows  # one copy in memory
        row = {"problem_id": key[0], "sample_index": key[1], **said}
        self._added.append(row)
        self._rows[key] = row

    def close(self) -> None:
        """Close the file to which answers were added; it stays."""
        if self._added is not None:
            self._added.close()

    def finish(self, problems: Sequence[str]) -> None:
        """Put all answers into one file, in the order of the suite's `problems`, and remove the others."""
        self.close()
        growing = [file for file in {*self._growing, self._own} if file.exists()]
        if self._finished.exists() and not growing:
            return
        places = {problem: place for place, problem in enumerate(problems)}
        order = sorted(self._rows, key=lambda key: (places[key[0]], key[1]))
        write_kept(self._finished, self._identity, (self._rows[key] for key in order))
        for file in growing:
            file.unlink()
            if not any(file.parent.iterdir()):
                file.parent.rmdir()


def answering_identity(model: Path, settings: AnswerSettings) -> Identity:
    """What a model's answers depend on beside their suite."""
    decisive = {
        "prompt": settings.prompt.decisive(),
        "evaluation": settings.evaluation.decisive(),
        "seed": settings.seed,
    }
    return run_identity(
        decisive, [*with_base(model), *template_files(settings.prompt)], leave_out=_CHANGES_NO_ANSWER
    )


def kept_answers(
    folder: Path, suites: Sequence[Path], identity: Identity, part: str = ""
) -> dict[str, SuiteAnswers]:
    """The answers to each suite, by its name; a note where some are of another run.

    Args:
        folder: the answers of the evaluation.
        identity: of the run, suites apart.
        part: the folder below it in which answers are added; "": the evaluation's own.
    """
    found = {
        suite_name(file): SuiteAnswers(folder, suite_name(file), {**identity, "suite": hash_path(file)}, part)
        for file in suites
    }
    for differs in sorted({differs for answers in found.values() for differs in answers.differs}):
        concerned = ", ".join(suite for suite, answers in found.items() if differs in answers.differs)
        print(f"{folder}: answers of another run ({differs}) are not used: {concerned}", file=sys.stderr)
    return found
