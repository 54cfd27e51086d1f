# Figures from stored tables only; which ones an experiment has, its entry says.


rule marginals:
    input:
        estimated=stored("densities"),
        true=truth_of("densities"),
        observed=observed_file,
    output:
        png=report(
            "<results>/figures/{experiment}/marginals.png",
            caption="../report/marginals.rst",
            category="Figures",
            subcategory="{experiment}",
            labels={"figure": "observational and interventional marginals"},
        ),
        pdf="<results>/figures/{experiment}/marginals.pdf",
    log:
        "<logs>/marginals/{experiment}.log",
    conda:
        "../envs/replication.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=10,
    params:
        titles=titles_of,
        units=units_of,
        levels=lambda wildcards: experiment_of(wildcards).levels,
        code=code_hash("marginals"),
    script:
        "../scripts/marginals.py"


rule densities:
    input:
        estimated=stored("densities"),
        true=truth_of("densities"),
    output:
        png=report(
            "<results>/figures/{experiment}/densities.png",
            caption="../report/densities.rst",
            category="Figures",
            subcategory="{experiment}",
            labels={"figure": "interventional densities"},
        ),
        pdf="<results>/figures/{experiment}/densities.pdf",
    log:
        "<logs>/densities/{experiment}.log",
    conda:
        "../envs/replication.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=10,
    params:
        titles=titles_of,
        units=units_of,
        ordinal=lambda wildcards: experiment_of(wildcards).ordinal,
        code=code_hash("densities"),
    script:
        "../scripts/densities.py"


rule mechanisms:
    input:
        conditionals=stored("conditionals"),
        shifts=stored("shifts"),
        summaries=diagnosed("summary"),
        true_conditionals=truth_of("conditionals"),
        true_shifts=truth_of("shifts"),
    output:
        png=report(
            "<results>/figures/{experiment}/mechanisms.png",
            caption="../report/mechanisms.rst",
            category="Figures",
            subcategory="{experiment}",
            labels={"figure": "graph, conditional laws and shifts"},
        ),
        pdf="<results>/figures/{experiment}/mechanisms.pdf",
    log:
        "<logs>/mechanisms/{experiment}.log",
    conda:
        "../envs/replication.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        spec=lambda wildcards: next(iter(specs_of(wildcards).values())),
        titles=titles_of,
        units=units_of,
        code=code_hash("mechanisms"),
    script:
        "../scripts/mechanisms.py"


rule pairs:
    input:
        draws=stored("draws"),
        true_draws=truth_of("draws"),
        densities=stored("densities"),
        true_densities=truth_of("densities"),
    output:
        png=report(
            "<results>/figures/{experiment}/pairs.png",
            caption="../report/pairs.rst",
            category="Figures",
            subcategory="{experiment}",
            labels={"figure": "pairs of nodes"},
        ),
        pdf="<results>/figures/{experiment}/pairs.pdf",
    log:
        "<logs>/pairs/{experiment}.log",
    conda:
        "../envs/replication.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=10,
    params:
        titles=titles_of,
        units=units_of,
        code=code_hash("pairs"),
    script:
        "../scripts/pairs.py"


rule shift_curves:
    input:
        estimated=stored("shifts"),
        true=truth_of("shifts"),
    output:
        png=report(
            "<results>/figures/{experiment}/shift_curves.png",
            caption="../report/shift_curves.rst",
            category="Figures",
            subcategory="{experiment}",
            labels={"figure": "shift curves"},
        ),
        pdf="<results>/figures/{experiment}/shift_curves.pdf",
    log:
        "<logs>/shift_curves/{experiment}.log",
    conda:
        "../envs/replication.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=10,
    params:
        titles=titles_of,
        units=units_of,
        ordinal=lambda wildcards: experiment_of(wildcards).ordinal,
        code=code_hash("shift_curves"),
    script:
        "../scripts/shift_curves.py"


