{#
    Every event that befell a memory: its encoding, its repeats and edits (restudy), its accesses. Future ones and those
    of deleted memories are left out. `among` names a relation with a column memory_id: only the events of these
    (canonical) memories, looked up by id instead of filtered out of all. An access that is logged twice counts once: the
    pull takes each id once, and a test of stg_events holds it to that.
#}
{% macro events(among=none) -%}
select
    case when seen.repeat_of is null then 'e:' else 'm:' end || seen.memory_id as event_id,
    seen.root_id as memory_id,
    seen.memory_id as source_memory_id,
    seen.agent_id,
    memories.session_id,
    seen.occurred_at,
    case when seen.repeat_of is null then 'encode' else 'restudy' end as kind,
    case when seen.repeat_of is null then salience.grade else 3 end as grade,
    memories.arousal
from ({{ seen_memories(among) }}) as seen
inner join {{ ref('stg_memories') }} as memories
    on seen.memory_id = memories.memory_id
left join {{ ref('memory_salience') }} as salience
    on
        seen.memory_id = salience.memory_id
        and salience.is_current

union all

{{ later_events(seen_memories(among)) }}
{%- endmacro %}

{#
    What befell memories after their encoding: edits and accesses. `seen` is a query of memory_id, agent_id, root_id,
    occurred_at; where only events that are new to short-term memory are asked for (`are_new`), also of batch_from.
#}
{% macro later_events(seen, are_new=false) -%}
select
    'r:' || revisions.memory_id || ':' || revisions.revision as event_id,
    seen.root_id as memory_id,
    seen.memory_id as source_memory_id,
    seen.agent_id,
    cast(null as varchar) as session_id,
    greatest(revisions.revised_at, seen.occurred_at) as occurred_at,
    'restudy' as kind,
    3 as grade,
    cast(null as double) as arousal
from {{ raw_table('revisions') }} as revisions
inner join ({{ seen }}) as seen
    on revisions.memory_id = seen.memory_id
{%- if are_new %}
where
    revisions.batch_id > seen.batch_from
    and revisions.batch_id > {{ least_batch() }}
{%- endif %}

union all

-- An access cannot precede what is accessed: where a clock was wrong, it counts as made when the memory was. It counts
-- for the memory's own agent only: who may log for one agent must not strengthen what another remembers.
select
    'a:' || accesses.access_id as event_id,
    seen.root_id as memory_id,
    seen.memory_id as source_memory_id,
    seen.agent_id,
    cast(null as varchar) as session_id,
    greatest(accesses.accessed_at, seen.occurred_at) as occurred_at,
    accesses.kind,
    least(greatest(coalesce(accesses.grade, 3), 1), 4) as grade,
    cast(null as double) as arousal
from {{ raw_table('access_log') }} as accesses
inner join ({{ seen }}) as seen
    on accesses.memory_id = seen.memory_id
where
    {{ is_of_agent('accesses', 'seen.agent_id') }}
    {%- if are_new %}
    and accesses.batch_id > seen.batch_from
    and accesses.batch_id > {{ least_batch() }}
    {%- endif %}
{%- endmacro %}

{#
    Whether an access was made by an agent. memory.access_log is written by roles that were each granted some agents, so
    its agent_id holds; a log of the user's own (its ids begin with its name and a colon) is written by the owner of the
    source and need not know of agents.
#}
{% macro is_of_agent(accesses, agent_id) -%}
({{ accesses }}.agent_id = {{ agent_id }} or {{ accesses }}.access_id like '%:%')
{%- endmacro %}

{% macro seen_memories(among) -%}
select
    memory_id,
    agent_id,
    root_id,
    repeat_of,
    occurred_at
from {{ ref('memory_repeats') }}
where
    is_live
    and is_seen
    {%- if among %}
    and root_id in (select {{ among }}.memory_id from {{ among }})
    {%- endif %}
{%- endmacro %}

{# Each memory's events of a relation of `events`: memory_id, grade, arousal (of its encoding) and the sorted list of event codes. #}
{% macro event_lists(events) -%}
select
    memory_id,
    max(grade) filter (where kind = 'encode') as grade,
    max(arousal) filter (where kind = 'encode') as arousal,
    list_sort(list({{ event_code(
        'epoch_us(occurred_at)', kind_rank('kind'), "cast(case when kind = 'encode' then 1 else grade end as bigint)"
    ) }})) as events
from {{ events }}
where occurred_at < timestamptz '10000-01-01 00:00:00+00'
group by memory_id
{%- endmacro %}
