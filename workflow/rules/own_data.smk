"""The user's own trajectories, in place of problems and a teacher."""


rule import_trajectories:
    input:
        suites=study.suites_kept_apart(experiment.trajectories.domain),
    output:
        trajectories=f"{RESULTS}/trajectories/{experiment.trajectories.domain}.jsonl.gz",
        manifest=f"{RESULTS}/trajectories/{experiment.trajectories.domain}.jsonl.gz.manifest.json",
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
        files=lambda wildcards, resources: experiment.trajectories.files,
        settings=lambda wildcards: depends_on(
            experiment.importing, *experiment.trajectories.files, *experiment.trajectories.disjoint_from
        ),
        flags=lambda wildcards, resources: options(experiment.importing),
    shell:
        "glow import --files {params.files:q} --suites {input.suites} --output {output.trajectories}"
        " --grpo-output {output.grpo} {params.flags} 2>&1 | tee -a {log} >> {log}.all"