rule counterfactuals:
    input:
        estimated=stored("curves"),
        true=truth_of("curves"),
    output:
        png=report(
            "<results>/figures/{experiment}/counterfactuals.png",
            caption="../report/counterfactuals.rst",
            category="Figures",
            subcategory="{experiment}",
            labels={"figure": "counterfactual curves"},
        ),
        pdf="<results>/figures/{experiment}/counterfactuals.pdf",
    log:
        "<logs>/counterfactuals/{experiment}.log",
    conda:
        "../envs/replication.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=10,
    params:
        titles=titles_of,
        units=units_of,
        observed=lambda wildcards: experiment_of(wildcards).observed,
        code=code_hash("counterfactuals"),
    script:
        "../scripts/counterfactuals.py"


rule forecasts:
    input:
        calibration=lambda wildcards: per_chunk(
            "<results>/evaluate/{experiment}/{model}/{seeds}/calibration.csv",
            experiment=wildcards.experiment,
        ),
    output:
        png=report(
            "<results>/figures/{experiment}/forecasts.png",
            caption="../report/forecasts.rst",
            category="Figures",
            subcategory="{experiment}",
            labels={"figure": "calibration of ordinal counterfactuals"},
        ),
        pdf="<results>/figures/{experiment}/forecasts.pdf",
    log:
        "<logs>/forecasts/{experiment}.log",
    conda:
        "../envs/replication.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=10,
    params:
        titles=titles_of,
        at_most=lambda wildcards: {
            effect["outcome"]: effect["at_most"]
            for effect in experiment_of(wildcards).questions["effects"]
        },
        code=code_hash("forecasts"),
    script:
        "../scripts/forecasts.py"


rule effects:
    input:
        estimated=stored("effects"),
        true=truth_of("effects"),
    output:
        png=report(
            "<results>/figures/{experiment}/effects.png",
            caption="../report/effects.rst",
            category="Figures",
            subcategory="{experiment}",
            labels={"figure": "average treatment effect"},
        ),
        pdf="<results>/figures/{experiment}/effects.pdf",
    log:
        "<logs>/effects/{experiment}.log",
    conda:
        "../envs/replication.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=10,
    params:
        titles=titles_of,
        effect=effect_of,
        code=code_hash("effects"),
    script:
        "../scripts/effects.py"


rule odds_ratio:
    input:
        coefficients=fitted("coefficients"),
        estimated=stored("effects"),
        true_coefficients=truth_of("coefficients"),
        true=truth_of("effects"),
    output:
        png=report(
            "<results>/figures/{experiment}/odds_ratio.png",
            caption="../report/odds_ratio.rst",
            category="Figures",
            subcategory="{experiment}",
            labels={"figure": "odds ratio of raising a parent"},
        ),
        pdf="<results>/figures/{experiment}/odds_ratio.pdf",
    log:
        "<logs>/odds_ratio/{experiment}.log",
    conda:
        "../envs/replication.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=10,
    params:
        titles=titles_of,
        questions=lambda wildcards: experiment_of(wildcards).questions["odds_ratios"],
        experiment=lambda wildcards: wildcards.experiment,
        code=code_hash("odds_ratio"),
    script:
        "../scripts/odds_ratio.py"


rule history:
    input:
        history=fitted("history"),
    output:
        png=report(
            "<results>/figures/{experiment}/history.png",
            caption="../report/history.rst",
            category="Figures",
            subcategory="{experiment}",
            labels={"figure": "training history"},
        ),
        pdf="<results>/figures/{experiment}/history.pdf",
    log:
        "<logs>/history/{experiment}.log",
    conda:
        "../envs/replication.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=10,
    params:
        titles=titles_of,
        code=code_hash("history"),
    script:
        "../scripts/history.py"


rule trajectories:
    input:
        trajectories=fitted("trajectories"),
        coefficients=fitted("coefficients"),
        true=truth_of("coefficients"),
    output:
        png=report(
            "<results>/figures/{experiment}/trajectories.png",
            caption="../report/trajectories.rst",
            category="Figures",
            subcategory="{experiment}",
            labels={"figure": "coefficients against epochs"},
        ),
        pdf="<results>/figures/{experiment}/trajectories.pdf",
    log:
        "<logs>/trajectories/{experiment}.log",
    conda:
        "../envs/replication.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=10,
    params:
        titles=titles_of,
        code=code_hash("trajectories"),
    script:
        "../scripts/trajectories.py"
