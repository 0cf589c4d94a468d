{#
    The canonical memories whose history may differ from what short-term memory last made of it, and from when on.
    Also those that have become repeats, or are gone, under their own id. Columns: agent_id, memory_id, changed_from.
#}
{% macro changed_memories() -%}
select
    agent_id,
    memory_id,
    min(changed_from) as changed_from
from (
    select
        repeats.agent_id,
        unnest([repeats.root_id, repeats.memory_id]) as memory_id,
        repeats.changed_from
    from {{ ref('memory_repeats') }} as repeats
    inner join {{ ref('stg_clock') }} as clock
        on repeats.agent_id = clock.agent_id
    where
        clock.stage = 'short_term_memory'
        and clock.is_in_run
        and (clock.previous_as_of is null or repeats.sequence > clock.completed_sequence)
)
group by agent_id, memory_id
{%- endmacro %}
