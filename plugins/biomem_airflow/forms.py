"""The forms of the DAGs that people start by hand, made from the parameters' own documentation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import Param
from biomem.errors import BiomemError, ConfigurationError
from biomem.parameters import load_parameters, parameters_with
from biomem.settings import load_settings
from biomem.source.mapping import load_sources
from biomem.warehouse.context import STAGES
from biomem.whatif.trial import Question

from biomem_airflow.operators.run_facts import as_instant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from biomem.parameters import Parameter
    from biomem.settings import Settings

# what a person may want to try, by section of the form; everything else goes into `other_parameters`
OFFERED = {
    "Forgetting": ("forgetting_threshold", "memory_budget", "arousal_gain", "restudy_rho"),
    "Consolidation": ("long_term_memory_threshold", "replay_stability_factor", "consolidation_rate", "need_half_days"),
    "Working memory": ("working_memory_capacity", "attention_window_s"),
    "Associations": ("hebbian_learning_rate", "synaptic_decay_rate", "association_pruning_threshold"),
}
DECAY = "decay"
# the exponent of forgetting among fsrs_weights
WEIGHTS, EXPONENT = "fsrs_weights", 20
INSTANT = "An instant in ISO 8601, e.g. 2026-05-31T20:30:00Z. "


def what_if_params() -> dict[str, Param]:
    """Return the form of what_if. A field left empty keeps the parameter as it is."""
    parameters = _parameters()
    weights = parameters[WEIGHTS]
    fields = {
        DECAY: Param(
            None,
            type=["null", "number"],
            minimum=weights.low[EXPONENT],
            maximum=weights.high[EXPONENT],
            title="Decay: how fast memories fade",
            description="Exponent of the forgetting curve (the last of fsrs_weights). Smaller is slower: at 0.1 one "
            f"lasts about three times as long as at 0.1542. Now {weights.value[EXPONENT]:g}; empty: as now.",
            section="Forgetting",
        )
    }
    for section, names in OFFERED.items():
        fields |= {name: _field(parameters[name], section) for name in names}
    return {
        **fields,
        "other_parameters": Param(
            {},
            type="object",
            title="Other parameters",
            description='Any other parameter by name, as JSON: {"base_level_decay": 0.4, "merge_repeats": false}. '
            "`biomem params` lists them all with their ranges and meanings.",
            section="Other parameters",
        ),
        "agent_id": _agent("Compute the memories of this agent only, which is faster. Empty: all agents."),
        "as_of": _instant(
            "As of",
            "Compute both sides up to this instant. Empty: up to where the memory stands. An instant in the future "
            "shows what would be left then if nothing else happened.",
        ),
        "since": _instant(
            "Count since",
            "Count what would be forgotten, kept or promoted otherwise from this instant on. Empty: all.",
        ),
        "offer": Param(
            True,
            type="boolean",
            title="Offer to make them the pipeline's",
            description="Ask for an approval after the comparison. Nothing is changed before somebody approves, and "
            "after a day without an answer nothing is.",
        ),
    }


def rebuild_params() -> dict[str, Param]:
    """Return the form of rebuild_memory."""
    return {
        "as_of": _instant(
            "As of",
            "Build the memory as it was at this instant; the next window then goes on from there to the present. "
            "Empty: where each stage stands.",
        ),
        "layer": Param(
            "all",
            type="string",
            enum=["all", *STAGES],
            title="Layer",
            description="Build all models anew, or those of one stage where it stands (then leave As of empty).",
        ),
        "verify": Param(
            True,
            type="boolean",
            title="Verify",
            description="Afterwards prove in copies that the memory built bit by bit equals one built at once from the "
            "log. Takes about as long as the rebuild twice, and windows wait meanwhile.",
        ),
    }


def backfill_params() -> dict[str, Param]:
    """Return the form of backfill_source. A mapping that cannot be read does not take the form away."""
    try:
        names = [source.name for source in load_sources(load_settings())]
    except BiomemError:
        names = []
    return {
        "source": Param(
            None,
            type=["null", "string"],
            title="Source",
            description="Which table to read, by its name in source.yml. Empty: all of them. "
            f"There {'is' if len(names) == 1 else 'are'}: {', '.join(names) or 'none that can be read now'}.",
            examples=names,
        ),
        "full": Param(
            False,
            type="boolean",
            title="Read everything again",
            description="Read the whole table and not only what its cursor says is new. For a source that was changed "
            "behind the cursor's back. Off: take what is new, and compare all keys for rows that are gone.",
        ),
    }


def forget_params() -> dict[str, Param]:
    """Return the form of forget_hard."""
    return {
        "ids": Param(
            type="array",
            items={"type": "string", "minLength": 1},
            minItems=1,
            title="Ids of the memories",
            description="One a line, as the source has them; the page Memory shows the id above each story.",
        ),
        "reason": Param(
            type="string",
            minLength=3,
            maxLength=500,
            title="Reason",
            description="Kept in the receipt for good. Say why, and quote nothing of the content: "
            "'erasure request of 31 May, ticket 123'.",
        ),
        "with_repeats": Param(
            False,
            type="boolean",
            title="Repeats too",
            description="Also remove the memories that say the same and were merged into these.",
        ),
        "skip_vacuum": Param(
            False,
            type="boolean",
            title="Leave the bytes in PostgreSQL's files",
            description="Do not rewrite the published tables, which locks each of them for a moment. The rows are gone "
            "either way; their bytes stay in the files until PostgreSQL uses the room again.",
        ),
    }


def question_of(form: Mapping[str, Any], settings: Settings) -> Question:
    """What the form of what_if asks. Raises ConfigurationError when a field contradicts another."""
    values = {name: form[name] for names in OFFERED.values() for name in names if form.get(name) is not None}
    others = dict(form.get("other_parameters") or {})
    if form.get(DECAY) is not None:
        if WEIGHTS in others:
            raise ConfigurationError(f"{DECAY} is the last of {WEIGHTS}: give one of the two, not both")
        values[WEIGHTS] = [*load_parameters(settings)[WEIGHTS].value[:EXPONENT], form[DECAY]]
    if twice := sorted(set(values) & set(others)):
        raise ConfigurationError(f"{', '.join(twice)} stands in its own field and in other_parameters: give it once")
    return Question(
        {**values, **others},
        agent_id=form.get("agent_id"),
        as_of=as_instant(form["as_of"]) if form.get("as_of") else None,
        since=as_instant(form["since"]) if form.get("since") else None,
    )


def _parameters() -> dict[str, Parameter]:
    """Those of this home; where its file is damaged, the shipped ones: a run then says what is wrong with it."""
    settings = load_settings()
    try:
        return load_parameters(settings)
    except ConfigurationError:
        return parameters_with(settings, {})


def _field(parameter: Parameter, section: str) -> Param:
    return Param(
        None,
        type=["null", "integer" if parameter.whole else "number"],
        minimum=parameter.low,
        maximum=parameter.high,
        title=parameter.name.replace("_", " ").capitalize(),
        description=f"{parameter.meaning} {parameter.allowed.capitalize()}. "
        f"Now {'off' if parameter.value is None else format(parameter.value, 'g')}; empty: as now.",
        section=section,
    )


def _agent(description: str) -> Param:
    return Param(None, type=["null", "string"], minLength=1, title="Agent", description=description, examples=["ada"])


def _instant(title: str, description: str) -> Param:
    return Param(None, type=["null", "string"], format="date-time", title=title, description=INSTANT + description)
