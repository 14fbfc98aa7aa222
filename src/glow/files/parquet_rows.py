"""Rows of a Parquet file, a few at a time: the file may be larger than the memory, unpacked even more so."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from glow.errors import UserError
from glow.files.jsonl import Record
from glow.files.unpacked import LONGEST_LINE, ROW_COSTS, refuse_bomb

if TYPE_CHECKING:
    from pyarrow import RecordBatch
    from pyarrow.parquet import FileMetaData

AT_ONCE = 16
"""Rows that are unpacked at a time."""


def read_parquet(path: Path) -> Iterator[tuple[int, Record]]:
    """The rows of a Parquet file, each with its number (from 1).

    Raises:
        UserError: it is damaged, unpacks to many times its size, or has a row beyond `LONGEST_LINE` bytes.
    """
    import pyarrow  # Here, as `glow plan` needs none of it for rows of other kinds.
    from pyarrow import parquet

    size, taken, number = path.stat().st_size, 0, 0
    try:
        with parquet.ParquetFile(path) as table:
            refuse_bomb(path, size, _stated(table.metadata))
            for batch in table.iter_batches(batch_size=AT_ONCE):
                taken += batch.nbytes + ROW_COSTS * batch.num_rows
                refuse_bomb(path, size, taken)
                _refuse_long(batch, path, number)
                for record in batch.to_pylist():
                    number += 1
                    yield number, record
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"{path}: not a readable Parquet file ({error})") from None


def _stated(metadata: "FileMetaData") -> int:
    """Bytes that all rows take in memory at least, by what the file says of itself."""
    groups = range(metadata.num_row_groups)
    return ROW_COSTS * metadata.num_rows + sum(metadata.row_group(group).total_byte_size for group in groups)


def _refuse_long(batch: "RecordBatch", path: Path, before: int) -> None:
    if batch.nbytes <= LONGEST_LINE:
        return
    for row in range(batch.num_rows):
        if batch.slice(row, 1).nbytes > LONGEST_LINE:
            raise UserError(f"{path}:{before + row + 1}: a row of more than {LONGEST_LINE:,} bytes; split it")
