"""The experiment, checked before anything runs, and the functions that name files and resources."""

import json
import sys
from pathlib import Path

from glow.experiment import load
from glow.errors import UserError
from glow.config.options import flags
from glow.reporting.captions import FIGURE_SUFFIXES, TABLE_SUFFIXES, figure_names, table_names


def load_experiment():
    """The configuration as typed sections; a mistake in it is printed and ends Snakemake with code 2."""
    source = ", ".join(str(file) for file in workflow.configfiles)
    try:
        return load(config, source)
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


experiment = load_experiment()

RESULTS = f"results/{experiment.name}"
LOGS = f"{RESULTS}/logs"
BENCHMARKS = f"{RESULTS}/benchmarks"
EVERY_RUN = {"domain": experiment.domain_names, "seed": experiment.seeds}

# `glow` and Python are those that run Snakemake, whether or not their folder is on the PATH. Rules
# whose stage may fetch say HF_HUB_OFFLINE=0 themselves; no other touches a network.
shell.prefix(
    f'set -euo pipefail; export PATH="{Path(sys.executable).parent}:$PATH" '
    "TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1; "
)


wildcard_constraints:
    seed=r"\d+",
    shard=r"\d+",
    domain="|".join(map(re.escape, experiment.domain_names)),
    arm="|".join(map(re.escape, experiment.arms)),
    init="|".join(map(re.escape, ["base", *experiment.arms])),
    suite="|".join(map(re.escape, experiment.suites)),


def options(*sections):
    """The sections as command-line options."""
    return " ".join(filter(None, map(flags, sections)))


# --- models -------------------------------------------------------------------------------------

MODELS = {"base": experiment.student} | ({"teacher": experiment.teacher} if experiment.domains else {})


def roles(source):
    """A wildcard constraint: the roles whose model comes from `source` (a key of config.Model)."""
    return "|".join(role for role, model in MODELS.items() if getattr(model, source)) or "none"


def model_path(role):
    """Where the model of a role is: the user's own directory, or one made here."""
    return str(MODELS[role].path or f"{RESULTS}/models/{role}")


def made_models():
    """The models made here: all but those used in place."""
    return [model_path(role) for role, model in MODELS.items() if model.path is None]


def is_large(model):
    """Whether a model wants a GPU: fetched ones, and your own of 2 GB and more."""
    if model.path is None:
        return model.hub is not None
    return sum(file.stat().st_size for file in model.path.glob("*.safetensors")) >= 2e9


def at_scale(role, small, large):
    """A resource by the size of the model of `role`; the experiment's own is set in a profile."""
    return large if is_large(MODELS[role]) else small


# --- data ---------------------------------------------------------------------------------------


def suite_files():
    """The problem files of all suites."""
    return expand(f"{RESULTS}/suites/{{suite}}.jsonl", suite=experiment.suites)


def local_rows(suite):
    """The local files that a suite is made from; none for families and for the hub."""
    return [file for file in (suite.file, suite.shots_file) if file is not None]


def shards(wildcards):
    """The trajectory files of a domain (one, when the user brings them)."""
    count = experiment.shards if experiment.trajectories is None else 1
    return [f"{RESULTS}/trajectories/{wildcards.domain}/shard-{shard}.jsonl.gz" for shard in range(count)]


def training_data(wildcards):
    """What a domain's models may be trained on: trajectories, and problems for the teacher and GRPO."""
    names = ["grpo.jsonl"] if experiment.trajectories is not None else ["train.jsonl", "grpo.jsonl"]
    return [*shards(wildcards), *(f"{RESULTS}/problems/{wildcards.domain}/{name}" for name in names)]


def domain_data():
    """Problems and trajectories of every domain."""
    if experiment.trajectories is not None:
        return rules.import_trajectories.output
    return [
        *expand(rules.problems.output, domain=experiment.domain_names),
        *expand(rules.generate.output, domain=experiment.domain_names, shard=range(experiment.shards)),
    ]


# --- training and evaluation --------------------------------------------------------------------


def selection(wildcards):
    """The trajectories that an arm trains on."""
    name = experiment.arms[wildcards.arm].trajectories
    return f"{RESULTS}/arms/{wildcards.domain}/seed-{wildcards.seed}/{name}.jsonl"


def objective(wildcards):
    """How an arm weights them."""
    return experiment.objectives[experiment.arms[wildcards.arm].objective]


def grpo_initialisations():
    """What GRPO starts from: the base and every arm; nothing when the experiment has no GRPO."""
    return ["base", *experiment.arms] if experiment.grpo else []


def trained_models():
    """The models to evaluate, as they are named below results/<name>/evaluation."""
    return [
        "base",
        *expand("sft/{domain}/{arm}", domain=experiment.domain_names, arm=experiment.arms),
        *expand("grpo/{domain}/{init}", domain=experiment.domain_names, init=grpo_initialisations()),
    ]


def trained_model(model, seed):
    """The directory of a model named as in `trained_models`."""
    return model_path("base") if model == "base" else f"{RESULTS}/{model}/seed-{seed}/model"


def measured():
    """What tables and figures are made of."""
    return [
        rules.experiment.output[0],
        *expand(rules.contamination.output, domain=experiment.domain_names),
        *expand(rules.verify.output.verdicts, domain=experiment.domain_names),
        *expand(rules.arms.output, **EVERY_RUN),
        *expand(
            [rules.sft.output.history, rules.sft.output.log, rules.sft.output.manifest],
            **EVERY_RUN,
            arm=experiment.arms,
        ),
        *expand(
            [rules.grpo.output.log, rules.grpo.output.manifest],
            **EVERY_RUN,
            init=grpo_initialisations(),
        ),
        *expand(rules.evaluate.output, model=trained_models(), seed=experiment.seeds),
    ]
