"""Memory of the host, on the node that needs most: the first.

Weights are read on it, the whole model is gathered on it to be saved, offloaded shares live there, and each
process has the rows that it trains on. Tokenised data are files that are mapped, and count for nothing.
"""

from glow.config import TrainingHardware
from glow.planning.constants import Device, constant
from glow.planning.memory import Need, Training

_ROW_COPIES = 3
"""How often a process has the text of its rows: as read, as a conversation, as a data set."""


def training_host(
    training: Training, hardware: TrainingHardware, device: Device, text: float, saved: int
) -> Need:
    """Bytes of the host's memory of a training.

    Args:
        text: bytes of all trajectories that it reads.
        saved: bytes of a number in the saved model.
    """
    each, local = training.shape.parameters, hardware.devices
    weights = 4.0 if training.weights.lora is None or not training.bf16 else 2.0
    alone = hardware.processes == 1
    readers = {"fsdp2": 1.0, "zero3": 1.0 if alone else local / hardware.processes}.get(
        hardware.sharding, local
    )
    loading = weights * each * readers
    whole = training.weights.lora is None
    gathered = hardware.sharding in ("fsdp2", "zero3") and not alone
    saving = ((4 if gathered else 0) + (saved if saved < 4 or not gathered else 0)) * each if whole else 0.0
    process = constant("cpu_train_process_bytes" if device.is_cpu else "gpu_process_bytes")
    # What is read has gone to the devices before anything is saved.
    return Need(
        {
            "processes": round(process * local),
            "weights": round(0 if device.is_cpu else max(loading, saving)),
            "offloaded": round(_offloaded(training, hardware)),
            "rows": round(_ROW_COPIES * text * local),
        }
    )


def _offloaded(training: Training, hardware: TrainingHardware) -> float:
    if not hardware.offload:
        return 0.0
    of_each = {"fsdp2": 16.0, "zero2": 12.0, "zero3": 16.0}[hardware.sharding]
    frozen = training.frozen_bytes if hardware.sharding != "zero2" else 0.0
    return (of_each * training.trained + frozen) / hardware.nodes


def sampling_host(processes: int, device: Device, text: float) -> Need:
    """Bytes of the host's memory of a job that samples; `text` is that of all its responses."""
    process = constant("cpu_sample_process_bytes" if device.is_cpu else "gpu_process_bytes")
    return Need(
        {
            "processes": round(process * (processes + 1 if not device.is_cpu else 1)),
            "rows": round(_ROW_COPIES * text),
        }
    )
