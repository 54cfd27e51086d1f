# Tables over all experiments, the scorecard, and the pages of the report.


rule tables:
    input:
        fits=everywhere("<results>/fit/{experiment}/{model}/{seeds}/nodes.csv"),
        coefficients=everywhere("<results>/fit/{experiment}/{model}/{seeds}/coefficients.csv"),
        effects=everywhere("<results>/estimate/{experiment}/{model}/{seeds}/effects.csv"),
        l1=everywhere("<results>/evaluate/{experiment}/{model}/{seeds}/l1.csv", with_truth=True),
        l2=everywhere("<results>/evaluate/{experiment}/{model}/{seeds}/l2.csv", with_truth=True),
        l3=everywhere("<results>/evaluate/{experiment}/{model}/{seeds}/l3.csv", with_truth=True),
        forecasts=everywhere(
            "<results>/evaluate/{experiment}/{model}/{seeds}/forecasts.csv", with_truth=True
        ),
        crosscheck=classical_first_chunks(
            "<results>/crosscheck/{experiment}/{model}/{seeds}/compared.csv"
        ),
        coverage=coverage_studies(),
        monte_carlo=monte_carlo_studies("summary"),
        cohorts=monte_carlo_studies("cohorts"),
        published=chapters("<results>/published/{experiment}.csv", "published"),
        ladder=chapters("<results>/ladder/{experiment}/ladder.csv", "ladder"),
        modification=chapters("<results>/ladder/{experiment}/tests.csv", "ladder"),
        validation=validations("scores"),
        truth=truths("effects"),
        true_coefficients=truths("coefficients"),
    output:
        tidy=[f"<results>/tables/{name}.csv" for name in [*TABLES, "cohorts", "truth"]],
    log:
        "<logs>/tables.log",
    conda:
        "../envs/replication.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        odds_ratios={n: e.questions["odds_ratios"] for n, e in EXPERIMENTS.items()},
        code=code_hash("tables"),
    script:
        "../scripts/tables.py"


rule table_pages:
    input:
        tidy=expand("<results>/tables/{table}.csv", table=TABLES),
    output:
        markdown=expand("<results>/tables/{table}.md", table=TABLES),
        pages=[
            report(
                f"<results>/tables/{table}.html",
                caption="../report/tables.rst",
                category="Tables",
                labels={"table": title},
            )
            for table, title in TABLES.items()
        ],
    log:
        "<logs>/table_pages.log",
    conda:
        "../envs/replication.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        banner=lambda wildcards: banner(),
        code=code_hash("table_pages"),
    script:
        "../scripts/table_pages.py"


rule scorecard:
    input:
        claims=config["claims"],
        tidy=rules.tables.output.tidy,
    output:
        csv="<results>/scorecard.csv",
        markdown="<results>/scorecard.md",
        rst="<results>/scorecard.rst",
        html=report(
            "<results>/scorecard.html",
            caption="../report/scorecard.rst",
            category="Scorecard",
            labels={"table": "published claims"},
        ),
    log:
        "<logs>/scorecard.log",
    conda:
        "../envs/replication.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        experiments=list(EXPERIMENTS),
        run=lambda wildcards: config["run"]["name"],
        banner=lambda wildcards: banner(),
        code=code_hash("scorecard"),
    script:
        "../scripts/scorecard.py"
