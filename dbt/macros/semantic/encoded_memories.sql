{#
    The memories that an agent has by its as_of in a stage, each once: live, and no repeat of another.
    Read from memory_repeats, not from stg_events, which would go through every access for it.
    Columns: agent_id, memory_id, occurred_at.
#}
{% macro encoded_memories(stage) -%}
select
    repeats.agent_id,
    repeats.memory_id,
    repeats.occurred_at
from {{ ref('memory_repeats') }} as repeats
inner join {{ ref('stg_clock') }} as clock
    on repeats.agent_id = clock.agent_id
where
    clock.stage = '{{ stage }}'
    and repeats.is_live
    and repeats.is_seen
    and repeats.repeat_of is null
    and repeats.occurred_at <= clock.as_of
{%- endmacro %}
