"""The user's own trajectories, in place of problems and a teacher."""


rule import_trajectories:
    input:
        files=experiment.trajectories.files,
        suites=study.suite_files(),
    output:
        trajectories=f"{RESULTS}/trajectories/{experiment.trajectories.domain}/shard-0.jsonl.gz",
        manifest=f"{RESULTS}/trajectories/{experiment.trajectories.domain}/shard-0.jsonl.gz.manifest.json",
        grpo=f"{RESULTS}/problems/{experiment.trajectories.domain}/grpo.jsonl",
    log:
        f"{LOGS}/import/{experiment.trajectories.domain}.log",
    benchmark:
        f"{BENCHMARKS}/import/{experiment.trajectories.domain}.tsv"
    threads: 1
    resources:
        mem_mb=8000,
        runtime=60,
        gpu=0,
    params:
        limit=f"--limit {experiment.trajectories.limit}" if experiment.trajectories.limit else "",
        grpo=experiment.trajectories.grpo,
        flags=options(experiment.trajectories.fields),
    shell:
        "glow import --files {input.files:q} --suites {input.suites} --output {output.trajectories}"
        " --grpo-output {output.grpo} --grpo {params.grpo} {params.limit} {params.flags} 2>&1 | tee {log}"
