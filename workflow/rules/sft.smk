"""Supervised fine-tuning: every arm, domain and seed. Resumes from its own, undeclared checkpoints.

An arm that replays the weights of another waits for that arm's history.
"""


rule sft:
    input:
        data=lambda wildcards: study.selection(wildcards.domain, wildcards.arm, wildcards.seed),
        everything=f"{RESULTS}/arms/{{domain}}/seed-{{seed}}/all.jsonl",
        model=study.made(study.model_path("base")),
        replayed=lambda wildcards: study.replayed(wildcards.domain, wildcards.arm, wildcards.seed),
        held_out=study.held_out("{domain}", "{seed}"),
        # The check has to pass first; but repeating it with another threshold trains nothing again.
        checked=ancient(f"{RESULTS}/contamination/{{domain}}/manifest.json"),
    output:
        model=directory(f"{RESULTS}/sft/{{domain}}/{{arm}}/seed-{{seed}}/model"),
        history=f"{RESULTS}/sft/{{domain}}/{{arm}}/seed-{{seed}}/history.parquet",
        log=f"{RESULTS}/sft/{{domain}}/{{arm}}/seed-{{seed}}/log.jsonl",
        epochs=study.epochs("{domain}", "{arm}", "{seed}"),
        manifest=f"{RESULTS}/sft/{{domain}}/{{arm}}/seed-{{seed}}/manifest.json",
    log:
        f"{LOGS}/sft/{{domain}}/{{arm}}/seed-{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/sft/{{domain}}/{{arm}}/seed-{{seed}}.tsv"
    threads: study.at_scale("base", 1, 8)
    resources:
        mem_mb=study.at_scale("base", 3000, 128000),
        runtime=study.at_scale("base", 60, 2880),
        gpu=study.at_scale("base", 0, 1),
        nodes=1,
        sharding="ddp",
        offload=False,
        micro_batch=study.at_scale("base", 0, 1),
        slurm_extra=STOPS_IN_TIME,
        training=1,
    params:
        directory=lambda wildcards, output: str(Path(output.manifest).parent),
        model=lambda wildcards, resources: study.model_path("base"),
        settings=lambda wildcards: depends_on(
            experiment.sft_run(wildcards.arm, int(wildcards.seed)),
            *study.given(study.model_path("base")),
            *template_files(experiment.prompt),
            *study.objective_files(wildcards.arm),
        ),
        flags=lambda wildcards, resources: options(
            study.sft_run(wildcards.domain, wildcards.arm, wildcards.seed, resources),
            study.trust("base"),
            study.replaying(wildcards.domain, wildcards.arm, wildcards.seed),
            study.holding_out(wildcards.domain, wildcards.seed),
        ),
    shell:
        "glow sft --data {input.data} --all {input.everything} --model {params.model:q}"
        " --output {params.directory} {params.flags} 2>&1 | tee -a {log} {log}.all"
