{#
    The canonical memories whose history may differ from what short-term memory last made of it, and from when on.
    Also those that have become repeats, or are gone, under their own id. Columns: agent_id, memory_id, changed_from,
    is_only_used: nothing but accesses and edits later than its beginning befell it, so that whatever memory_repeats says of it
    stands (what is new, edited, deleted or in a cluster with such changes from its beginning on, at the latest).
#}
{% macro changed_memories() -%}
select
    agent_id,
    memory_id,
    min(changed_from) as changed_from,
    bool_and(is_only_used) as is_only_used
from (
    select
        repeats.agent_id,
        unnest([repeats.root_id, repeats.memory_id]) as memory_id,
        repeats.changed_from,
        {{ is_only_used('repeats') }} as is_only_used
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


{# Whether a row of memory_repeats was written for accesses and edits later than the memory's beginning, and for nothing else. #}
{% macro is_only_used(repeats) -%}
({{ repeats }}.changed_from > {{ repeats }}.occurred_at)
{%- endmacro %}


{# The memories whose first stability a late memory has changed (column memory_id). #}
{% macro changed_saliences() -%}
select salience.memory_id
from {{ ref('memory_salience') }} as salience
inner join {{ ref('stg_clock') }} as clock
    on salience.agent_id = clock.agent_id
where
    clock.stage = 'short_term_memory'
    and clock.is_in_run
    and (clock.previous_as_of is null or salience.sequence > clock.completed_sequence)
    and salience.sequence > {{ least_sequence() }}
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


{# The batch above which pulled rows may be new to short-term memory, whoever's they are: as least_sequence. #}
{% macro least_batch() -%}
(
    select min(case when previous_as_of is null then -1 else batch_from end)
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
select
    memories.*,
    clock.as_of
from (
    select * from {{ ref('stg_memories') }}
    where batch_id > {{ least_batch() }}

    union all

    select * from {{ ref('stg_memories') }}
    where
        batch_id <= {{ least_batch() }}
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
