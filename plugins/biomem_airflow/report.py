"""The demo's report: what a memory holds at the end of a life, read from the published tables as agents do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.panel import Panel
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from biomem.demo.data import DemoData
    from biomem.settings import Settings
    from rich.console import Console

    from biomem_airflow.runs import RunResult

SHOWN = 8
SHOWN_AGENTS = 3
CONTENT_WIDTH = 72

# of the warehouse: PostgreSQL has only the newest windows
WAREHOUSE_COUNTS = """
select
    (select count(*) from raw.memories),
    (select count(*) from (select distinct agent_id, window_start from stm_windows where is_current))"""
COUNTS = {
    "working_memory": "select count(*) from memory.working_memory",
    "long_term": "select count(*) from memory.long_term",
    "associations": "select count(*) from memory.associations where not is_pruned",
    "forgotten": "select count(*) from memory.memories where state = 'forgotten'",
}
WORKING_MEMORY = """
select w.agent_id, w.rank, w.activation, m.content, m.occurred_at
from memory.working_memory as w join memory.memories as m using (memory_id)
order by w.agent_id, w.rank"""
WINDOWS = """
select agent_id, window_start, count(*) filter (where is_accessed) as accessed,
    count(*) filter (where is_in_working_memory) as in_mind
from memory.short_term group by agent_id, window_start order by window_start desc, agent_id limit %(shown)s"""
LONG_TERM = """
select l.agent_id, m.content, l.promoted_at, l.consolidation, l.replays, m.stability_days, m.access_count
from memory.long_term as l join memory.memories as m using (memory_id)
order by l.consolidation desc, m.stability_days desc, memory_id limit %(shown)s"""
ASSOCIATIONS = """
select a.agent_id, one.content as content_a, other.content as content_b, a.coactivations,
    memory.association_strength(a.trace, a.last_coactive_at, %(as_of)s) as strength
from memory.associations as a
    join memory.memories as one on one.memory_id = a.memory_a
    join memory.memories as other on other.memory_id = a.memory_b
where not a.is_pruned
order by strength desc, a.memory_a, a.memory_b limit %(shown)s"""
FORGOTTEN = """
select m.agent_id, m.content, d.decided_at as night, d.threshold, (d.inputs ->> 'retention')::float as retention,
    (d.inputs ->> 'stability_days')::float as stability_days, (d.inputs ->> 'last_accessed_at') as last_accessed_at,
    extract(epoch from d.decided_at - (d.inputs ->> 'last_accessed_at')::timestamptz)::float / 86400 as elapsed_days
