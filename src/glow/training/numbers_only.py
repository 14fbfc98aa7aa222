"""A checkpoint is read as numbers: what is pickled in it may name nothing but what states are made of.

transformers reads most of a checkpoint so. DeepSpeed's shares, and what FSDP2 says of its own, would be
unpickled whatever is in them: code, in a checkpoint that somebody else has made.
"""

import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from glow.errors import UserError

_FORCED = {"TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "0"}
"""What torch asks whenever it reads a file, for whomever."""

_METADATA = {
    ("collections", "OrderedDict"),
    ("pathlib", "PosixPath"),
    ("torch", "Size"),
    ("torch.serialization", "_get_layout"),
    *(("torch.distributed.checkpoint.metadata", name) for name in (
        "BytesStorageMetadata", "ChunkStorageMetadata", "Metadata", "MetadataIndex", "StorageMeta",
        "TensorProperties", "TensorStorageMetadata", "_MEM_FORMAT_ENCODING",
    )),
    ("torch.distributed.checkpoint.filesystem", "_StorageInfo"),
}  # fmt: skip
"""What the file `.metadata` of torch.distributed's checkpoints is made of, and numbers' formats."""


@contextmanager
def numbers_only(checkpoint: Path) -> Iterator[None]:
    """What is read in here of a checkpoint runs no code.

    Raises:
        UserError: the checkpoint has something that would.
    """
    for file in sorted(checkpoint.rglob(".metadata")):
        _refuse_foreign(file)
    before = {name: os.environ.get(name) for name in _FORCED}
    os.environ.update(_FORCED)
    try:
        with torch.serialization.safe_globals(_of_deepspeed(checkpoint)):
            yield
    except pickle.UnpicklingError as error:
        raise _foreign(checkpoint, _reason(str(error))) from None
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _of_deepspeed(checkpoint: Path) -> list[Any]:
    """The classes that DeepSpeed's shares are made of, where a checkpoint has such."""
    if find_spec("deepspeed") is None or not any(checkpoint.glob("*/*_states.pt")):
        return []
    from deepspeed.runtime.fp16 import loss_scaler
    from deepspeed.runtime.zero.config import ZeroStageEnum
    from deepspeed.utils.tensor_fragment import fragment_address

    return [ZeroStageEnum, fragment_address, loss_scaler.LossScaler, loss_scaler.DynamicLossScaler]


def _foreign(place: Path, found: str) -> UserError:
    return UserError(
        f"{place}: not read, as it may run code ({found}): no trainer here writes such; delete it, and go on "
        "from another checkpoint or train anew"
    )


def _reason(said: str) -> str:
    """What torch refused, of its long message."""
    return next((line.strip() for line in said.splitlines() if "GLOBAL" in line), said.splitlines()[0])[:200]


class _Inert:
    """Stands for all that a pickle names, and does nothing."""

    def __init__(self, *_: Any) -> None: ...

    def __setstate__(self, _: Any) -> None: ...

    def __setitem__(self, _: Any, __: Any) -> None: ...


class _Names(pickle.Unpickler):
    """Reads a pickle without making what it names, all of which must be known."""

    def find_class(self, module: str, name: str) -> Any:
        is_format = module == "torch" and isinstance(getattr(torch, name, None), torch.dtype)
        if is_format or (module, name) in _METADATA:
            return _Inert
        raise pickle.UnpicklingError(f"{module}.{name}")


def _refuse_foreign(file: Path) -> None:
    with file.open("rb") as stream:
        try:
            _Names(stream).load()
        except pickle.UnpicklingError as error:
            raise _foreign(file, str(error)) from None
        except Exception as error:  # of a damaged one any
            raise UserError(
                f"{file}: damaged ({type(error).__name__}: {error}); delete the checkpoint"
            ) from None
