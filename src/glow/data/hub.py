"""Rows of hub data sets, at a pinned commit."""

from collections.abc import Iterator

from glow.errors import UserError
from glow.files.user_rows import Row


def hub_rows(dataset: str, revision: str, config: str | None, split: str) -> Iterator[Row]:
    """The rows of one configuration and split of a hub data set at a commit; nothing of it is executed.

    Raises:
        UserError: it cannot be fetched.
    """
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError

    try:
        rows = load_dataset(dataset, config, split=split, revision=revision)
    except (OSError, ValueError, DatasetsError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"hub data set {dataset} ({config or 'default'}, {split}) at {revision[:8]} cannot be read: "
            f"{reason}; check name and network, or give the rows as a local `file`"
        ) from None
    for number, record in enumerate(rows, start=1):
        yield Row(f"{dataset}/{config or 'default'}/{split}:{number}", record)
