"""GRPO from the base and from the arms' models, all or those that are named, rewarded by the verifier.

Where problems are chosen by difficulty, each starting model is asked before how often it solves them.
"""


rule pass_rates:
    input:
        problems=f"{RESULTS}/problems/{{domain}}/grpo.jsonl",
        model=lambda wildcards: study.made(
            study.initialisation(wildcards.domain, wildcards.init, wildcards.seed)
        ),
        below=lambda wildcards: study.below(
            study.initialisation(wildcards.domain, wildcards.init, wildcards.seed)
        ),
        checked=ancient(f"{RESULTS}/contamination/{{domain}}/manifest.json"),
    output:
        f"{RESULTS}/pass_rates/{{domain}}/{{init}}/seed-{{seed}}.jsonl",
    log:
        f"{LOGS}/pass_rates/{{domain}}/{{init}}/seed-{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/pass_rates/{{domain}}/{{init}}/seed-{{seed}}.tsv"
    threads: study.at_scale("base", 1, 8)
    resources:
        mem_mb=study.at_scale("base", 3000, 64000),
        runtime=study.at_scale("base", 60, 1440),
        gpu=study.at_scale("base", 0, 1),
        slurm_extra=STOPS_IN_TIME,
    params:
        model=lambda wildcards, resources: study.initialisation(
            wildcards.domain, wildcards.init, wildcards.seed
        ),
        settings=lambda wildcards: depends_on(
            experiment.pass_rate_run(int(wildcards.seed)),
            *study.given(study.initialisation(wildcards.domain, wildcards.init, wildcards.seed)),
            *template_files(experiment.prompt),
        ),
        flags=lambda wildcards, resources: options(
            on_hardware(experiment.pass_rate_run(int(wildcards.seed)), resources), study.trust("base")
        ),
    shell:
        "glow pass-rates --problems {input.problems} --model {params.model:q} --output {output}"
        " {params.flags} 2>&1 | tee -a {log} {log}.all"


rule grpo:
    input:
        problems=f"{RESULTS}/problems/{{domain}}/grpo.jsonl",
        model=lambda wildcards: study.made(
            study.initialisation(wildcards.domain, wildcards.init, wildcards.seed)
        ),
        pass_rates=study.pass_rates("{domain}", "{init}", "{seed}"),
        below=lambda wildcards: study.below(
            study.initialisation(wildcards.domain, wildcards.init, wildcards.seed)
        ),
        checked=ancient(f"{RESULTS}/contamination/{{domain}}/manifest.json"),
    output:
        model=directory(f"{RESULTS}/grpo/{{domain}}/{{init}}/seed-{{seed}}/model"),
        log=f"{RESULTS}/grpo/{{domain}}/{{init}}/seed-{{seed}}/log.jsonl",
        evaluations=study.grpo_evaluations("{domain}", "{init}", "{seed}"),
        manifest=f"{RESULTS}/grpo/{{domain}}/{{init}}/seed-{{seed}}/manifest.json",
    log:
        f"{LOGS}/grpo/{{domain}}/{{init}}/seed-{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/grpo/{{domain}}/{{init}}/seed-{{seed}}.tsv"
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
        model=lambda wildcards, resources: study.initialisation(
            wildcards.domain, wildcards.init, wildcards.seed
        ),
        settings=lambda wildcards: depends_on(
            experiment.grpo_run(int(wildcards.seed)),
            *study.given(study.initialisation(wildcards.domain, wildcards.init, wildcards.seed)),
            *template_files(experiment.prompt),
        ),
        flags=lambda wildcards, resources: options(
            study.grpo_run(wildcards.domain, wildcards.init, wildcards.seed, resources),
            study.trust("base"),
            study.choosing(wildcards.domain, wildcards.init, wildcards.seed),
        ),
    shell:
        "glow grpo --problems {input.problems} --model {params.model:q} --output {params.directory}"
        " {params.flags} 2>&1 | tee -a {log} {log}.all"
