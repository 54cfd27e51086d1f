# The chapter of a cohort: its ladder of specifications, its trial, its published numbers.


rule cross_validate:
    input:
        verified=verified,
        train=train_file,
    output:
        held_out="<results>/ladder/{experiment}/{model}/held_out.csv",
    log:
        "<logs>/cross_validate/{experiment}/{model}.log",
    benchmark:
        "<benchmarks>/cross_validate/{experiment}/{model}.jsonl"
    conda:
        "../envs/replication.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=60,
        gpu=gpus,
    params:
        identity=lambda wildcards: [wildcards.experiment, wildcards.model],
        spec=lambda wildcards: model_of(wildcards).spec,
        node=lambda wildcards: experiment_of(wildcards).ladder.outcome,
        folds=lambda wildcards: experiment_of(wildcards).ladder.folds,
        seeds=lambda wildcards: folded_seeds(wildcards),
        settings=lambda wildcards: model_of(wildcards).fit,
        device=config["device"],
        code=code_hash("cross_validate"),
    script:
        "../scripts/cross_validate.py"


rule ladder:
    input:
        verified=verified,
        models=fitted_models,
        effects=stored("effects"),
        held_out=lambda wildcards: [
            f"<results>/ladder/{wildcards.experiment}/{model}/held_out.csv"
            for model in experiment_of(wildcards).models
        ],
        train=lambda wildcards: experiment_of(wildcards).data.file,
        true=truth_of("effects"),
    output:
        rungs="<results>/ladder/{experiment}/ladder.csv",
        tests="<results>/ladder/{experiment}/tests.csv",
        curves="<results>/ladder/{experiment}/curves.csv",
    log:
        "<logs>/ladder/{experiment}.log",
    conda:
        "../envs/replication.yaml"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=15,
    params:
        experiment=lambda wildcards: wildcards.experiment,
        runs=runs_of,
        process=process_of,
        plan=lambda wildcards: experiment_of(wildcards).ladder.plan,
        code=code_hash("ladder"),
    script:
        "../scripts/ladder.py"


rule validate:
    input:
        verified=verified,
        models="<results>/fit/{experiment}/{model}/{seeds}/models",
        trial=lambda wildcards: experiment_of(wildcards).data.trial,
    output:
        outcomes="<results>/validate/{experiment}/{model}/{seeds}/outcomes.csv",
        risks="<results>/validate/{experiment}/{model}/{seeds}/risks.csv",
        patients="<results>/validate/{experiment}/{model}/{seeds}/patients.csv",
        ranking="<results>/validate/{experiment}/{model}/{seeds}/ranking.csv",
        scores="<results>/validate/{experiment}/{model}/{seeds}/scores.csv",
    log:
        "<logs>/validate/{experiment}/{model}/{seeds}.log",
    conda:
        "../envs/replication.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=15,
    params:
        identity=lambda wildcards: [wildcards.experiment, wildcards.model],
        seeds=lambda wildcards: seeds_of(wildcards.seeds),
        effects=lambda wildcards: experiment_of(wildcards).questions["effects"],
        process=process_of,
        code=code_hash("validate"),
    script:
        "../scripts/validate.py"


rule published:
    input:
        verified=verified,
        train=lambda wildcards: experiment_of(wildcards).data.file or [],
        effects=stored("effects"),
        true=truth_of("effects"),
        compared=lambda wildcards: r_comparisons(wildcards),
    output:
        table="<results>/published/{experiment}.csv",
    log:
        "<logs>/published/{experiment}.log",
    conda:
        "../envs/replication.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        experiment=lambda wildcards: wildcards.experiment,
        effect=lambda wildcards: experiment_of(wildcards).questions["effects"][0],
        entries=lambda wildcards: [dict(e) for e in experiment_of(wildcards).published],
        code=code_hash("published"),
    script:
        "../scripts/published.py"
