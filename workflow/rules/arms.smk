"""Which trajectories each arm trains on: positive, negative, mixed and all."""


rule arms:
    input:
        verdicts=rules.verify.output.verdicts,
    output:
        expand(
            f"{RESULTS}/arms/{{{{domain}}}}/seed-{{{{seed}}}}/{{name}}",
            name=["positive.jsonl", "negative.jsonl", "mixed.jsonl", "all.jsonl", "manifest.json"],
        ),
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
        " 2>&1 | tee -a {log} {log}.all"
