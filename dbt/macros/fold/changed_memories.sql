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
        and repeats.sequence > {{ least_sequence() }}
)
group by agent_id, memory_id
{%- endmacro %}


{#
    The sequence above which rows may be new to short-term memory, whoever's they are: it stands beside each agent's own
    bound, as one number that a scan passes over older rows by. -1 while an agent is new, of whom all is.
#}
{% macro least_sequence() -%}
(
    select min(case when previous_as_of is null then -1 else completed_sequence end)
    from {{ ref('stg_clock') }}
    where
        stage = 'short_term_memory'
        and is_in_run
)
{%- endmacro %}


{#
    The memories that are new to short-term memory, edited, deleted, or told of before their time, which has come now: rows
    of stg_memories, with as_of of their agent. What bounds all agents stands first, as in least_sequence.
#}
{% macro unread_memories() -%}
{%- set least_batch -%}
(select min(case when previous_as_of is null then -1 else batch_from end) from {{ ref('stg_clock') }} where stage = 'short_term_memory' and is_in_run)
{%- endset -%}
select
    memories.*,
    clock.as_of
from (
    select * from {{ ref('stg_memories') }}
    where batch_id > {{ least_batch }}

    union all

    select * from {{ ref('stg_memories') }}
    where
        batch_id <= {{ least_batch }}
        and occurred_at > (select min(previous_as_of) from {{ ref('stg_clock') }} where stage = 'short_term_memory' and is_in_run)
) as memories
inner join {{ ref('stg_clock') }} as clock
    on memories.agent_id = clock.agent_id
where
    clock.stage = 'short_term_memory'
    and clock.is_in_run
    and (
        clock.previous_as_of is null
        or memories.batch_id > clock.batch_from
        or (memories.occurred_at > clock.previous_as_of and memories.occurred_at <= clock.as_of)
    )
{%- endmacro %}
