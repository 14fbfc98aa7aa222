"""The teacher's answers, in shards that are sampled side by side."""


rule generate:
    input:
        problems=rules.problems.output.train,
        model=study.made(study.model_path("teacher")),
    output:
        trajectories=f"{RESULTS}/trajectories/{{domain}}/shard-{{shard}}.jsonl.gz",
        manifest=f"{RESULTS}/trajectories/{{domain}}/shard-{{shard}}.jsonl.gz.manifest.json",
    log:
        f"{LOGS}/generate/{{domain}}/shard-{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/generate/{{domain}}/shard-{{shard}}.tsv"
    threads: study.at_scale("teacher", 1, 8)
    resources:
        mem_mb=study.at_scale("teacher", 3000, 64000),
        runtime=study.at_scale("teacher", 60, 1440),
        gpu=study.at_scale("teacher", 0, 1),
    params:
        model=lambda wildcards, resources: study.model_path("teacher"),
        shards=experiment.shards,
        settings=lambda wildcards: depends_on(
            experiment.generation,
            *study.given(study.model_path("teacher")),
            *template_files(experiment.asked_of_teacher),
        ),
        flags=lambda wildcards, resources: options(experiment.generation, study.trust("teacher")),
    shell:
        "glow generate --problems {input.problems} --model {params.model:q} --output {output.trajectories}"
        " --shard {wildcards.shard} --shards {params.shards} {params.flags} 2>&1 | tee {log}"
