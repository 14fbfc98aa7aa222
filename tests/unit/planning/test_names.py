"""planning.names: which rules and resources a profile may name."""

import re

import pytest
from five import ROOT

from glow.errors import UserError
from glow.planning.names import OF_EACH_STUDENT, RULES, refuse_unknown


def test_the_rules_are_those_of_the_workflow() -> None:
    files = [ROOT / "Snakefile", *(ROOT / "workflow" / "rules").glob("*.smk")]
    text = "\n".join(file.read_text() for file in files)
    named = set(re.findall(r"^ *rule (\w+):", text, flags=re.MULTILINE))
    of_students = set(re.findall(r'own\.rule\("(\w+)"\)', text))
    assert of_students == set(OF_EACH_STUDENT)
    assert named | of_students == set(RULES)


def test_the_resources_of_the_rules_are_known() -> None:
    text = "\n".join(file.read_text() for file in (ROOT / "workflow" / "rules").glob("*.smk"))
    sections = re.findall(r"^ +resources:\n((?: {8,}\w+=.*\n)+)", text, flags=re.MULTILINE)
    resources = {
        name for section in sections for name in re.findall(r"^ +(\w+)=", section, flags=re.MULTILINE)
    }
    assert {"gpu", "mem_mb", "sharding", "training"} <= resources
    for name in resources:
        refuse_unknown("sft", name, "here")


@pytest.mark.parametrize(
    ("rule", "resource", "why"),
    [
        ("sftt", "gpu", "here: rule 'sftt' is unknown; did you mean 'sft'?"),
        ("", "gpu", "here: rule '' is unknown; known: fetch, pretrain"),
        ("sft", "gpus", "here: sft: resource 'gpus' is unknown; did you mean 'gpu'?"),
        ("sft", "microbatch", "here: sft: resource 'microbatch' is unknown; did you mean 'micro_batch'?"),
        ("grpo", "vllm_max_model_len", "did you mean 'vllm_max_model_length'?"),
    ],
)
def test_a_misspelling_is_refused(rule: str, resource: str, why: str) -> None:
    with pytest.raises(UserError) as refused:
        refuse_unknown(rule, resource, "here")
    assert why in str(refused.value)


@pytest.mark.parametrize(
    ("rule", "resource"),
    [
        ("tables_qwen2.5-7b", "mem_mb"),
        ("sft", "slurm_account"),
        ("sft", "tasks_per_node"),
        ("sft", "gpu_model"),
        ("sft", "disk_mb"),
        ("fetch", "licences"),
    ],
)
def test_what_snakemake_or_a_user_names_passes(rule: str, resource: str) -> None:
    refuse_unknown(rule, resource, "here")
