# Classical nodes again, by programs that share no code with the library. One seed is enough: the
# optimum does not depend on it. R runs in a process of its own, without torch.


rule crosscheck_r:
    input:
        verified=verified,
        observational=train_file,
        trial=lambda wildcards: experiment_of(wildcards).data.trial or [],
    output:
        output="<results>/crosscheck/{experiment}/{model}/{seeds}/r.csv",
    log:
        "<logs>/crosscheck_r/{experiment}/{model}/{seeds}.log",
    conda:
        "../envs/replication.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=15,
    params:
        by_seed=lambda wildcards: experiment_of(wildcards).data.file is None,
        seeds=lambda wildcards: seeds_of(wildcards.seeds)[:1],
        spec=lambda wildcards: model_of(wildcards).spec,
        effects=lambda wildcards: experiment_of(wildcards).questions["effects"],
        frozen=lambda wildcards: experiment_of(wildcards).data.reference,
        # installing R later reruns the job
        installed=r_visible(),
        code=code_hash("crosscheck_r"),
    script:
        "../scripts/crosscheck_r.py"


rule crosscheck_statsmodels:
    input:
        verified=verified,
        observational=train_file,
        trial=lambda wildcards: experiment_of(wildcards).data.trial or [],
    output:
        output="<results>/crosscheck/{experiment}/{model}/{seeds}/statsmodels.csv",
    log:
        "<logs>/crosscheck_statsmodels/{experiment}/{model}/{seeds}.log",
    conda:
        "../envs/replication.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=15,
    params:
        by_seed=lambda wildcards: experiment_of(wildcards).data.file is None,
        seeds=lambda wildcards: seeds_of(wildcards.seeds)[:1],
        spec=lambda wildcards: model_of(wildcards).spec,
        effects=lambda wildcards: experiment_of(wildcards).questions["effects"],
        code=code_hash("crosscheck_statsmodels"),
    script:
        "../scripts/crosscheck_statsmodels.py"


rule crosscheck:
    input:
        references=[
            "<results>/crosscheck/{experiment}/{model}/{seeds}/r.csv",
            "<results>/crosscheck/{experiment}/{model}/{seeds}/statsmodels.csv",
        ],
        parameters=rules.fit.output.parameters,
        nodes=rules.fit.output.nodes,
        effects="<results>/estimate/{experiment}/{model}/{seeds}/effects.csv",
    output:
        compared="<results>/crosscheck/{experiment}/{model}/{seeds}/compared.csv",
    log:
        "<logs>/crosscheck/{experiment}/{model}/{seeds}.log",
    conda:
        "../envs/replication.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        identity=lambda wildcards: [wildcards.experiment, wildcards.model],
        questions=lambda wildcards: experiment_of(wildcards).questions["effects"],
        code=code_hash("crosscheck"),
    script:
        "../scripts/crosscheck.py"
