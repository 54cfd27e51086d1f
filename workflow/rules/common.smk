# Which files belong together. Everything longer than a line lives in replication.experiments.
from pathlib import Path

from replication.experiments import seeds_of
from replication.machine import gpu_visible, r_visible

TABLES = {
    "fits": "fits with certificates",
    "coefficients": "coefficients and cutpoints",
    "effects": "average effects",
    "odds_ratios": "odds ratios of raising a parent",
    "published": "published numbers and ours",
    "ladder": "ladder of specifications",
    "modification": "tests of the ladder",
    "validation": "external validation in the trial",
    "crosscheck": "R and statsmodels",
    "programs": "R, statsmodels and ours side by side",
    "l1": "L1 distances",
    "l2": "L2 errors",
    "l3": "L3 errors",
    "forecasts": "L3 forecasts of ordinal counterfactuals",
    "coverage": "coverage of intervals",
    "monte_carlo": "average effects over fresh cohorts",
}


wildcard_constraints:
    experiment="|".join(EXPERIMENTS),
    named="|".join(NAMED_FIGURES) or "none",
    model="|".join(sorted({m for e in EXPERIMENTS.values() for m in e.models})),
    seeds=r"\d+(-\d+)?",
    replicates=r"\d+(-\d+)?",
    cohorts=r"\d+(-\d+)?",
    variant="[a-z0-9-]+",


def experiment_of(wildcards):
    return EXPERIMENTS[wildcards.experiment]


def model_of(wildcards):
    return experiment_of(wildcards).models[wildcards.model]


def train_file(wildcards):
    """The training rows: a file of one's own or a frozen one, else rows from the generator."""
    file = experiment_of(wildcards).data.file
    return file or "<results>/data/{experiment}/train-{seeds}.csv".format(**wildcards)


def verified(wildcards):
    """The flag that the frozen data are those of their generators; a cohort needs none.

    Not `ancient`: when the verification has to run again, Snakemake looks for no other reason to
    run what depends on it, and an ancient input would then be none either.
    """
    return "<results>/data/verified.json" if experiment_of(wildcards).data.has_truth else []


def per_chunk(pattern, *, experiment):
    """A path for each group of seeds of each model."""
    return [
        pattern.format(experiment=experiment, model=name, seeds=seeds)
        for name, model in EXPERIMENTS[experiment].models.items()
        for seeds in model.chunks()
    ]


def everywhere(pattern, *, with_truth=False):
    """A path for each group of seeds of each model of each experiment."""
    return [
        path
        for name, experiment in EXPERIMENTS.items()
        if experiment.data.has_truth or not with_truth
        for path in per_chunk(pattern, experiment=name)
    ]


def gpus(wildcards):
    """One GPU for models with networks, if the run wants GPUs and can see one."""
    wanted = config["device"] == "cuda" or (config["device"] == "auto" and gpu_visible())
    return int(wanted and not model_of(wildcards).exact)


def frozen_files(folder):
    """Frozen tables and truths; the reference of other software is no generator's."""
    paths = Path(folder).rglob("*")
    return sorted(str(p) for p in paths if p.name in {"obs.csv", "rct.csv", "truth.json"})


def classical_first_chunks(pattern):
    """A path for the first group of seeds of every model that classical software fits too."""
    return [
        pattern.format(experiment=name, model=model, seeds=experiment.models[model].chunks()[0])
        for name, experiment in EXPERIMENTS.items()
        for model in experiment.crosschecked_models()
    ]


def stored(name):
    """The tables of answers by that name of every model of the experiment."""
    pattern = f"<results>/estimate/{{experiment}}/{{model}}/{{seeds}}/{name}.csv"
    return lambda wildcards: per_chunk(pattern, experiment=wildcards.experiment)


def fitted(name):
    """The tables of fits by that name of every model of the experiment."""
    pattern = f"<results>/fit/{{experiment}}/{{model}}/{{seeds}}/{name}.csv"
    return lambda wildcards: per_chunk(pattern, experiment=wildcards.experiment)


def diagnosed(name):
    """The tables by that name of every model of the experiment."""
    pattern = f"<results>/diagnose/{{experiment}}/{{model}}/{{seeds}}/{name}.csv"
    return lambda wildcards: per_chunk(pattern, experiment=wildcards.experiment)


def calibration_file(wildcards):
    """Rows with outcomes that no model has seen, else the training file; None if seeds differ.

    A trial that is no validation may lack the outcomes.
    """
    experiment = experiment_of(wildcards)
    return experiment.data.trial if experiment.validation else experiment.data.file


def specs_of(wildcards, *, exact=False):
    """Specifications of the transformation models, all of them or those that are solved exactly."""
    models = experiment_of(wildcards).models.items()
    return {
        name: model.spec
        for name, model in models
        if model.baseline is None and (model.exact or not exact)
    }


