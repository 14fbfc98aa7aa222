"""The teacher's answers: sampled in shards, side by side, and put together in one file a domain.

How many shards there are changes no number, so they are temporary: what follows sees one file.
"""

SHARD = f"{RESULTS}/trajectories/{{domain}}/shard-{{shard}}-of-{experiment.shards}"


rule generate:
    input:
        problems=rules.problems.output.train,
        model=study.made(study.teacher),
    output:
        trajectories=temp(f"{SHARD}.jsonl.gz"),
        manifest=temp(f"{SHARD}.jsonl.gz.manifest.json"),
    log:
        f"{LOGS}/generate/{{domain}}/shard-{{shard}}.log",
    benchmark:
        f"{BENCHMARKS}/generate/{{domain}}/shard-{{shard}}.tsv"
    threads: study.teacher_asks.threads
    resources:
        mem_mb=study.teacher_asks.mem_mb,
        runtime=study.teacher_asks.runtime,
        gpu=study.teacher_asks.gpu,
        slurm_extra=STOPS_IN_TIME,
    params:
        model=lambda wildcards, resources: study.teacher,
        shards=experiment.shards,
        settings=lambda wildcards: depends_on(
            experiment.generation,
            *study.given(study.teacher),
            *template_files(experiment.asked_of_teacher),
        ),
        flags=lambda wildcards, resources: options(
            on_hardware(experiment.generation, resources), trust(study.models["models/teacher"])
        ),
    shell:
        "glow generate --problems {input.problems} --model {params.model:q} --output {output.trajectories}"
        " --shard {wildcards.shard} --shards {params.shards} {params.flags} 2>&1 | tee -a {log} >> {log}.all"


rule merge:
    input:
        problems=rules.problems.output.train,
        model=study.made(study.teacher),
        shards=lambda wildcards: study.shards(wildcards.domain),
        manifests=lambda wildcards: [f"{shard}.manifest.json" for shard in study.shards(wildcards.domain)],
    output:
        trajectories=f"{RESULTS}/trajectories/{{domain}}.jsonl.gz",
        manifest=f"{RESULTS}/trajectories/{{domain}}.jsonl.gz.manifest.json",
    log:
        f"{LOGS}/merge/{{domain}}.log",
    benchmark:
        f"{BENCHMARKS}/merge/{{domain}}.tsv"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=60,
        gpu=0,
    params:
        settings=rules.generate.params.settings,
    shell:
        "glow merge --problems {input.problems} --shards {input.shards} --output {output.trajectories}"
        " 2>&1 | tee -a {log} >> {log}.all"
