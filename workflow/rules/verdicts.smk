"""Every trajectory judged, in worker processes that are killed at a deadline."""


rule verify:
    input:
        lambda wildcards: study.trajectories(wildcards.domain),
    output:
        verdicts=f"{RESULTS}/verdicts/{{domain}}.jsonl.gz",
        manifest=f"{RESULTS}/verdicts/{{domain}}.jsonl.gz.manifest.json",
    log:
        f"{LOGS}/verify/{{domain}}.log",
    benchmark:
        f"{BENCHMARKS}/verify/{{domain}}.tsv"
    threads: 8
    resources:
        mem_mb=8000,
        runtime=240,
        gpu=0,
    params:
        settings=lambda wildcards: depends_on(experiment.verdicts),
        flags=lambda wildcards, resources: options(experiment.verdicts),
    shell:
        "glow verify --input {input} --output {output.verdicts} --workers {threads} {params.flags}"
        " 2>&1 | tee -a {log} >> {log}.all"
