"""The problems of a training domain, disjoint from the suites that it names; some are kept for GRPO."""


rule problems:
    input:
        suites=lambda wildcards: study.suites_kept_apart(wildcards.domain),
    output:
        train=f"{RESULTS}/problems/{{domain}}/train.jsonl",
        train_manifest=f"{RESULTS}/problems/{{domain}}/train.jsonl.manifest.json",
        grpo=f"{RESULTS}/problems/{{domain}}/grpo.jsonl",
    log:
        f"{LOGS}/problems/{{domain}}.log",
    benchmark:
        f"{BENCHMARKS}/problems/{{domain}}.tsv"
    localrule: study.fetches_problems
    threads: 1
    resources:
        mem_mb=3000,
        runtime=60,
        gpu=0,
    params:
        settings=lambda wildcards: depends_on(
            *read_from(experiment.domains[wildcards.domain].problems),
            *experiment.disjoint_from(wildcards.domain),
        ),
        flags=lambda wildcards, resources: options(experiment.domains[wildcards.domain].problems),
        online=lambda wildcards, resources: ONLINE,
    shell:
        "{params.online} glow problems --suites {input.suites} --output {output.train}"
        " --grpo-output {output.grpo} {params.flags} 2>&1 | tee -a {log} >> {log}.all"
