"""Serial position in free recall (Murdock 1962): two stores, and a rehearsal buffer of Cowan's four items.

While item j is on display the items in the buffer share that time in rehearsal; a full buffer gives up one at random
for the newcomer (Atkinson & Shiffrin 1968). Five seconds of study are one reference, as in Anderson's practice task, so
threshold and noise are the ones shipped. At recall the last items are spoken first, half a second a word, and what
long-term memory holds follows once the four are out. Nothing is fitted.
"""

from __future__ import annotations

from biomem.oracles.bench import Bench, Fit, Row
from biomem.oracles.macros import EquationMacros
from biomem.oracles.result import Oracle, Subject

STUDY_S_PER_REFERENCE = 5.0
SPOKEN_WORD_S = 0.5
PRIMACY, RECENCY = 4, 8

SUBJECT = Subject(
    dataset="Murdock1962",
    source="Murdock 1962",
    in_sample=False,
    model="wm_active_context",
    macros=("working_memory_capacity", "base_level", "activation_probability", "recall_probability"),
)


def oracles(bench: Bench) -> list[Oracle]:
    """The four regularities of the curves, with the errors over all 90 positions."""
    rows = predictions(bench)
    fit = Fit.of([(observed, predicted) for _, _, observed, predicted in rows])
    lists = {
        length: [predicted for of, _, _, predicted in rows if of == length]
        for length in sorted({row[0] for row in rows})
    }
    middles = {length: _mean(curve[PRIMACY:-RECENCY]) for length, curve in lists.items()}
    primacy = min(curve[0] / middles[length] for length, curve in lists.items())
    recent = [
        sum((recalled - middles[length]) / (1 - middles[length]) for recalled in curve[-RECENCY:])
        for length, curve in lists.items()
    ]
    return [
        bench.judge(SUBJECT, "last position recalled", min(c[-1] for c in lists.values()), n=fit.n, low=0.9, fit=fit),
        bench.judge(SUBJECT, "first over middle positions", primacy, n=fit.n, low=1.5, fit=fit),
        bench.judge(
            SUBJECT, "middle of 40 items over that of 20", middles[40] / middles[20], n=fit.n, high=0.99, fit=fit
        ),
        bench.judge(SUBJECT, "items in the short-term store", _mean(recent), n=fit.n, low=3, high=4, fit=fit),
    ]


def predictions(bench: Bench) -> list[Row]:
    """(list length, position, observed, predicted) of every position."""
    equations = EquationMacros(bench.settings, working_memory_profile="cowan")
    capacity = equations("working_memory_capacity")
    one_reference = equations("base_level", "1", "age_s", "[age_s]")
    long_term = equations("activation_probability", "activation")
    recalled = equations("recall_probability", "recency_s", "long_term")
    return bench.rows(f"""
        with rehearsals as (
            select
                item.list_length, item.position, item.observed, item.item_s,
                (item.list_length - shown.position + 0.5) * item.item_s + {capacity} * {SPOKEN_WORD_S} as age_s,
                item.item_s / least(shown.position, {capacity})
                * pow(1 - 1 / {capacity}, shown.position - greatest(item.position, least(shown.position, {capacity})))
                as rehearsed_s
            from serial_position as item
            join serial_position as shown on item.list_length = shown.list_length and item.position <= shown.position
        ), items as (
            select
                list_length, position, observed,
                (0.5 + list_length - position) * item_s + (list_length - position) * {SPOKEN_WORD_S} as recency_s,
                ln(sum(rehearsed_s / {STUDY_S_PER_REFERENCE} * exp({one_reference}))) as activation
            from rehearsals
            group by list_length, position, observed, item_s
        ), stores as (
            select *, {long_term} as long_term from items
        )
        select list_length, position, observed, {recalled} from stores order by list_length, position
    """)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
