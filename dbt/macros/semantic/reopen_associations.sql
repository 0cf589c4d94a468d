{#
    Runs before memory_associations: finds the memories whose pairs may have changed since the rows were written, and
    deletes their pairs, which the model then computes whole. Of the agents in its slice; nothing happens on a full build.

    A pair changes only with an access to one of the two, or with who was told next to whom. So reopened are:
      - the memories accessed in windows that were written anew, or that have closed since the last run;
      - memories that are new, changed or gone, with the partners they had and the neighbours they have now.
#}
{% macro reopen_associations() -%}
{%- if is_incremental() -%}
create or replace temporary table {{ reopened_memories() }} as
with clock as (

    select *
    from {{ ref('stg_clock') }}
    where
        stage = 'consolidation'
        and is_in_run
        and {{ in_slice('agent_id') }}

),

accessed as (

    select
        windows.agent_id,
        windows.memory_id
    from {{ ref('stm_windows') }} as windows
    inner join clock
        on windows.agent_id = clock.agent_id
    where
        {{ in_slice('windows.agent_id') }}
        -- a row that its window no longer has stays there, marked, with the memory that was accessed in it
        and (windows.is_accessed or not windows.is_current)
        and (
            windows.sequence > coalesce(clock.completed_sequence, 0)
            or (windows.window_end > clock.previous_as_of and windows.window_end <= clock.as_of)
        )

),

changed as (

    select
        memories.agent_id,
        memories.memory_id
    from {{ ref('stg_memories') }} as memories
    inner join clock
        on memories.agent_id = clock.agent_id
    where
        memories.batch_id > clock.batch_from
        or (memories.occurred_at >= {{ window_start('clock.previous_as_of') }}
            and memories.occurred_at <= clock.as_of)
    union
    select
        repeats.agent_id,
        repeats.memory_id
    from {{ ref('memory_repeats') }} as repeats
    inner join clock
        on repeats.agent_id = clock.agent_id
    -- a window may take up later than this stage what was pulled before it
    where repeats.sequence > coalesce(clock.completed_sequence, 0)
    union
    select
        held.agent_id,
        held.memory_id
    from (
        select agent_id, unnest([memory_a, memory_b]) as memory_id from {{ this }} where {{ in_slice('agent_id') }}
    ) as held
    inner join clock
        on held.agent_id = clock.agent_id
    where (held.agent_id, held.memory_id) not in (
        select (agent_id, memory_id)
        from ({{ encoded_memories('consolidation') }})
        where {{ in_slice('agent_id') }}
    )

),

changed_sessions as (

    select distinct
        statements.agent_id,
        statements.session_id
    from ({{ session_statements() }}) as statements
    inner join changed
        on statements.agent_id = changed.agent_id
        and statements.source_memory_id = changed.memory_id
    where {{ in_slice('statements.agent_id') }}

),

neighbours as (

    select
        told.agent_id,
        unnest([told.memory_id, told.previous_memory_id]) as memory_id
    from ({{ session_neighbours('clock', 'changed_sessions') }}) as told
    where
        {{ in_slice('told.agent_id') }}
        and (
            (told.agent_id, told.source_memory_id) in (select (agent_id, memory_id) from changed)
            or (told.agent_id, told.previous_source_memory_id) in (select (agent_id, memory_id) from changed)
        )

),

partners as (

    select
        held.agent_id,
        unnest([held.memory_a, held.memory_b]) as memory_id
    from {{ this }} as held
    where
        {{ in_slice('held.agent_id') }}
        and (
            (held.agent_id, held.memory_a) in (select (agent_id, memory_id) from changed)
            or (held.agent_id, held.memory_b) in (select (agent_id, memory_id) from changed)
        )

)

select agent_id, memory_id from accessed
union
select agent_id, memory_id from changed
union
select agent_id, memory_id from neighbours
union
select agent_id, memory_id from partners
;

delete from {{ this }}
where
    {{ in_slice('agent_id') }}
    and (
        (agent_id, memory_a) in (select (agent_id, memory_id) from {{ reopened_memories() }})
        or (agent_id, memory_b) in (select (agent_id, memory_id) from {{ reopened_memories() }})
    )
{%- endif -%}
{%- endmacro %}


{# The temporary table that reopen_associations leaves for the model: (agent_id, memory_id). #}
{% macro reopened_memories() -%}
memory_associations__reopened
{%- endmacro %}
