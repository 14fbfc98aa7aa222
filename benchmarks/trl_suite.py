"""TRL's own tests of its SFTTrainer, with TRL's trainer and with ours in its place.

    git clone https://github.com/huggingface/trl /tmp/trl
    python benchmarks/trl_suite.py --trl /tmp/trl
    python benchmarks/trl_suite.py --trl /tmp/trl --revision v1.9.0 --select test_train_moe

None of TRL's code is here: tests, and the scripts that make their data sets, are read from a clone. Take the
tag of the installed version, or the nearest. The tests name models of the hub; tiny ones of the same
architectures, with TRL's chat templates and a tokenizer that is trained on the tests' texts, stand in for
them, so nothing is downloaded. Text only; what needs a GPU, a package that is missing, or other stand-ins
fails or is skipped with TRL's trainer too, and does not count. The table goes to
benchmarks/results/trl_suite.md.
"""

import argparse
import os
import runpy
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import datasets
import torch
import transformers
import trl
from options import new_parser
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

HERE = Path(__file__).resolve().parent
RESULT = HERE / "results" / "trl_suite.md"
TESTS = "tests/test_sft_trainer.py"
SELECTED = "TestSFTTrainer and not TestSFTTrainerSlow and not vlm and not liger"
OWNER = "trl-internal-testing"
COMMIT = "0" * 40
"""The stand-ins' commit, as a cache of the hub names it."""

SIZES = {
    "hidden_size": 8,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_hidden_layers": 2,
    "intermediate_size": 32,
}
EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 32}


@dataclass(frozen=True)
class StandIn:
    """A tiny model in the place of one of the hub.

    Attributes:
        architecture: prefix of transformers' classes.
        template: one of TRL's chat templates, or None.
        end: the token that ends a turn.
        config: settings beside SIZES.
    """

    architecture: str
    template: str | None
    end: str
    config: Mapping[str, Any]


MODELS = {
    "tiny-Cohere2ForCausalLM": StandIn("Cohere2", "cohere2", "<|END_OF_TURN_TOKEN|>", {"logit_scale": 1.0}),
    "tiny-Glm4MoeForCausalLM": StandIn(
        "Glm4Moe", "glm4moe", "<|endoftext|>", {**EXPERTS, "n_routed_experts": 4, "head_dim": 2}
    ),
    "tiny-GptOssForCausalLM": StandIn(
        "GptOss", "gptoss", "<|return|>", {"num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": 2}
    ),
    "tiny-Qwen2ForCausalLM-2.5": StandIn("Qwen2", "qwen2_5", "<|im_end|>", {}),
    "tiny-Qwen3ForCausalLM": StandIn("Qwen3", "qwen3", "<|im_end|>", {"head_dim": 2}),
    "tiny-Qwen3MoeForCausalLM": StandIn(
        "Qwen3Moe", "qwen3", "<|im_end|>", {**EXPERTS, "num_experts": 4, "head_dim": 2}
    ),
    "tiny-NemotronHForCausalLM-nano": StandIn(
        "NemotronH",
        "nemotron_3_nano",
        "<|im_end|>",
        {
            **EXPERTS,
            "hidden_size": 16,
            "layers_block_type": ["mamba", "attention", "moe"],
            "mamba_num_heads": 8,
            "mamba_head_dim": 4,
            "mamba_n_groups": 1,
            "ssm_state_size": 16,
            "mamba_d_conv": 4,
            "mamba_expand": 2,
            "n_routed_experts": 4,
            "moe_shared_expert_intermediate_size": 32,
            "use_mamba_kernels": False,
        },
    ),
    "tiny-Olmo3ForCausalLM": StandIn("Olmo3", None, "<|endoftext|>", {}),
    "tiny-Lfm2ForCausalLM": StandIn(
        "Lfm2", "lfm2", "<|im_end|>", {"full_attn_idxs": [1], "block_multiple_of": 8}
    ),
    "tiny-Lfm2ForCausalLM-2.5": StandIn(
        "Lfm2", "lfm2_2_5", "<|im_end|>", {"layer_types": ["conv", "full_attention"], "block_multiple_of": 8}
    ),
    "tiny-GPTNeoXForCausalLM": StandIn("GPTNeoX", None, "<|endoftext|>", {}),
    "tiny-RemoteForCausalLM": StandIn("Llama", "llama3_2", "<|eot_id|>", {}),
    "Qwen/Qwen3-4B": StandIn("Qwen3", "qwen3", "<|im_end|>", {"head_dim": 2}),
}
"""By name on the hub; without an owner, TRL's."""

