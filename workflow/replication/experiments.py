"""Experiments as the rules see them: which data, which models, which seeds, which files.

Everything here is plain Python without numerical packages, because Snakemake reads it before every
run. The settings come from a configuration that :mod:`replication.config` has completed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from replication.baseline_checks import check_baseline
from replication.chapter_plan import Ladder, check_chapter, load_ladder
from replication.chunks import chunk_label, chunks, seeds_of
from replication.cohort_checks import check_cohort
from replication.config import ConfigError, check_known
from replication.coverage_plan import Coverage, load_coverage
from replication.monte_carlo_plan import MonteCarlo, load_monte_carlo
from replication.question_checks import check_figures, check_questions
from replication.spec_checks import check_same_columns, check_spec

__all__ = [
    "Coverage",
    "Data",
    "Experiment",
    "Ladder",
    "Model",
    "MonteCarlo",
    "chunk_label",
    "has_main_effects_only",
    "is_classical",
    "is_classical_node",
    "is_exact",
    "load_experiments",
    "run_name",
    "seeds_of",
]


MOST_TITLES = 3
"""Most experiments whose titles make the name of a run."""

SHOWN_ROWS = 2000
"""Rows of a sample that are stored for the figure ``pairs``, as many as a panel can show."""


@dataclass(frozen=True)
class Data:
    """Where the rows of an experiment come from.

    Attributes:
        process: Name of a generator, or None for a cohort of one's own.
        arguments: Keyword arguments of the generator.
        rows: Training rows per seed drawn from the generator, or None.
        file: The training rows of every seed, or None.
        trial: The population that effects are averaged over, or None.
        reference: Folder of R's committed results on the file, or None.
    """

    process: str | None
    arguments: Mapping[str, Any]
    rows: int | None
    file: str | None
    trial: str | None
    reference: str | None

    @property
    def has_truth(self) -> bool:
        """Whether a generator knows the answers."""
        return self.process is not None

    @property
    def generator(self) -> dict[str, Any]:
        """Name and arguments of the generator, ready for a rule's params."""
        return {"name": self.process, "arguments": dict(self.arguments)}


@dataclass(frozen=True)
class Model:
    """One specification with the settings of its fit.

    Attributes:
        name: Identity in paths.
        title: Name in tables and figures.
        spec: Plain form of the specification, see ``tramdag.spec_from_dict``.
        fit: Keyword arguments of ``CausalFlowDAG.fit``.
        seeds: The seeds, 0, 1, ....
        seeds_per_job: How many of them one job handles.
        baseline: Kind and size of a flow of other authors, for which only the edges of the
            specification count; None for a transformation model.
    """

    name: str
    title: str
    spec: Mapping[str, Mapping[str, Any]]
    fit: Mapping[str, Any]
    seeds: tuple[int, ...]
    seeds_per_job: int
    baseline: Mapping[str, Any] | None = None

    @property
    def exact(self) -> bool:
        """Whether every node is solved exactly, and so needs neither a second seed nor a GPU."""
        return self.baseline is None and _is_solved_exactly(self.spec, self.fit)

    def chunks(self) -> list[str]:
        """Labels of the groups of seeds that one job each handles, such as ``0-2``."""
        return chunks(self.seeds, self.seeds_per_job)


