{#
    The memories that an agent has by its as_of in a stage, each once: live, and no repeat of another.
    Columns: agent_id, memory_id, occurred_at.
#}
{% macro encoded_memories(stage) -%}
select
    events.agent_id,
    events.memory_id,
    events.occurred_at
from {{ ref('stg_events') }} as events
inner join {{ ref('stg_clock') }} as clock
    on events.agent_id = clock.agent_id
where
    clock.stage = '{{ stage }}'
    and events.kind = 'encode'
    and events.occurred_at <= clock.as_of
{%- endmacro %}
