"""Which trajectories each arm trains on: the selections that every study has, and those that arms ask for.

The further ones are files of their own, one a job: an arm that is added on one of them makes that file, and
leaves the data of the other arms as it is.
"""


rule arms:
    input:
        verdicts=rules.verify.output.verdicts,
    output:
        expand(
            f"{RESULTS}/arms/{{{{domain}}}}/seed-{{{{seed}}}}/{{name}}",
            name=["positive.jsonl", "negative.jsonl", "mixed.jsonl", "all.jsonl", "manifest.json"],
        ),
        held_out=study.where_held_out(f"{RESULTS}/arms/{{domain}}/seed-{{seed}}/held_out.jsonl"),
    log:
        f"{LOGS}/arms/{{domain}}/seed-{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/arms/{{domain}}/seed-{{seed}}.tsv"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=60,
        gpu=0,
    params:
        directory=lambda wildcards, output: str(Path(output[0]).parent),
        settings=lambda wildcards: depends_on(experiment.arm_selection(int(wildcards.seed))),
        flags=lambda wildcards, resources: options(experiment.arm_selection(int(wildcards.seed))),
    shell:
        "glow arms --verdicts {input.verdicts} --output {params.directory} {params.flags}"
        " 2>&1 | tee -a {log} >> {log}.all"


rule select:
    input:
        verdicts=rules.verify.output.verdicts,
    output:
        selection=f"{RESULTS}/arms/{{domain}}/seed-{{seed}}/{{selection}}.jsonl",
        manifest=f"{RESULTS}/arms/{{domain}}/seed-{{seed}}/{{selection}}.jsonl.manifest.json",
    log:
        f"{LOGS}/select/{{domain}}/seed-{{seed}}/{{selection}}.log",
    benchmark:
        f"{BENCHMARKS}/select/{{domain}}/seed-{{seed}}/{{selection}}.tsv"
    wildcard_constraints:
        selection=one_of(experiment.further_selections or ["none"]),
    threads: 1
    resources:
        mem_mb=8000,
        runtime=60,
        gpu=0,
    params:
        settings=lambda wildcards: depends_on(
            experiment.further_selection(wildcards.selection, int(wildcards.seed))
        ),
        flags=lambda wildcards, resources: options(
            experiment.further_selection(wildcards.selection, int(wildcards.seed))
        ),
    shell:
        "glow select --verdicts {input.verdicts} --output {output.selection} {params.flags}"
        " 2>&1 | tee -a {log} >> {log}.all"