from memory.decisions as d join memory.memories as m using (memory_id)
where d.decision = 'demote' and d.is_current and m.state = 'forgotten'
order by d.decided_at desc, m.memory_id limit %(shown)s"""


def collect(
    settings: Settings, dsn: str, data: DemoData, airflow_version: str, results: Sequence[RunResult]
) -> dict[str, Any]:
    """Gather the report; everything in it is what `report.json` holds.

    Raises WarehouseError when the warehouse cannot be read.
    """
    import psycopg
    from biomem.warehouse.connection import open_warehouse
    from psycopg.rows import dict_row

    with open_warehouse(settings, read_only=True, purpose="biomem demo") as con:
        raw_rows, windows = con.execute(WAREHOUSE_COUNTS).fetchall()[0]
    with psycopg.connect(dsn, row_factory=dict_row) as connection:

        def rows(query: str) -> list[dict[str, Any]]:
            return connection.execute(query, {"shown": SHOWN, "as_of": data.as_of}).fetchall()  # type: ignore[arg-type]

        counts = {name: rows(query)[0]["count"] for name, query in COUNTS.items()}
        return {
            "as_of": data.as_of.isoformat(),
            "airflow": {"version": airflow_version, "runs": [result.as_dict() for result in results]},
            "source": {"table": data.table, "rows": data.rows, "accesses": data.accesses},
            "warehouse": {"path": str(settings.warehouse_path), "raw_rows": raw_rows},
            "memory": {**counts, "short_term_windows": windows},
            "working_memory": rows(WORKING_MEMORY),
            "windows": rows(WINDOWS),
            "long_term": rows(LONG_TERM),
            "associations": rows(ASSOCIATIONS),
            "forgotten": rows(FORGOTTEN),
        }


def show(facts: dict[str, Any], console: Console) -> None:
    """Print the report for a person."""
    memory = facts["memory"]
    console.print()
    console.print(
        Panel.fit(
            f"{facts['source']['rows']:,} memories and {facts['source']['accesses']:,} later accesses,"
            f" looked back on from {facts['as_of'][:16].replace('T', ' ')} UTC\n"
            f"[bold]{memory['working_memory']:,}[/] in working memory,"
            f" [bold]{memory['short_term_windows']:,}[/] windows of 30 s,"
            f" [bold]{memory['long_term']:,}[/] long-term,"
            f" [bold]{memory['associations']:,}[/] associations,"
            f" [bold]{memory['forgotten']:,}[/] forgotten",
            title="A life, remembered",
            border_style="cyan",
        )
    )
    _working_memory(facts["working_memory"], console)
    _windows(facts["windows"], console)
    _long_term(facts["long_term"], console)
    _associations(facts["associations"], console)
    _forgotten(facts["forgotten"], console)
    _times(facts["airflow"]["runs"], console)


def _working_memory(items: list[dict[str, Any]], console: Console) -> None:
    agents = sorted({item["agent_id"] for item in items})
    for agent in agents[:SHOWN_AGENTS]:
        table = _table(f"In the working memory of {agent}", "", "activation", "memory")
        for item in items:
            if item["agent_id"] == agent:
                table.add_row(str(item["rank"]), f"{item['activation']:.2f}", _short(item["content"]))
        console.print(table)
    if len(agents) > SHOWN_AGENTS:
        console.print(f"[dim]... and of {len(agents) - SHOWN_AGENTS} more agents[/]")


def _windows(items: list[dict[str, Any]], console: Console) -> None:
    table = _table("The last windows of 30 seconds", "agent", "window", "accessed", "in mind at its end")
    for item in items:
        window = f"{item['window_start']:%Y-%m-%d %H:%M:%S}"
        table.add_row(item["agent_id"], window, str(item["accessed"]), str(item["in_mind"]))
    console.print(table)


def _long_term(items: list[dict[str, Any]], console: Console) -> None:
    table = _table("Strongest in long-term memory", "agent", "consolidation", "stability", "used", "memory")
    for item in items:
        table.add_row(
            item["agent_id"],
            f"{item['consolidation']:.2f}",
            f"{item['stability_days']:.0f} d",
            f"{item['access_count']}x",
            _short(item["content"], CONTENT_WIDTH - 12),
        )
    console.print(table)


def _associations(items: list[dict[str, Any]], console: Console) -> None:
    table = _table("Strongest associations", "agent", "strength", "this calls to mind", "that")
    for item in items:
        sides = (_short(item[side], CONTENT_WIDTH // 2) for side in ("content_a", "content_b"))
        table.add_row(item["agent_id"], f"{item['strength']:.3f}", *sides)
    console.print(table)


def _forgotten(items: list[dict[str, Any]], console: Console) -> None:
    title = "Forgotten last, and why (nothing is deleted: an access brings it back)"
    table = _table(title, "agent", "night", "why", "memory")
    for item in items:
        why = (
            f"unused for {item['elapsed_days']:.1f} d at a stability of {item['stability_days']:.2f} d:"
            f" retention {item['retention']:.4f} < {item['threshold']:.4f}"
        )
        table.add_row(item["agent_id"], f"{item['night']:%Y-%m-%d}", why, _short(item["content"], CONTENT_WIDTH - 24))
    console.print(table)


def _times(results: list[dict[str, Any]], console: Console) -> None:
    table = _table("How long each task took", "DAG", "seconds", "tasks")
    for result in results:
        tasks = ", ".join(f"{task['task_id']} [cyan]{task['seconds'] or 0:.1f}[/]" for task in result["tasks"])
        table.add_row(result["dag_id"], f"{result['seconds'] or 0:.1f}", tasks)
    console.print(table)


def _table(title: str, *columns: str) -> Table:
    table = Table(*columns, title=f"\n[bold]{title}[/]", title_justify="left", box=None, header_style="dim")
    return table


def _short(text: str | None, width: int = CONTENT_WIDTH) -> str:
    from rich.markup import escape

    line = " ".join((text or "").split())
    return escape(line if len(line) <= width else line[: width - 1] + "…")
