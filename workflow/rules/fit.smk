# One job fits the models of a group of seeds.


rule fit:
    input:
        verified=verified,
        train=train_file,
    output:
        models=directory("<results>/fit/{experiment}/{model}/{seeds}/models"),
        nodes="<results>/fit/{experiment}/{model}/{seeds}/nodes.csv",
        history="<results>/fit/{experiment}/{model}/{seeds}/history.csv",
        trajectories="<results>/fit/{experiment}/{model}/{seeds}/trajectories.csv",
        coefficients="<results>/fit/{experiment}/{model}/{seeds}/coefficients.csv",
        parameters="<results>/fit/{experiment}/{model}/{seeds}/parameters.csv",
        record="<results>/fit/{experiment}/{model}/{seeds}/record.json",
    log:
        "<logs>/fit/{experiment}/{model}/{seeds}.log",
    benchmark:
        "<benchmarks>/fit/{experiment}/{model}/{seeds}.jsonl"
    conda:
        "../envs/replication.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=60,
        gpu=gpus,
    params:
        identity=lambda wildcards: [wildcards.experiment, wildcards.model],
        by_seed=lambda wildcards: experiment_of(wildcards).data.file is None,
        seeds=lambda wildcards: seeds_of(wildcards.seeds),
        spec=lambda wildcards: model_of(wildcards).spec,
        settings=lambda wildcards: model_of(wildcards).fit,
        baseline=lambda wildcards: model_of(wildcards).baseline,
        device=config["device"],
        code=code_hash("fit"),
    script:
        "../scripts/fit.py"
