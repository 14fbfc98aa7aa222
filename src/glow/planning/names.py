"""The rules and resources that a profile may name: a misspelt one would be of no effect, without a word."""

from difflib import get_close_matches

from glow.config import EngineHardware, GrpoEngineHardware, SftHardware, unknown
from glow.errors import UserError

STAGES = (
    "fetch",
    "pretrain",
    "scratch",
    "suite",
    "problems",
    "import_trajectories",
    "generate",
    "merge",
    "verify",
    "contamination",
    "arms",
    "select",
    "sft",
    "pass_rates",
    "grpo",
    "answer",
    "evaluate",
    "tables",
    "figures",
    "report",
    "students",
)
"""The rules that have jobs, in the order of a study, which has some of them."""

RULES = (*STAGES, "all", "fetched")
"""Every rule of the workflow."""

OF_EACH_STUDENT = ("tables", "figures", "report")
"""Rules that there are for each student, where there are several: `tables_qwen2.5-7b`."""

_OURS = (
    "gpu",
    "nodes",
    "processes",
    "mem_mb",
    "runtime",
    "training",
    "report_to",
    *(name for name in SftHardware.model_fields if name not in ("devices", "nodes")),
    *EngineHardware.model_fields,
    *GrpoEngineHardware.model_fields,
)
"""What our rules take, or limit."""

_OTHERS = (
    "mem",
    "mem_mib",
    "disk",
    "disk_mb",
    "disk_mib",
    "tmpdir",
    "threads",
    "mpi",
    "tasks",
    "tasks_per_gpu",
    "tasks_per_node",
    "cpus_per_task",
    "cpus_per_gpu",
    "node",
    "mem_mb_per_cpu",
    "gpu_model",
    "gres",
    "constraint",
    "qos",
    "cluster",
    "clusters",
    "reservation",
)
"""What Snakemake and its plugin for SLURM take (9.27, 2.8) besides; and all that begins with `slurm_`."""

_NEAR = 0.75
"""How alike a resource and one of ours are, that it is taken for a misspelling."""


def refuse_unknown(rule: str, resource: str, source: str) -> None:
    """Refuse a rule that is none, and a resource whose name is nearly one of ours.

    Others pass: a profile may limit what it likes (`resources: {licences: 3}`).

    Args:
        source: where it stands, for the message.

    Raises:
        UserError: says what was meant.
    """
    if rule not in RULES and not rule.startswith(tuple(f"{name}_" for name in OF_EACH_STUDENT)):
        raise UserError(f"{source}: rule {unknown(rule, list(RULES))}")
    if resource in (*_OURS, *_OTHERS) or resource.startswith("slurm_"):
        return
    if get_close_matches(resource, _OURS, n=1, cutoff=_NEAR):
        raise UserError(f"{source}: {rule}: resource {unknown(resource, list(_OURS))}")
