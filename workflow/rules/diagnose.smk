# What the fits say about themselves: coefficients with intervals and calibration, as tables and
# as figures.


rule diagnose:
    input:
        verified=verified,
        models="<results>/fit/{experiment}/{model}/{seeds}/models",
        rows=lambda wildcards: calibration_file(wildcards) or train_file(wildcards),
    output:
        summary="<results>/diagnose/{experiment}/{model}/{seeds}/summary.csv",
        calibration="<results>/diagnose/{experiment}/{model}/{seeds}/calibration.csv",
    log:
        "<logs>/diagnose/{experiment}/{model}/{seeds}.log",
    conda:
        "../envs/replication.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=10,
    params:
        identity=lambda wildcards: [wildcards.experiment, wildcards.model],
        by_seed=lambda wildcards: not calibration_file(wildcards),
        seeds=lambda wildcards: seeds_of(wildcards.seeds),
        code=code_hash("diagnose"),
    script:
        "../scripts/diagnose.py"


rule forest:
    input:
        summaries=diagnosed("summary"),
    output:
        png=report(
            "<results>/figures/{experiment}/forest.png",
            caption="../report/forest.rst",
            category="Figures",
            subcategory="{experiment}",
            labels={"figure": "odds ratios with intervals"},
        ),
        pdf="<results>/figures/{experiment}/forest.pdf",
    log:
        "<logs>/forest/{experiment}.log",
    conda:
        "../envs/replication.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        titles=titles_of,
        specs=lambda wildcards: specs_of(wildcards, exact=True),
        units=units_of,
        code=code_hash("forest"),
    script:
        "../scripts/forest.py"


rule dag:
    input:
        summaries=diagnosed("summary"),
    output:
        png=report(
            "<results>/figures/{experiment}/dag.png",
            caption="../report/dag.rst",
            category="Figures",
            subcategory="{experiment}",
            labels={"figure": "the graph with its estimates"},
        ),
        pdf="<results>/figures/{experiment}/dag.pdf",
    log:
        "<logs>/dag/{experiment}.log",
    conda:
        "../envs/replication.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        titles=titles_of,
        specs=specs_of,
        code=code_hash("dag"),
    script:
        "../scripts/dag.py"


rule calibration:
    input:
        tables=diagnosed("calibration"),
    output:
        png=report(
            "<results>/figures/{experiment}/calibration.png",
            caption="../report/calibration.rst",
            category="Figures",
            subcategory="{experiment}",
            labels={"figure": "predicted and observed frequencies"},
        ),
        pdf="<results>/figures/{experiment}/calibration.pdf",
    log:
        "<logs>/calibration/{experiment}.log",
    conda:
        "../envs/replication.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        titles=titles_of,
        nodes=lambda wildcards: sorted({e["outcome"] for e in experiment_of(wildcards).effects}),
        code=code_hash("calibration"),
    script:
        "../scripts/calibration.py"
