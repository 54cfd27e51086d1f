# The same questions to every fitted model (estimate) and to its generator (truth), and the
# distances between them (evaluate). A cohort of one's own has estimates only.


rule estimate:
    input:
        verified=verified,
        models="<results>/fit/{experiment}/{model}/{seeds}/models",
        train=train_file,
        trial=lambda wildcards: experiment_of(wildcards).data.trial or [],
    output:
        interventions="<results>/estimate/{experiment}/{model}/{seeds}/interventions.csv",
        densities="<results>/estimate/{experiment}/{model}/{seeds}/densities.csv",
        shifts="<results>/estimate/{experiment}/{model}/{seeds}/shifts.csv",
        conditionals="<results>/estimate/{experiment}/{model}/{seeds}/conditionals.csv",
        effects="<results>/estimate/{experiment}/{model}/{seeds}/effects.csv",
        curves="<results>/estimate/{experiment}/{model}/{seeds}/curves.csv",
        draws="<results>/estimate/{experiment}/{model}/{seeds}/draws.csv",
    log:
        "<logs>/estimate/{experiment}/{model}/{seeds}.log",
    benchmark:
        "<benchmarks>/estimate/{experiment}/{model}/{seeds}.jsonl"
    conda:
        "../envs/replication.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=30,
    params:
        identity=lambda wildcards: [wildcards.experiment, wildcards.model],
        by_seed=lambda wildcards: experiment_of(wildcards).data.file is None,
        seeds=lambda wildcards: seeds_of(wildcards.seeds),
        questions=lambda wildcards: experiment_of(wildcards).questions_to(wildcards.model),
        samples=config["evaluation"]["model_samples"],
        code=code_hash("estimate"),
    script:
        "../scripts/estimate.py"


rule truth:
    input:
        verified=verified,
        trial=lambda wildcards: experiment_of(wildcards).data.trial or [],
    output:
        interventions="<results>/truth/{experiment}/interventions.csv",
        densities="<results>/truth/{experiment}/densities.csv",
        shifts="<results>/truth/{experiment}/shifts.csv",
        conditionals="<results>/truth/{experiment}/conditionals.csv",
        effects="<results>/truth/{experiment}/effects.csv",
        curves="<results>/truth/{experiment}/curves.csv",
        draws="<results>/truth/{experiment}/draws.csv",
        coefficients="<results>/truth/{experiment}/coefficients.csv",
    log:
        "<logs>/truth/{experiment}.log",
    conda:
        "../envs/replication.yaml"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=15,
    params:
        experiment=lambda wildcards: wildcards.experiment,
        process=lambda wildcards: experiment_of(wildcards).data.generator,
        questions=lambda wildcards: experiment_of(wildcards).questions,
        samples=config["evaluation"]["truth_samples"],
        fresh=config["evaluation"]["fresh_rows"],
        code=code_hash("truth"),
    script:
        "../scripts/truth.py"


rule evaluate:
    input:
        verified=verified,
        models="<results>/fit/{experiment}/{model}/{seeds}/models",
        estimated_interventions=rules.estimate.output.interventions,
        estimated_shifts=rules.estimate.output.shifts,
        estimated_effects=rules.estimate.output.effects,
        estimated_curves=rules.estimate.output.curves,
        true_interventions=rules.truth.output.interventions,
        true_effects=rules.truth.output.effects,
        true_curves=rules.truth.output.curves,
    output:
        l1="<results>/evaluate/{experiment}/{model}/{seeds}/l1.csv",
        l2="<results>/evaluate/{experiment}/{model}/{seeds}/l2.csv",
        l3="<results>/evaluate/{experiment}/{model}/{seeds}/l3.csv",
        forecasts="<results>/evaluate/{experiment}/{model}/{seeds}/forecasts.csv",
        calibration="<results>/evaluate/{experiment}/{model}/{seeds}/calibration.csv",
    log:
        "<logs>/evaluate/{experiment}/{model}/{seeds}.log",
    benchmark:
        "<benchmarks>/evaluate/{experiment}/{model}/{seeds}.jsonl"
    conda:
        "../envs/replication.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 3000 * attempt,
        runtime=30,
    params:
        identity=lambda wildcards: [wildcards.experiment, wildcards.model],
        seeds=lambda wildcards: seeds_of(wildcards.seeds),
        process=lambda wildcards: experiment_of(wildcards).data.generator,
        questions=lambda wildcards: experiment_of(wildcards).questions_to(wildcards.model),
        counterfactuals=lambda wildcards: experiment_of(wildcards).counterfactuals,
        sizes=config["evaluation"],
        code=code_hash("evaluate"),
    script:
        "../scripts/evaluate.py"
