"""GRPO from the base and from the arms' models, all or those that are named, rewarded by the verifier.

Where problems are chosen by difficulty, each starting model is asked before how often it solves them.
"""


rule pass_rates:
    input:
        problems=f"{RESULTS}/problems/{{domain}}/grpo.jsonl",
        model=lambda wildcards: study.made(study.start(wildcards)),
        below=lambda wildcards: of(wildcards).below(study.start(wildcards)),
        checked=ancient(f"{RESULTS}/contamination/{{domain}}/manifest.json"),
    output:
        f"{RESULTS}/{{of}}pass_rates/{{domain}}/{{init}}/seed-{{seed}}.jsonl",
    log:
        f"{LOGS}/pass_rates/{{of}}{{domain}}/{{init}}/seed-{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/pass_rates/{{of}}{{domain}}/{{init}}/seed-{{seed}}.tsv"
    threads: lambda wildcards: of(wildcards).asks("pass_rates").threads
    resources:
        mem_mb=lambda wildcards: of(wildcards).asks("pass_rates").mem_mb,
        runtime=lambda wildcards: of(wildcards).asks("pass_rates").runtime,
        gpu=lambda wildcards: of(wildcards).asks("pass_rates").gpu,
        slurm_extra=STOPS_IN_TIME,
    params:
        model=lambda wildcards, resources: study.start(wildcards),
        settings=lambda wildcards: depends_on(
            of(wildcards).experiment.pass_rate_run(int(wildcards.seed)),
            *study.given(study.start(wildcards)),
            *template_files(of(wildcards).experiment.prompt),
        ),
        flags=lambda wildcards, resources: options(
            on_hardware(of(wildcards).experiment.pass_rate_run(int(wildcards.seed)), resources),
            of(wildcards).trust,
        ),
    shell:
        "glow pass-rates --problems {input.problems} --model {params.model:q} --output {output}"
        " {params.flags} 2>&1 | tee -a {log} >> {log}.all"


rule grpo:
    input:
        problems=f"{RESULTS}/problems/{{domain}}/grpo.jsonl",
        model=lambda wildcards: study.made(study.start(wildcards)),
        pass_rates=lambda wildcards: of(wildcards).pass_rates(
            wildcards.domain, wildcards.init, wildcards.seed
        ),
        below=lambda wildcards: of(wildcards).below(study.start(wildcards)),
        checked=ancient(f"{RESULTS}/contamination/{{domain}}/manifest.json"),
    output:
        model=directory(f"{RESULTS}/{{of}}grpo/{{domain}}/{{init}}/seed-{{seed}}/model"),
        log=f"{RESULTS}/{{of}}grpo/{{domain}}/{{init}}/seed-{{seed}}/log.jsonl",
        evaluations=study.where_evaluated(
            f"{RESULTS}/{{of}}grpo/{{domain}}/{{init}}/seed-{{seed}}/evaluations.jsonl"
        ),
        manifest=f"{RESULTS}/{{of}}grpo/{{domain}}/{{init}}/seed-{{seed}}/manifest.json",
    log:
        f"{LOGS}/grpo/{{of}}{{domain}}/{{init}}/seed-{{seed}}.log",
    benchmark:
        f"{BENCHMARKS}/grpo/{{of}}{{domain}}/{{init}}/seed-{{seed}}.tsv"
    threads: lambda wildcards: of(wildcards).asks("grpo").threads
    resources:
        mem_mb=lambda wildcards: of(wildcards).asks("grpo").mem_mb,
        runtime=lambda wildcards: of(wildcards).asks("grpo").runtime,
        gpu=lambda wildcards: of(wildcards).asks("grpo").gpu,
        nodes=lambda wildcards: of(wildcards).asks("grpo").nodes,
        sharding=lambda wildcards: of(wildcards).asks("grpo").sharding,
        offload=lambda wildcards: of(wildcards).asks("grpo").offload,
        micro_batch=lambda wildcards: of(wildcards).asks("grpo").micro_batch,
        slurm_extra=STOPS_IN_TIME,
        training=1,
    params:
        directory=lambda wildcards, output: str(Path(output.manifest).parent),
        model=lambda wildcards, resources: study.start(wildcards),
        settings=lambda wildcards: depends_on(
            of(wildcards).experiment.grpo_run(int(wildcards.seed)),
            *study.given(study.start(wildcards)),
            *template_files(of(wildcards).experiment.prompt),
        ),
        flags=lambda wildcards, resources: options(
            of(wildcards).grpo_run(wildcards.domain, wildcards.init, wildcards.seed, resources),
            of(wildcards).trust,
            of(wildcards).choosing(wildcards.domain, wildcards.init, wildcards.seed),
        ),
    shell:
        "glow grpo --problems {input.problems} --model {params.model:q} --output {params.directory}"
        " {params.flags} 2>&1 | tee -a {log} >> {log}.all"
