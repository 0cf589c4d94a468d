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
        events.agent_id,
        events.memory_id,
        lag(events.memory_id) over told as previous_memory_id,
        events.source_memory_id,
        lag(events.source_memory_id) over told as previous_source_memory_id,
        events.occurred_at,
        {{ window_start('events.occurred_at') }} as window_start,
        clock.as_of
    from {{ ref('stg_events') }} as events
    inner join {{ clock }} as clock
        on events.agent_id = clock.agent_id
    {%- if sessions %}
    inner join {{ sessions }} as sessions
        on events.agent_id = sessions.agent_id
        and events.session_id = sessions.session_id
    {%- endif %}
    -- encodings and repeats only: an access or an edit belongs to no session
    where events.session_id is not null
    window told as (
        partition by events.agent_id, events.session_id
        order by events.occurred_at, events.event_id
    )
)
where
    previous_memory_id != memory_id
    and {{ window_start('as_of') }} > window_start
{%- endmacro %}
