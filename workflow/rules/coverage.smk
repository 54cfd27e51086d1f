# Studies of coverage: an exact model on fresh data sets, and how often its intervals hold the truth.


rule coverage:
    input:
        verified=verified,
        trial=lambda wildcards: experiment_of(wildcards).data.trial or [],
    output:
        intervals="<results>/coverage/{experiment}/{replicates}/intervals.csv",
    log:
        "<logs>/coverage/{experiment}/{replicates}.log",
    benchmark:
        "<benchmarks>/coverage/{experiment}/{replicates}.jsonl"
    conda:
        "../envs/replication.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        identity=lambda wildcards: [wildcards.experiment, coverage_of(wildcards).model],
        process=lambda wildcards: experiment_of(wildcards).data.generator,
        spec=covered_spec,
        effects=lambda wildcards: experiment_of(wildcards).questions["effects"],
        rows=lambda wildcards: coverage_of(wildcards).rows,
        level=lambda wildcards: coverage_of(wildcards).level,
        replicates=lambda wildcards: seeds_of(wildcards.replicates),
        code=code_hash("coverage"),
    script:
        "../scripts/coverage.py"


rule coverage_summary:
    input:
        verified=verified,
        trial=lambda wildcards: experiment_of(wildcards).data.trial or [],
        intervals=lambda wildcards: collect(
            "<results>/coverage/{experiment}/{replicates}/intervals.csv",
            experiment=wildcards.experiment,
            replicates=coverage_of(wildcards).chunks(),
        ),
    output:
        replicates="<results>/coverage/{experiment}/replicates.csv",
        summary="<results>/coverage/{experiment}/summary.csv",
    log:
        "<logs>/coverage_summary/{experiment}.log",
    conda:
        "../envs/replication.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        identity=lambda wildcards: [wildcards.experiment, coverage_of(wildcards).model],
        process=lambda wildcards: experiment_of(wildcards).data.generator,
        spec=covered_spec,
        effects=lambda wildcards: experiment_of(wildcards).questions["effects"],
        rows=lambda wildcards: coverage_of(wildcards).rows,
        level=lambda wildcards: coverage_of(wildcards).level,
        code=code_hash("coverage_summary"),
    script:
        "../scripts/coverage_summary.py"


rule coverage_figure:
    input:
        summary=rules.coverage_summary.output.summary,
    output:
        png=report(
            "<results>/figures/{experiment}/coverage.png",
            caption="../report/coverage.rst",
            category="Figures",
            subcategory="{experiment}",
            labels={"figure": "coverage of intervals"},
        ),
        pdf="<results>/figures/{experiment}/coverage.pdf",
    log:
        "<logs>/coverage_figure/{experiment}.log",
    conda:
        "../envs/replication.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=10,
    params:
        level=lambda wildcards: coverage_of(wildcards).level,
        code=code_hash("coverage_figure"),
    script:
        "../scripts/coverage_figure.py"