@dataclass(frozen=True)
class Experiment:
    """Data, models and questions; see the schema for the meaning of each field."""

    name: str
    title: str
    source: str
    data: Data
    models: Mapping[str, Model]
    crosscheck: bool = True
    units: Mapping[str, str] = field(default_factory=dict)
    interventions: Sequence[Mapping[str, Any]] = ()
    shifts: Sequence[Mapping[str, str]] = ()
    conditionals: Sequence[Mapping[str, Any]] = ()
    effects: Sequence[Mapping[str, Any]] = ()
    odds_ratios: Sequence[Mapping[str, Any]] = ()
    counterfactuals: Mapping[str, Any] = field(default_factory=dict)
    coverage: Coverage | None = None
    monte_carlo: MonteCarlo | None = None
    ladder: Ladder | None = None
    validation: bool = False
    published: Sequence[Mapping[str, Any]] = ()
    figures: Sequence[str] = ()

    @property
    def questions(self) -> dict[str, Any]:
        """What is asked of every fitted model and of the truth alike."""
        return {
            "interventions": [dict(entry["do"]) for entry in self.interventions],
            "shifts": [dict(entry) for entry in self.shifts],
            "conditionals": [dict(entry) for entry in self.conditionals],
            "effects": [dict(entry) for entry in self.effects],
            "odds_ratios": [dict(entry) for entry in self.odds_ratios],
            "curves": [dict(entry) for entry in self.counterfactuals.get("curves", ())],
            "draws": SHOWN_ROWS if "pairs" in self.figures else 0,
        }

    @property
    def ordinal(self) -> list[str]:
        """Names of the ordinal columns."""
        return list(self.levels)

    @property
    def levels(self) -> dict[str, int]:
        """Numbers of levels of the ordinal columns; all models have the same columns."""
        spec = next(iter(self.models.values())).spec
        return {name: node["levels"] for name, node in spec.items() if node["kind"] == "ordinal"}

    @property
    def observed(self) -> list[dict[str, float]]:
        """The observation behind each counterfactual curve."""
        return [dict(entry["observation"]) for entry in self.questions["curves"]]

    def questions_to(self, model: str) -> dict[str, Any]:
        """What is asked of a model: a baseline has no shifts, and no odds ratio follows from it."""
        if self.models[model].baseline is None:
            return self.questions
        return self.questions | {"shifts": [], "conditionals": [], "odds_ratios": []}

    def crosschecked_models(self) -> list[str]:
        """Names of the models that classical software fits as well."""
        return [
            name
            for name, model in self.models.items()
            if self.crosscheck and model.exact and has_main_effects_only(model.spec)
        ]


def load_experiments(config: Mapping[str, Any]) -> dict[str, Experiment]:
    """Experiments of a completed configuration, after checks that no schema can express.

    Raises:
        ConfigError: A name, a file or a combination is not allowed; the message names it.
    """
    entries = config["experiments"]
    for name in config["only"]:
        check_known(name, sorted(entries), where="only", what="experiment")
    names = config["only"] or list(entries)
    return {name: _experiment(name, entries[name], config) for name in names}


def run_name(config: Mapping[str, Any], experiments: Mapping[str, Experiment]) -> str:
    """How a run calls itself: by its name in the configuration, else by what it runs.

    A run of every experiment is the full replication, one of a few goes by their titles.

    Args:
        config: The completed configuration.
        experiments: Those of the run.
    """
    if "name" in config["run"]:
        return str(config["run"]["name"])
    if not config["only"]:
        return "full replication"
    if len(experiments) > MOST_TITLES:
        return f"{len(experiments)} of {len(config['experiments'])} experiments"
    return "; ".join(experiment.title for experiment in experiments.values())


def is_classical_node(node: Mapping[str, Any]) -> bool:
    """Whether a node has linear shifts only, and a head whose likelihood is convex."""
    kinds = [*node.get("parents", {}).values(), *(term["kind"] for term in node.get("terms", ()))]
    return all(kind == "ls" for kind in kinds) and node.get("transform") != "spline"


