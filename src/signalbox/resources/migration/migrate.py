"""A set of manifests, converted together: what one object becomes may depend on the others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from signalbox.resources.inferencemodel import InferenceModel
from signalbox.resources.inferencepool import InferencePool
from signalbox.resources.migration.manifest import Content, Entry, Manifest, entries_of
from signalbox.resources.migration.objects import objective_of, pool_in_v1, priority_of, rewrite_of
from signalbox.resources.migration.references import PoolName, Repointed
from signalbox.resources.problems import InvalidResource, Key, Origin, Problem
from signalbox.resources.rewrite import InferenceModelRewrite

MOST_LABELS = 64
"""How many labels the selector of a v1 pool may hold; at least one."""


@dataclass(frozen=True, slots=True)
class Output:
    """One document of the result, and whether it is new or changed."""

    content: Content
    converted: bool


@dataclass(frozen=True, slots=True)
class Header:
    """What clients have to send from now on: ``x-gateway-inference-objective: {objective}`` with this model."""

    model: str
    objective: str
    priority: int


@dataclass(frozen=True, slots=True)
class Migration:
    """The result. ``outputs`` has one tuple for each input document, in order; a converted List comes as its items."""

    outputs: tuple[tuple[Output, ...], ...]
    pools: int
    models: int
    repointed: int
    """How many routes, objectives and rewrites refer to a pool by its new group now."""
    headers: tuple[Header, ...]
    notes: tuple[str, ...]

    def count(self, kind: str) -> int:
        """Return how many new or changed objects of a kind there are."""
        return sum(out.converted and out.content["kind"] == kind for group in self.outputs for out in group)


def migrate(manifests: Iterable[Manifest]) -> Migration:
    """Return the manifests in the stable API. What is in no need of conversion comes back as it was.

    Raises InvalidResource with everything that stands in the way: invalid objects, names that are taken, and what
    the new kinds cannot say.
    """
    manifests = tuple(manifests)
    found = list(entries_of(manifests))
    problems = [one for one in found if isinstance(one, Problem)]
    conversion = _Conversion([one for one in found if isinstance(one, Entry)])
    problems += conversion.problems
    if problems:
        raise InvalidResource(problems)
    return conversion.result(manifests)


class _Conversion:
    def __init__(self, entries: list[Entry]) -> None:
        self.problems: list[Problem] = []
        self._entries = entries
        self._notes: list[str] = []
        self._headers: list[Header] = []
        self._repointed = 0
        self._known: dict[Key, Entry] = {}
        for entry in entries:
            if entry.resource is not None and self._known.setdefault(entry.resource.key, entry) is not entry:
                first = self._known[entry.resource.key].resource
                message = f"is already defined at {first.origin if first else '?'}"
                self._problem(entry, "", message, "remove one of the two")
        self._pools: set[PoolName] = {
            (entry.namespace, pool.metadata.name) for entry in entries if (pool := _old_pool(entry)) is not None
        }
        self._serving = _oldest_by_model_name(entries)
        self._rewrites = [entry.resource for entry in entries if isinstance(entry.resource, InferenceModelRewrite)]
        self._converted = [self._convert(entry) for entry in entries]

    def result(self, manifests: tuple[Manifest, ...]) -> Migration:
        """Return what became of the documents."""
        outputs: list[list[Output]] = [[] for _ in manifests]
        touched = set()
        for entry, converted in zip(self._entries, self._converted, strict=True):
            outputs[entry.document] += converted
            if converted != [Output(entry.content, converted=False)]:
                touched.add(entry.document)
        for index, manifest in enumerate(manifests):
            if index not in touched:
                outputs[index] = [Output(manifest.content, converted=False)]
        models = sum(isinstance(entry.resource, InferenceModel) for entry in self._entries)
        if models:
            self._notes.append("a pool without InferenceModels passes model names it does not know on to its servers")
        return Migration(
            tuple(tuple(group) for group in outputs),
            pools=len(self._pools),
            models=models,
            repointed=self._repointed,
            headers=tuple(self._headers),
            notes=tuple(dict.fromkeys(self._notes)),
        )

    def _convert(self, entry: Entry) -> list[Output]:
        pool = _old_pool(entry)
        if pool is not None:
            labels = len(pool.spec.selector.match_labels)
            if not 1 <= labels <= MOST_LABELS:
                message = f"holds {labels} labels; v1 takes 1 to {MOST_LABELS}"
                self._problem(entry, "spec.selector", message, "select the pods by other labels")
            return [Output(pool_in_v1(entry.content, pool), converted=True)]
        if isinstance(entry.resource, InferenceModel):
            return self._convert_model(entry, entry.resource)
        repointed = Repointed(entry, self._pools)
        for namespace, name in repointed.left:
            self._notes.append(
                f"{_named(entry)} still names the v1alpha2 InferencePool {namespace}/{name}, not among the inputs"
            )
        self._repointed += repointed.changed
        return [Output(repointed.content, repointed.changed)]

    def _convert_model(self, entry: Entry, model: InferenceModel) -> list[Output]:
        winner = self._serving[_claim(model)]
        if winner is not model:
            self._notes.append(
                f"{_named(entry)} becomes nothing: modelName {model.spec.model_name!r} belongs to the older"
                f" {winner.metadata.name}"
            )
            return []
        outputs = []
        if priority_of(model):
            self._name_is_free(entry, "InferenceObjective")
            self._headers.append(Header(model.spec.model_name, model.metadata.name, priority_of(model)))
            outputs.append(objective_of(entry.content, model))
        if model.spec.target_models:
            if not model.spec.model_name:
                self._problem(entry, "spec.modelName", "is empty, which no rewrite can match", "give the model a name")
            overriding = self._overriding(model)
            if overriding is not None:
                self._notes.append(
                    f"targetModels of {_named(entry)} are left out: InferenceModelRewrite {overriding} overrode them"
                )
            else:
                self._name_is_free(entry, "InferenceModelRewrite")
                outputs.append(rewrite_of(entry.content, model))
        return [Output(content, converted=True) for content in outputs]

    def _overriding(self, model: InferenceModel) -> str | None:
        """Return the name of a rewrite that applied before the model's targets did."""
        for rewrite in self._rewrites:
            same_pool = rewrite.spec.pool_ref.name == model.spec.pool_ref.name
            if not same_pool or rewrite.metadata.namespace != model.metadata.namespace:
                continue
            for rule in rewrite.spec.rules:
                if not rule.matches or any(match.value == model.spec.model_name for match in rule.matches):
                    return rewrite.metadata.name
        return None

    def _name_is_free(self, entry: Entry, kind: str) -> None:
        assert entry.resource is not None
        taken = self._known.get(entry.resource.key._replace(kind=kind))
        if taken is not None and taken.resource is not None:
            message = f"would become {kind}/{entry.resource.metadata.name}, which is defined at {taken.resource.origin}"
            self._problem(entry, "metadata.name", message, "rename one of the two")

    def _problem(self, entry: Entry, field: str, message: str, fix: str) -> None:
        assert entry.resource is not None
        resource = entry.resource
        origin = resource.origin or Origin("")
        if entry.lines is not None and field:
            origin = origin._replace(line=entry.lines(tuple(field.split("."))))
        self.problems.append(Problem(origin, resource.kind, resource.metadata.name, field, message, fix))


def _old_pool(entry: Entry) -> InferencePool | None:
    pool = entry.resource
    return pool if isinstance(pool, InferencePool) and pool.written_as != pool.api_version else None


Claim = tuple[str, str, str]


def _claim(model: InferenceModel) -> Claim:
    return model.metadata.namespace, model.spec.pool_ref.name, model.spec.model_name


def _oldest_by_model_name(entries: Iterable[Entry]) -> dict[Claim, InferenceModel]:
    """Return who serves a name in a pool: the oldest, by creation time, else by order."""
    models = [entry.resource for entry in entries if isinstance(entry.resource, InferenceModel)]
    serving: dict[Claim, InferenceModel] = {}
    for model in sorted(models, key=lambda one: one.created or datetime.max.replace(tzinfo=UTC)):
        serving.setdefault(_claim(model), model)
    return serving


def _named(entry: Entry) -> str:
    name = (entry.content.get("metadata") or {}).get("name", "?")
    return f"{entry.content.get('kind')} {entry.namespace}/{name}"