def truth_of(name):
    """The generator's table by that name, or nothing for a cohort of one's own."""
    return lambda wildcards: (
        f"<results>/truth/{wildcards.experiment}/{name}.csv"
        if experiment_of(wildcards).data.has_truth
        else []
    )


def observed_file(wildcards):
    """The rows of a cohort of one's own, which stand in for the truth, or nothing."""
    data = experiment_of(wildcards).data
    return [] if data.has_truth else data.file


def titles_of(wildcards):
    return {name: model.title for name, model in experiment_of(wildcards).models.items()}


def effect_of(wildcards):
    """The average effect that figures draw: the first one that is asked for."""
    return dict(experiment_of(wildcards).effects[0])


def units_of(wildcards):
    return dict(experiment_of(wildcards).units)


def figures_of_all():
    """Every figure that the experiments ask for, and those with names of their own, twice."""
    figures = [
        f"{name}/{figure}"
        for name, experiment in EXPERIMENTS.items()
        for figure in experiment.figures
    ]
    return [
        f"<results>/figures/{figure}.{suffix}"
        for figure in [*figures, *NAMED_FIGURES]
        for suffix in ("png", "pdf")
    ]


def gallery_pictures(wildcards):
    """The pictures of the documentation, which show the full replication or nothing."""
    if not config["run"]["complete"]:
        raise WorkflowError("gallery: docs/gallery shows runs at full scale; this one is not.")
    return [f"docs/gallery/{name}.png" for name, own in NAMED_FIGURES.items() if own.gallery]


def coverage_of(wildcards):
    return experiment_of(wildcards).coverage


def covered_spec(wildcards):
    return experiment_of(wildcards).models[coverage_of(wildcards).model].spec


def monte_carlo_of(wildcards):
    return experiment_of(wildcards).monte_carlo


def variant_of(wildcards):
    return monte_carlo_of(wildcards).variants[wildcards.variant]


def runs_of(wildcards):
    """Model and seeds of each group of seeds of the experiment."""
    models = experiment_of(wildcards).models.items()
    return [[name, seeds_of(chunk)] for name, model in models for chunk in model.chunks()]


def fitted_models(wildcards):
    """The folder of fitted models of each group of seeds of the experiment."""
    pattern = "<results>/fit/{experiment}/{model}/{seeds}/models"
    return per_chunk(pattern, experiment=wildcards.experiment)


def process_of(wildcards):
    """The generator, or None for a cohort of one's own."""
    data = experiment_of(wildcards).data
    return data.generator if data.has_truth else None


def r_comparisons(wildcards):
    """The cross-checks of the models whose published numbers are R's."""
    experiment = experiment_of(wildcards)
    wanted = {entry["model"] for entry in experiment.published if entry["by"] == "R"}
    return [
        f"<results>/crosscheck/{experiment.name}/{name}/{chunk}/compared.csv"
        for name in experiment.crosschecked_models()
        if name in wanted
        for chunk in experiment.models[name].chunks()[:1]
    ]


def chapters(pattern, key):
    """A path for each experiment whose chapter has that part."""
    return [
        pattern.format(experiment=name)
        for name, experiment in EXPERIMENTS.items()
        if getattr(experiment, key)
    ]


def validations(name):
    """The validation tables by that name of every experiment that is held against a trial."""
    pattern = f"<results>/validate/{{experiment}}/{{model}}/{{seeds}}/{name}.csv"
    return [
        path
        for experiment in EXPERIMENTS.values()
        if experiment.validation
        for path in per_chunk(pattern, experiment=experiment.name)
    ]


def validated(name):
    """The validation tables by that name of every model of the experiment."""
    pattern = f"<results>/validate/{{experiment}}/{{model}}/{{seeds}}/{name}.csv"
    return lambda wildcards: per_chunk(pattern, experiment=wildcards.experiment)


def folded_seeds(wildcards):
    """Seeds of a cross-validation; one is enough where they change nothing."""
    seeds = experiment_of(wildcards).ladder.seeds
    return list(seeds[:1] if model_of(wildcards).exact else seeds)


def coverage_studies():
    """The summary of every study of coverage."""
    return [
        f"<results>/coverage/{name}/summary.csv"
        for name, experiment in EXPERIMENTS.items()
        if experiment.coverage
    ]


def monte_carlo_studies(name):
    """The table by that name of every Monte Carlo study."""
    return [
        f"<results>/monte_carlo/{experiment.name}/{name}.csv"
        for experiment in EXPERIMENTS.values()
        if experiment.monte_carlo
    ]


def truths(name):
    """The tables by that name of every generator."""
    return [
        f"<results>/truth/{experiment.name}/{name}.csv"
        for experiment in EXPERIMENTS.values()
        if experiment.data.has_truth
    ]


def banner():
    """A warning on top of the tables and the scorecard of a run that is not at full scale."""
    if config["run"]["complete"]:
        return ""
    return (
        f"{config['run']['name'].upper()}: tiny samples and few epochs show that every part works; "
        "the numbers and verdicts do not judge the claims."
    )