OUR_ERROR = "glow.errors.UserError: "
SCRIPTS = ("generate_zen_dataset.py", "generate_harmony_dataset.py", "generate_toolcall_dataset.py")


# --- stand-ins ------------------------------------------------------------------------------------


def make_data(scripts: Path, folder: Path) -> list[str]:
    """Run TRL's scripts for their data sets, which are saved here instead of sent; their texts."""
    texts: list[str] = []

    def save(data: datasets.DatasetDict, name: str, config_name: str) -> None:
        data.save_to_disk(str(folder / name / config_name))
        texts.extend(str(row) for part in data.values() for row in part)

    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()
    datasets.DatasetDict.push_to_hub = save
    for script in SCRIPTS:
        name = script.removeprefix("generate_").removesuffix("_dataset.py")
        runpy.run_path(str(scripts / script))["main"](0.1, True, f"{OWNER}/{name}")
    return texts


def make_tokenizer(texts: list[str], stand_in: StandIn) -> transformers.PreTrainedTokenizerFast:
    """Byte-level BPE of the tests' texts, so that their words are a few tokens each."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<pad>", stand_in.end]
    trainer = trainers.BpeTrainer(
        vocab_size=2000,
        special_tokens=list(dict.fromkeys(special)),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=stand_in.end, pad_token="<pad>"
    )
    if stand_in.template is not None:
        templates = Path(trl.__file__).parent / "chat_templates"
        fast.chat_template = (templates / f"{stand_in.template}.jinja").read_text(encoding="utf-8")
    return fast


def make_model(name: str, stand_in: StandIn, texts: list[str], remote_code: Path, hub: Path) -> None:
    """Put a model into a cache of the hub, as if it had been downloaded."""
    full_name = name if "/" in name else f"{OWNER}/{name}"
    place = hub / f"models--{full_name.replace('/', '--')}"
    folder = place / "snapshots" / COMMIT
    tokenizer = make_tokenizer(texts, stand_in)
    config = getattr(transformers, f"{stand_in.architecture}Config")(
        **{**SIZES, **stand_in.config},
        vocab_size=len(tokenizer),
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    model = getattr(transformers, f"{stand_in.architecture}ForCausalLM")(config)
    if "Remote" in name:
        classes = {
            "AutoConfig": "configuration_remote.RemoteConfig",
            "AutoModelForCausalLM": "modeling_remote.RemoteForCausalLM",
        }
        model.config.auto_map = classes
        shutil.copytree(remote_code, folder)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if "Remote" in name:
        saved = folder / "config.json"
        text = saved.read_text(encoding="utf-8").replace("LlamaForCausalLM", "RemoteForCausalLM")
        saved.write_text(text.replace('"model_type": "llama"', '"model_type": "remote"'), encoding="utf-8")
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(COMMIT, encoding="utf-8")


# --- running --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """What became of a test: `passed`, `skipped` or `failed`, and the text of its error."""

    state: str
    error: str = ""

    @property
    def is_refusal(self) -> bool:
        """Whether our trainer said in a line why it does not do what the test asks."""
        return self.error.startswith(OUR_ERROR) or "set objective instead" in self.error

    @property
    def does_more(self) -> bool:
        """Whether the test wants something to be refused, and our trainer does it."""
        return self.error.startswith("Failed: DID NOT RAISE")

    @property
    def shown(self) -> str:
        """The error as a cell of a table."""
        if self.does_more:
            return "is done, and not refused"
        text = self.error.removeprefix(OUR_ERROR).removeprefix("ValueError: ")
        text = " ".join(" ".join(text.splitlines()[:2]).split())  # the second line has the reason or the mend
        return text.replace("|", "\\|").replace("<", "\\<")


def run_tests(checkout: Path, work: Path, trainer: str, select: str) -> dict[str, Outcome]:
    """Run the tests with a trainer, `trl` or `glow`; their outcomes by name."""
    report = work / f"{trainer}.xml"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "TRL_STAND_INS": str(work / "data"),
        "TRL_TRAINER": trainer,
        "HF_HOME": str(work / "home"),
        "HF_HUB_CACHE": str(work / "hub"),
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "trl_in_place", "-p", "no:cacheprovider"]
    options = ["-k", select, f"--junitxml={report}", "--tb=short", TESTS]
    subprocess.run([*command, *options], cwd=checkout, env=environment, check=False)
    return {case.attrib["name"]: _outcome(case) for case in ElementTree.parse(report).iter("testcase")}


def _outcome(case: ElementTree.Element) -> Outcome:
    for state, tags in (("skipped", ("skipped",)), ("failed", ("failure", "error"))):
        for tag in tags:
            if (found := case.find(tag)) is not None:
                return Outcome(state, found.attrib.get("message", "").strip())
    return Outcome("passed")


def written(theirs: dict[str, Outcome], ours: dict[str, Outcome], revision: str) -> str:
    """The table of both, and each test that does not pass with ours, with the reason."""
    counted = {name: ours[name] for name, outcome in theirs.items() if outcome.state == "passed"}
    others = {name: outcome for name, outcome in counted.items() if outcome.state != "passed"}
    refused = sum(outcome.is_refusal for outcome in others.values())
    more = sum(outcome.does_more for outcome in others.values())
    versions = f"TRL {trl.__version__}, transformers {transformers.__version__}"
    lines = [
        f"{versions}; tests of TRL's repository, {revision}",
        "",
        "| Tests | |",
        "|---|---|",
        f"| pass with TRL's trainer | {len(counted)} |",
        f"| of these pass with ours | {len(counted) - len(others)} |",
        f"| ask for what ours refuses, and says why | {refused} |",
        f"| want a refusal of what ours does | {more} |",
        f"| fail | {len(others) - refused - more} |",
        "",
        "| Test | With ours |",
        "|---|---|",
        *(f"| `{name}` | {outcome.shown} |" for name, outcome in others.items()),
        "",
        "Not counted, as they do not pass with TRL's trainer here: "
        + (", ".join(f"`{name}`" for name, outcome in theirs.items() if outcome.state != "passed") or "none"),
    ]
    return "\n".join(lines) + "\n"


def parser() -> argparse.ArgumentParser:
    options = new_parser(__doc__)
    options.add_argument("--trl", type=Path, required=True, help="a clone of TRL's repository")
    options.add_argument("--revision", default="HEAD", help="a tag or commit of it (%(default)s)")
    options.add_argument("--select", default="", help="only tests with this in their names; writes no file")
    options.add_argument("--work", type=Path, help="keep stand-ins and reports in this folder")
    return options


def main() -> None:
    given = parser().parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = (given.work or Path(temporary)).resolve()
        checkout = work / "checkout"
        git = ["git", "-C", str(given.trl)]
        revision = subprocess.check_output([*git, "describe", "--always", given.revision], text=True).strip()
        if not checkout.exists():
            checkout.mkdir(parents=True)
            wanted = [given.revision, "tests", "scripts", "pyproject.toml"]
            archive = subprocess.run([*git, "archive", *wanted], check=True, capture_output=True).stdout
            subprocess.run(["tar", "-x", "-C", str(checkout)], input=archive, check=True)
            texts = make_data(checkout / "scripts", work / "data")
            remote_code = checkout / "scripts/generate_tiny_models/for_causal_lm/_remote_code"
            for name, stand_in in MODELS.items():
                make_model(name, stand_in, texts, remote_code, work / "hub")
        select = f"{SELECTED} and ({given.select})" if given.select else SELECTED
        theirs, ours = (run_tests(checkout, work, trainer, select) for trainer in ("trl", "glow"))
        table = written(theirs, ours, revision)
        print(table)
        if not given.select:
            RESULT.write_text(table, encoding="utf-8")


if __name__ == "__main__":
    main()
