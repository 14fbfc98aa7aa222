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
        flags=options(experiment.verification),
        thought=experiment.asked_of_teacher.thought,
    shell:
        "glow verify --input {input} --output {output.verdicts} --answer-type-field answer_type"
        " --workers {threads} {params.flags} --thought {params.thought:q} 2>&1 | tee {log}"
