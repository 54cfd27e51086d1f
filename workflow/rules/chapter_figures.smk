# Figures of a cohort's chapter, from its stored tables only.


rule ladder_figure:
    input:
        rungs=rules.ladder.output.rungs,
    output:
        png=report(
            "<results>/figures/{experiment}/ladder.png",
            caption="../report/ladder.rst",
            category="Figures",
            subcategory="{experiment}",
            labels={"figure": "ladder of specifications"},
        ),
        pdf="<results>/figures/{experiment}/ladder.pdf",
    log:
        "<logs>/ladder_figure/{experiment}.log",
    conda:
        "../envs/replication.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=10,
    params:
        titles=titles_of,
        base=lambda wildcards: experiment_of(wildcards).ladder.base,
        code=code_hash("ladder_figure"),
    script:
        "../scripts/ladder_figure.py"


rule odds_ratio_by_modifier:
    input:
        curves=rules.ladder.output.curves,
    output:
        png=report(
            "<results>/figures/{experiment}/odds_ratio_by_modifier.png",
            caption="../report/odds_ratio_by_modifier.rst",
            category="Figures",
            subcategory="{experiment}",
            labels={"figure": "odds ratio by modifier"},
        ),
        pdf="<results>/figures/{experiment}/odds_ratio_by_modifier.pdf",
    log:
        "<logs>/odds_ratio_by_modifier/{experiment}.log",
    conda:
        "../envs/replication.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=10,
    params:
        titles=titles_of,
        units=units_of,
        modifier=lambda wildcards: experiment_of(wildcards).ladder.modifier,
        treatment=lambda wildcards: experiment_of(wildcards).ladder.treatment,
        outcome=lambda wildcards: experiment_of(wildcards).ladder.outcome,
        code=code_hash("odds_ratio_by_modifier"),
    script:
        "../scripts/odds_ratio_by_modifier.py"


rule trial_outcomes:
    input:
        outcomes=validated("outcomes"),
        scores=validated("scores"),
    output:
        png=report(
            "<results>/figures/{experiment}/trial_outcomes.png",
            caption="../report/trial_outcomes.rst",
            category="Figures",
            subcategory="{experiment}",
            labels={"figure": "outcomes of the trial"},
        ),
        pdf="<results>/figures/{experiment}/trial_outcomes.pdf",
    log:
        "<logs>/trial_outcomes/{experiment}.log",
    conda:
        "../envs/replication.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=10,
    params:
        titles=titles_of,
        effect=effect_of,
        code=code_hash("trial_outcomes"),
    script:
        "../scripts/trial_outcomes.py"


rule trial_risks:
    input:
        risks=validated("risks"),
        scores=validated("scores"),
    output:
        png=report(
            "<results>/figures/{experiment}/trial_risks.png",
            caption="../report/trial_risks.rst",
            category="Figures",
            subcategory="{experiment}",
            labels={"figure": "calibration of risks in the trial"},
        ),
        pdf="<results>/figures/{experiment}/trial_risks.pdf",
    log:
        "<logs>/trial_risks/{experiment}.log",
    conda:
        "../envs/replication.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=10,
    params:
        titles=titles_of,
        effect=effect_of,
        code=code_hash("trial_risks"),
    script:
        "../scripts/trial_risks.py"


rule trial_effects:
    input:
        patients=validated("patients"),
        ranking=validated("ranking"),
        scores=validated("scores"),
    output:
        png=report(
            "<results>/figures/{experiment}/trial_effects.png",
            caption="../report/trial_effects.rst",
            category="Figures",
            subcategory="{experiment}",
            labels={"figure": "individual effects in the trial"},
        ),
        pdf="<results>/figures/{experiment}/trial_effects.pdf",
    log:
        "<logs>/trial_effects/{experiment}.log",
    conda:
        "../envs/replication.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=10,
    params:
        titles=titles_of,
        effect=effect_of,
        code=code_hash("trial_effects"),
    script:
        "../scripts/trial_effects.py"


rule trial_benefit:
    input:
        patients=validated("patients"),
        scores=validated("scores"),
    output:
        png=report(
            "<results>/figures/{experiment}/trial_benefit.png",
            caption="../report/trial_benefit.rst",
            category="Figures",
            subcategory="{experiment}",
            labels={"figure": "probability of benefit"},
        ),
        pdf="<results>/figures/{experiment}/trial_benefit.pdf",
    log:
        "<logs>/trial_benefit/{experiment}.log",
    conda:
        "../envs/replication.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=10,
    params:
        titles=titles_of,
        effect=effect_of,
        code=code_hash("trial_benefit"),
    script:
        "../scripts/trial_benefit.py"
