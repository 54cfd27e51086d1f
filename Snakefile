# The replication from frozen data to report: `snakemake --cores 8 all`.
# Settings stand in workflow/config/, the rules' chapters in workflow/rules/.
from snakemake.utils import min_version

min_version("9.0")

from snakemake.pathvars import Pathvars

from replication.cohort_record import check_record, sources_of, write_record
from replication.config import ConfigError, complete_config
from replication.experiments import load_experiments, run_name
from replication.named_figures import load_named_figures
from replication.own_cohort import with_own_cohort
from replication.provenance import code_hash
from replication.report import write_report


configfile: "workflow/config/config.yaml"
configfile: "workflow/config/experiments.yaml"
configfile: "workflow/config/figures.yaml"


try:
    # assigned in place: Snakemake keeps this very mapping
    SOURCES = sources_of(config)
    given = with_own_cohort(config)
    config.clear()
    config.update(complete_config(given))
    EXPERIMENTS = load_experiments(config)
    NAMED_FIGURES = load_named_figures(config, EXPERIMENTS)
    config["run"]["name"] = run_name(config, EXPERIMENTS)
    check_record(SOURCES, results=config["pathvars"]["results"])
except ConfigError as error:
    # without a traceback: the message says what to change
    raise WorkflowError(str(error)) from None


# Snakemake has read the variables of the configuration before it was completed
workflow.pathvars.update(Pathvars.from_config(config))


pathvars:
    logs="<results>/logs",
    benchmarks="<results>/benchmarks",


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/fit.smk"
include: "workflow/rules/crosscheck.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/chapter.smk"
include: "workflow/rules/coverage.smk"
include: "workflow/rules/monte_carlo.smk"
include: "workflow/rules/chapter_figures.smk"
include: "workflow/rules/diagnose.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/named_figures.smk"
include: "workflow/rules/report.smk"


# seconds each: not worth a place in a cluster's queue
localrules:
    all,
    calibration,
    counterfactuals,
    coverage_figure,
    coverage_summary,
    dag,
    densities,
    effects,
    forecasts,
    forest,
    gallery,
    gallery_picture,
    history,
    ladder_figure,
    marginals,
    mechanisms,
    monte_carlo_figure,
    monte_carlo_summary,
    named_figure,
    odds_ratio,
    odds_ratio_by_modifier,
    pairs,
    published,
    scorecard,
    shift_curves,
    table_pages,
    tables,
    trajectories,
    trial_benefit,
    trial_effects,
    trial_outcomes,
    trial_risks,


rule all:
    default_target: True
    input:
        rules.scorecard.output,
        rules.tables.output,
        rules.table_pages.output,
        figures_of_all(),


# not part of `all`: it writes into the documentation
rule gallery:
    input:
        gallery_pictures,


onstart:
    write_record(SOURCES, results=config["pathvars"]["results"])


onsuccess:
    if any(job.rule.name == "all" for job in workflow.dag.jobs):
        write_report(
            snakefile=workflow.main_snakefile,
            config=config,
            results=workflow.pathvars.get("results"),
        )
