"""What is to be said of rows once all are read: each thing with how many rows, and the first of them."""

from collections.abc import Iterator


class Noted:
    """Counts what is legal in rows and yet worth a line."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._first: dict[str, str] = {}

    def add(self, what: str, place: str) -> None:
        """One more row of which this is to be said, and where it is."""
        self._counts[what] = self._counts.get(what, 0) + 1
        self._first.setdefault(what, place)

    def facts(self) -> dict[str, int]:
        """The counts, by what is said."""
        return dict(self._counts)

    def lines(self) -> Iterator[str]:
        """A line for each thing."""
        for what, count in self._counts.items():
            yield f"{what}: {count} (first: {self._first[what]})"
