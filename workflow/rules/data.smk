# Frozen data are checked, never written; generated rows go to the results.


rule verify_data:
    input:
        sums="data/SHA256SUMS",
        frozen=frozen_files("data"),
    output:
        flag="<results>/data/verified.json",
    log:
        "<logs>/verify_data.log",
    conda:
        "../envs/replication.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        code=code_hash("verify_data"),
    script:
        "../scripts/verify_data.py"


rule simulate:
    output:
        rows="<results>/data/{experiment}/train-{seeds}.csv",
    log:
        "<logs>/simulate/{experiment}/{seeds}.log",
    conda:
        "../envs/replication.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        process=lambda wildcards: experiment_of(wildcards).data.generator,
        n=lambda wildcards: experiment_of(wildcards).data.rows,
        seeds=lambda wildcards: seeds_of(wildcards.seeds),
        code=code_hash("simulate"),
    script:
        "../scripts/simulate.py"
