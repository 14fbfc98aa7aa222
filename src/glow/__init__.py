"""glow: learning from negative reasoning trajectories (see README.md).

`GlowTrainer`, `GlowConfig`, `LossLedger` and `glow_weights` are the trainer, for use inside TRL. They
load when first asked for: the command line must not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from glow.training.ledger import LossLedger
    from glow.training.trainer import GlowTrainer
    from glow.training.trainer_config import GlowConfig
    from glow.training.weighting import glow_weights

__all__ = ["GlowConfig", "GlowTrainer", "LossLedger", "glow_weights"]


_HOMES = {
    "GlowConfig": "glow.training.trainer_config",
    "GlowTrainer": "glow.training.trainer",
    "LossLedger": "glow.training.ledger",
    "glow_weights": "glow.training.weighting",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
