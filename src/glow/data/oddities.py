"""What is legal in users' trajectories and yet odd, with the place where it is first seen."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from glow.data.noted import Noted
from glow.errors import UserError, abbreviated
from glow.files.records import Trajectory


class Oddities:
    """Looks at trajectories one after another, and says in the end what is odd about them."""

    def __init__(self, empty: Sequence[Path], noted: Noted) -> None:
        self.empty, self.noted = empty, noted
        self.rows = 0
        self.repeated: list[str] = []
        self.bare: list[str] = []
        self.several_golds: dict[str, str] = {}
        self._seen: set[tuple[str, int]] = set()  # Hashes: the responses would fill the memory.
        self._golds: dict[str, tuple[str, str]] = {}

    def add(self, place: str, row: Trajectory) -> None:
        """Look at the next row."""
        self.rows += 1
        identity, gold = row["problem_id"], row["answer"].strip()
        response = hash(row["response"])
        if (identity, response) in self._seen:
            self.repeated.append(place)
        self._seen.add((identity, response))
        if not gold:
            return
        if gold == row["response"].strip():
            self.bare.append(place)
        first_gold, first_place = self._golds.setdefault(identity, (gold, place))
        if gold != first_gold:
            both = f"{abbreviated(first_gold, 40)} in {first_place}, {abbreviated(gold, 40)} in {place}"
            self.several_golds.setdefault(identity, both)

    def refuse(self) -> None:
        """Refuse rows whose gold answers are all the whole response: a key is mapped to the wrong thing."""
        if len(self.bare) == self.rows > 1:
            raise UserError(
                f"{self.bare[0]}: the gold answer is the whole response, as in all {self.rows} rows; map "
                "another key with trajectories.fields.answer (--answer) or .response (--response)"
            )

    def facts(self) -> dict[str, object]:
        """For the manifest."""
        return {
            "repeated_rows": len(self.repeated),
            "questions_with_several_gold_answers": len(self.several_golds),
            "rows_whose_gold_answer_is_the_response": len(self.bare),
            "empty_files": [str(path) for path in self.empty],
            **({"noted": noted} if (noted := self.noted.facts()) else {}),
        }

    def lines(self) -> Iterator[str]:
        """For the screen."""
        if self.repeated:
            yield (
                f"rows with question and response of an earlier row: {len(self.repeated)} (first: "
                f"{self.repeated[0]}); they are kept, so they count several times in training"
            )
        if self.several_golds:
            yield (
                f"questions with several gold answers: {len(self.several_golds)} (first: "
                f"{next(iter(self.several_golds.values()))}); each row is judged by its own"
            )
        if self.bare:
            yield (
                f"rows whose gold answer is the whole response: {len(self.bare)} (first: {self.bare[0]}); is "
                "the right key mapped?"
            )
        if self.empty:
            yield f"files without rows: {', '.join(map(str, self.empty))}"
        yield from self.noted.lines()