def is_classical(spec: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether every node of a specification is classical, see :func:`is_classical_node`."""
    return all(is_classical_node(node) for node in spec.values())


def is_exact(spec: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether every node has a convex likelihood: shifts by no network, and no spline head."""
    return all(
        is_classical_node({**node, "terms": [t for t in node.get("terms", ()) if not _convex(t)]})
        for node in spec.values()
    )


def has_main_effects_only(spec: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether every term is a linear shift by one parent, which other programs fit too."""
    terms = [term for node in spec.values() for term in node.get("terms", ())]
    return is_classical(spec) and all(len(term["parents"]) == 1 for term in terms)


def _convex(term: Mapping[str, Any]) -> bool:
    """Whether a term is linear in its parameters: a varying coefficient is, unless by a network."""
    return term["kind"] == "ls" or (term["kind"] == "vc" and "hidden" not in term)


def _is_solved_exactly(spec: Mapping[str, Mapping[str, Any]], fit: Mapping[str, Any]) -> bool:
    return is_exact(spec) and fit.get("optimizer", "auto") == "auto"


def _experiment(name: str, entry: Mapping[str, Any], config: Mapping[str, Any]) -> Experiment:
    for key, model in entry["models"].items():
        check_spec(model["spec"], where=f"experiments.{name}.models.{key}.spec")
        check_baseline(model, where=f"experiments.{name}.models.{key}")
    check_same_columns(
        {key: model["spec"] for key, model in entry["models"].items()},
        where=f"experiments.{name}.models",
    )
    if all("baseline" in model for model in entry["models"].values()):
        raise ConfigError(
            f"experiments.{name}.models: every model is a baseline; give at least one without the "
            "key 'baseline', which they stand beside."
        )
    entry = _with_first_models(entry, config["limits"]["models"])
    data = _data(name, entry["data"], config["limits"])
    models = {
        key: _model(key, model, data=data, config=config) for key, model in entry["models"].items()
    }
    exact = [key for key, model in models.items() if model.exact]
    check_chapter(name, entry, models=list(models))
    experiment = Experiment(
        name=name,
        title=entry["title"],
        source=entry["source"],
        data=data,
        models=models,
        crosscheck=entry["crosscheck"],
        units=entry["units"],
        interventions=entry["interventions"],
        shifts=entry["shifts"],
        conditionals=entry["conditionals"],
        effects=entry["effects"],
        odds_ratios=entry["odds_ratios"],
        counterfactuals=entry["counterfactuals"],
        coverage=load_coverage(name, entry, exact=exact, limits=config["limits"]),
        monte_carlo=load_monte_carlo(name, entry, limits=config["limits"]),
        ladder=load_ladder(name, entry, exact=exact, limits=config["limits"]),
        validation=entry["validation"],
        published=entry["published"],
        figures=entry["figures"],
    )
    check_questions(experiment)
    check_figures(experiment)
    if not data.has_truth:
        check_cohort(experiment)
    return experiment


def _with_first_models(entry: Mapping[str, Any], limit: int | None) -> Mapping[str, Any]:
    """The entry with as many of its models as a limit allows, and studies of those alone."""
    first = dict(list(entry["models"].items())[:limit])
    study = entry.get("monte_carlo")
    if study is None:
        return {**entry, "models": first}
    kept = [model for model in study["models"] if model in first or model not in entry["models"]]
    return {**entry, "models": first, "monte_carlo": {**study, "models": kept}}


def _data(name: str, entry: Mapping[str, Any], limits: Mapping[str, Any]) -> Data:
    process, rows, file = entry.get("process"), entry.get("rows"), entry.get("file")
    if (rows is None) == (file is None):
        raise ConfigError(
            f"experiments.{name}.data: give either rows (drawn from a process) or file (a CSV), "
            f"got {'both' if rows is not None else 'neither'}."
        )
    if rows is not None and process is None:
        raise ConfigError(f"experiments.{name}.data: rows needs a process to draw them from.")
    for key in ("file", "trial", "reference"):
        path = entry.get(key)
        if path is not None and not Path(path).exists():
            raise ConfigError(
                f"experiments.{name}.data.{key}: there is nothing at {path!r}; paths are relative "
                f"to {Path.cwd()}."
            )
    if rows is not None and limits["rows"] is not None:
        rows = min(rows, limits["rows"])
    return Data(
        process=process,
        arguments=entry["arguments"],
        rows=rows,
        file=file,
        trial=entry.get("trial"),
        reference=entry.get("reference"),
    )


def _model(name: str, entry: Mapping[str, Any], *, data: Data, config: Mapping[str, Any]) -> Model:
    limits = config["limits"]
    fit = dict(entry["fit"])
    if limits["epochs"] is not None:
        fit["epochs"] = min(fit.get("epochs", limits["epochs"]), limits["epochs"])
    exact = "baseline" not in entry and _is_solved_exactly(entry["spec"], fit)
    if exact:
        # nothing of the stochastic training applies, and a changed limit must not refit
        fit = {key: value for key, value in fit.items() if key == "optimizer"}
    if exact and data.file is not None:
        # the fit is one convex problem on the same rows: every seed would give it again
        count = 1
    else:
        count = entry.get("seeds", config["seeds"]["exact" if exact else "network"])
        count = min(count, limits["seeds"] or count)
    return Model(
        name=name,
        title=entry.get("title", name),
        spec=entry["spec"],
        fit=fit,
        seeds=tuple(range(count)),
        seeds_per_job=entry.get("seeds_per_job", config["seeds_per_job"]),
        baseline=entry.get("baseline"),
    )
