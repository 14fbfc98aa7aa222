"""Supervised fine-tuning: every arm, domain and seed. Resumes from its own, undeclared checkpoints.

An arm that replays the weights of another waits for that arm's history.
"""


rule sft:
    input:
        data=lambda wildcards: of(wildcards).selection(wildcards.domain, wildcards.arm, wildcards.seed),
        everything=f"{RESULTS}/arms/{{domain}}/seed-{{seed}}/all.jsonl",
        model=lambda wildcards: study.made(of(wildcards).base),
        replayed=lambda wildcards: of(wildcards).replayed(wildcards.domain, wildcards.arm, wildcards.seed),
        held_out=lambda wildcards: of(wildcards).held_out(wildcards.domain, wildcards.seed),
        # The check has to pass first; but repeating it with another threshold trains nothing again.
        checked=ancient(f"{RESULTS}/contamination/{{domain}}/manifest.json"),
    output:
        model=directory(f"{RESULTS}/{{of}}sft/{{domain}}/{{arm}}/seed-{{seed}}/model"),
        history=f"{RESULTS}/{{of}}sft/{{domain}}/{{arm}}/seed-{{seed}}/history.parquet",
        log=f"{RESULTS}/{{of}}sft/{{domain}}/{{arm}}/seed-{{seed}}/log.jsonl",
        epochs=study.where_held_out(f"{RESULTS}/{{of}}sft/{{domain}}/{{arm}}/seed-{{seed}}/epochs.jsonl"),
        manifest=f"{RESULTS}/{{of}}sft/{{domain}}/{{arm}}/seed-{{seed}}/manifest.json",
    log:
        f"{LOGS}/sft/{{of}}{{domain}}/{{arm}}/seed-{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/sft/{{of}}{{domain}}/{{arm}}/seed-{{seed}}.tsv"
    threads: lambda wildcards: of(wildcards).asks("sft").threads
    resources:
        mem_mb=lambda wildcards: of(wildcards).asks("sft").mem_mb,
        runtime=lambda wildcards: of(wildcards).asks("sft").runtime,
        gpu=lambda wildcards: of(wildcards).asks("sft").gpu,
        nodes=lambda wildcards: of(wildcards).asks("sft").nodes,
        sharding=lambda wildcards: of(wildcards).asks("sft").sharding,
        offload=lambda wildcards: of(wildcards).asks("sft").offload,
        micro_batch=lambda wildcards: of(wildcards).asks("sft").micro_batch,
        slurm_extra=STOPS_IN_TIME,
        training=1,
    params:
        directory=lambda wildcards, output: str(Path(output.manifest).parent),
        model=lambda wildcards, resources: of(wildcards).base,
        settings=lambda wildcards: depends_on(
            of(wildcards).experiment.sft_run(wildcards.domain, wildcards.arm, int(wildcards.seed)),
            *study.given(of(wildcards).base),
            *template_files(of(wildcards).experiment.asked_in_sft),
            *of(wildcards).objective_files(wildcards.domain, wildcards.arm),
        ),
        flags=lambda wildcards, resources: options(
            of(wildcards).sft_run(wildcards.domain, wildcards.arm, wildcards.seed, resources),
            of(wildcards).trust,
            of(wildcards).replaying(wildcards.domain, wildcards.arm, wildcards.seed),
            of(wildcards).holding_out(wildcards.domain, wildcards.seed),
        ),
    shell:
        "glow sft --data {input.data} --all {input.everything} --model {params.model:q}"
        " --output {params.directory} {params.flags} 2>&1 | tee -a {log} >> {log}.all"
