# Monte Carlo studies: several models on the same fresh cohorts, and how far their effects are off.


rule monte_carlo:
    input:
        verified=verified,
        trial=lambda wildcards: variant_of(wildcards).trial,
    output:
        estimates="<results>/monte_carlo/{experiment}/{variant}/{model}/{cohorts}/estimates.csv",
    log:
        "<logs>/monte_carlo/{experiment}/{variant}/{model}/{cohorts}.log",
    benchmark:
        "<benchmarks>/monte_carlo/{experiment}/{variant}/{model}/{cohorts}.jsonl"
    conda:
        "../envs/replication.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=60,
        gpu=gpus,
    params:
        identity=lambda wildcards: [wildcards.experiment, wildcards.variant, wildcards.model],
        process=lambda wildcards: dict(variant_of(wildcards).generator),
        spec=lambda wildcards: model_of(wildcards).spec,
        settings=lambda wildcards: model_of(wildcards).fit,
        effects=lambda wildcards: experiment_of(wildcards).questions["effects"],
        cohorts=lambda wildcards: seeds_of(wildcards.cohorts),
        rows=lambda wildcards: monte_carlo_of(wildcards).rows,
        level=lambda wildcards: monte_carlo_of(wildcards).level,
        device=config["device"],
        code=code_hash("monte_carlo"),
    script:
        "../scripts/monte_carlo.py"


rule monte_carlo_summary:
    input:
        verified=verified,
        trials=lambda wildcards: [v.trial for v in monte_carlo_of(wildcards).variants.values()],
        estimates=lambda wildcards: collect(
            "<results>/monte_carlo/{experiment}/{variant}/{model}/{cohorts}/estimates.csv",
            experiment=wildcards.experiment,
            variant=list(monte_carlo_of(wildcards).variants),
            model=monte_carlo_of(wildcards).models,
            cohorts=monte_carlo_of(wildcards).chunks(),
        ),
    output:
        cohorts="<results>/monte_carlo/{experiment}/cohorts.csv",
        summary="<results>/monte_carlo/{experiment}/summary.csv",
    log:
        "<logs>/monte_carlo_summary/{experiment}.log",
    conda:
        "../envs/replication.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=10,
    params:
        experiment=lambda wildcards: wildcards.experiment,
        variants=lambda wildcards: {
            name: dict(v.generator) for name, v in monte_carlo_of(wildcards).variants.items()
        },
        models=lambda wildcards: list(monte_carlo_of(wildcards).models),
        effects=lambda wildcards: experiment_of(wildcards).questions["effects"],
        rows=lambda wildcards: monte_carlo_of(wildcards).rows,
        code=code_hash("monte_carlo_summary"),
    script:
        "../scripts/monte_carlo_summary.py"


rule monte_carlo_figure:
    input:
        cohorts=rules.monte_carlo_summary.output.cohorts,
        summary=rules.monte_carlo_summary.output.summary,
    output:
        png=report(
            "<results>/figures/{experiment}/monte_carlo.png",
            caption="../report/monte_carlo.rst",
            category="Figures",
            subcategory="{experiment}",
            labels={"figure": "estimates over fresh cohorts"},
        ),
        pdf="<results>/figures/{experiment}/monte_carlo.pdf",
    log:
        "<logs>/monte_carlo_figure/{experiment}.log",
    conda:
        "../envs/replication.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=10,
    params:
        titles=lambda wildcards: {
            name: experiment_of(wildcards).models[name].title
            for name in monte_carlo_of(wildcards).models
        },
        effect=effect_of,
        code=code_hash("monte_carlo_figure"),
    script:
        "../scripts/monte_carlo_figure.py"
