{#
    Each statement of a session with the one told just before it, up to its agent's as_of in a window that has closed.
    A repeat counts as its first telling, which it brings back to mind.
    Columns: agent_id, memory_id, previous_memory_id, source_memory_id, previous_source_memory_id, occurred_at,
    window_start.
    clock: relation (agent_id, as_of); sessions: relation (agent_id, session_id) of the sessions asked for, or none
    for all
#}
{% macro session_neighbours(clock, sessions=none) -%}
select * exclude (as_of)
from (
    select
        statements.agent_id,
        statements.memory_id,
        lag(statements.memory_id) over told as previous_memory_id,
        statements.source_memory_id,
        lag(statements.source_memory_id) over told as previous_source_memory_id,
        statements.occurred_at,
        {{ window_start('statements.occurred_at') }} as window_start,
        clock.as_of
    from ({{ session_statements() }}) as statements
    inner join {{ clock }} as clock
        on statements.agent_id = clock.agent_id
    {%- if sessions %}
    inner join {{ sessions }} as sessions
        on statements.agent_id = sessions.agent_id
        and statements.session_id = sessions.session_id
    {%- endif %}
    window told as (
        partition by statements.agent_id, statements.session_id
        order by statements.occurred_at, statements.source_memory_id
    )
)
where
    previous_memory_id != memory_id
    and {{ window_start('as_of') }} > window_start
{%- endmacro %}


{# What was told in sessions: `memory_id` is the first telling of what `source_memory_id` says. #}
{% macro session_statements() -%}
select
    repeats.agent_id,
    memories.session_id,
    repeats.root_id as memory_id,
    repeats.memory_id as source_memory_id,
    repeats.occurred_at
from {{ ref('memory_repeats') }} as repeats
inner join {{ ref('stg_memories') }} as memories
    on repeats.memory_id = memories.memory_id
where
    repeats.is_live
    and repeats.is_seen
    and memories.session_id is not null
{%- endmacro %}
