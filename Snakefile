# The study as one DAG. One configuration file is one experiment; its results go to results/<name>.
#
#   snakemake --cores all                                   the miniature (config/miniature.yaml)
#   snakemake --cores all --configfile config/<name>.yaml   any other experiment
#   snakemake --profile profiles/slurm --configfile config/<name>.yaml   on a cluster
import os

from snakemake.utils import min_version

min_version("9.27")

# The default is loaded only when nothing else is asked for: Snakemake would merge the two, key by key.
if not workflow.overwrite_configfiles:

    configfile: f"{workflow.basedir}/config/miniature.yaml"


include: "workflow/rules/common.smk"


# Jobs run in the environment that runs Snakemake (.venv, see Makefile), and nothing looks for this image, unless
# Snakemake is told to deploy software with Apptainer (profiles/apptainer). Then they run in it.
container: IMAGE


include: "workflow/rules/models.smk"
include: "workflow/rules/suites.smk"


if experiment.trajectories is None:

    include: "workflow/rules/problems.smk"
    include: "workflow/rules/trajectories.smk"

else:

    include: "workflow/rules/own_data.smk"


include: "workflow/rules/contamination.smk"
include: "workflow/rules/verdicts.smk"
include: "workflow/rules/arms.smk"
include: "workflow/rules/sft.smk"
include: "workflow/rules/grpo.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/students.smk"


refuse_resources()


# Every result is a target, not only the last ones: whichever is deleted is made again, with what
# depends on it, and nothing else.
rule all:
    default_target: True
    input:
        study.made_models(),
        expand(rules.suite.output, suite=experiment.suites),
        domain_data(),
        expand(rules.contamination.output, domain=experiment.domain_names),
        expand(rules.verify.output, domain=experiment.domain_names),
        expand(rules.arms.output, **EVERY_DRAW),
        expand(rules.select.output, **EVERY_DRAW, selection=experiment.further_selections),
        study.of_all(lambda own: of_sft(own, rules.sft.output)),
        study.of_all(lambda own: of_grpo(own, rules.pass_rates.output if own.asks_pass_rates else [])),
        study.of_all(lambda own: of_grpo(own, rules.grpo.output)),
        study.of_all(evaluations),
        SHOWN,
        STUDENTS,
    message:
        f"all results of {RESULTS}"


# What comes from the hub, and nothing else: for a machine that has a network. All that is left then runs without.
rule fetched:
    input:
        study.fetched(),
    localrule: True
    message:
        f"{RESULTS} has all that comes from the hub"


# Only the main process calls this, and only when it is about to run something: a dry-run freezes nothing.
onstart:
    freeze_experiment()


onsuccess:
    shell(f"glow timings {RESULTS}")
    # Exact for the jobs of this machine: the operating system's count of all that this process waited for.
    print(f"CPU seconds of this run, Snakemake's own included: {sum(os.times()[:4]):,.0f}")
    for own in study.students.values():
        if Path(f"{own.home}tables/tables.json").exists():
            shell(f"glow gates {FROZEN} --results {RESULTS} {own.option}")
        if Path(f"{own.home}report.html").exists():
            print(f"Report: {own.home}report.html")
    if STUDENTS and Path(rules.students.output.page).exists():
        print(f"Report: {rules.students.output.page}")
