{#
    The live memories that concept_mentions reads in this run: all on a full build, else those that are new or changed
    since the last one.
#}
{% macro texts_to_read() -%}
select
    memories.agent_id,
    memories.memory_id,
    memories.content,
    memories.tags
from {{ ref('stg_memories') }} as memories
inner join {{ ref('stg_clock') }} as clock
    on memories.agent_id = clock.agent_id
where
    clock.stage = 'consolidation'
    and memories.is_live
    and memories.occurred_at <= clock.as_of
    {% if is_incremental() -%}
        and {{ is_unread() }}
    {%- endif %}
{%- endmacro %}


{# Runs before concept_mentions: deletes what changed or deleted memories said before. #}
{% macro forget_mentions() -%}
{%- if is_incremental() -%}
delete from {{ this }}
where memory_id in (
    select memories.memory_id
    from {{ ref('stg_memories') }} as memories
    inner join {{ ref('stg_clock') }} as clock
        on memories.agent_id = clock.agent_id
    where
        clock.stage = 'consolidation'
        and {{ is_unread() }}
)
{%- endif -%}
{%- endmacro %}


{# Whether a row of `memories` is news to the agent's `clock` row. #}
{% macro is_unread() -%}
(
    clock.is_in_run
    and (
        memories.batch_id > clock.batch_from
        or (memories.occurred_at > clock.previous_as_of and memories.occurred_at <= clock.as_of)
    )
)
{%- endmacro %}
