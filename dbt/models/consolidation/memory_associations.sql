-- depends_on: {{ ref('stg_memories') }}
{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        pre_hook="{{ reopen_associations() }}"
    )
}}

with clock as (

    select agent_id, as_of
    from {{ ref('stg_clock') }}
    where
        stage = 'consolidation'
        {% if is_incremental() -%}
            and is_in_run
        {%- endif %}

),

windows as (

    select
        windows.agent_id,
        windows.window_start,
        windows.memory_id,
        windows.is_accessed,
        windows.last_accessed_at
    from {{ ref('stm_windows') }} as windows
    inner join clock
        on windows.agent_id = clock.agent_id
        and windows.window_end <= clock.as_of
    where
        windows.is_in_working_memory
        {% if is_incremental() -%}
            and (windows.agent_id, windows.window_start) in (
                select (concerned.agent_id, concerned.window_start)
                from {{ ref('stm_windows') }} as concerned
                inner join {{ reopened_memories() }} as reopened
                    on concerned.agent_id = reopened.agent_id
                    and concerned.memory_id = reopened.memory_id
                where concerned.is_in_working_memory
            )
        {%- endif %}

),

-- Each access meets what working memory holds at that moment; two bystanders do not meet anew.
held_together as (

    select
        one.agent_id,
        one.memory_id as memory_a,
        other.memory_id as memory_b,
        one.window_start,
        greatest(one.last_accessed_at, other.last_accessed_at) as coactive_at,
        {{ coactivation(elapsed_s('one.last_accessed_at', 'other.last_accessed_at')) }} as nearness,
        0.0 as contiguity
    from windows as one
    inner join windows as other
        on one.agent_id = other.agent_id
        and one.window_start = other.window_start
        and one.memory_id < other.memory_id
    where one.is_accessed or other.is_accessed

),

{% if is_incremental() -%}
reopened_sessions as (

    select distinct
        events.agent_id,
        events.session_id
    from {{ ref('stg_events') }} as events
    inner join {{ reopened_memories() }} as reopened
        on events.agent_id = reopened.agent_id
        and events.memory_id = reopened.memory_id
    where events.session_id is not null

),

{% endif -%}
told_in_turn as (

    {{ session_neighbours('clock', 'reopened_sessions' if is_incremental() else none) }}

),

meetings as (

    select * from held_together
    union all
    select
        agent_id,
        least(memory_id, previous_memory_id),
        greatest(memory_id, previous_memory_id),
        window_start,
        occurred_at,
        0.0,
        {{ contiguity('1') }}
    from told_in_turn

),

-- A pair meets once in a window; having been told in turn binds it more than being near in time alone.
coactivations as (

    select
        agent_id,
        memory_a,
        memory_b,
        max(coactive_at) as coactive_at,
        least(1.0, max(nearness) + max(contiguity)) as coactivation
    from meetings
    {% if is_incremental() -%}
        where
            (agent_id, memory_a) in (select (agent_id, memory_id) from {{ reopened_memories() }})
            or (agent_id, memory_b) in (select (agent_id, memory_id) from {{ reopened_memories() }})
    {%- endif %}
    group by agent_id, memory_a, memory_b, window_start

),

pairs as (

    select
        agent_id,
        memory_a,
        memory_b,
        count(*) as coactivations,
        min(coactive_at) as first_coactive_at,
        max(coactive_at) as last_coactive_at,
        -- Sorted, so that the sum below is the same to the last bit in whatever order the rows came.
        list_sort(list({'coactive_at': coactive_at, 'coactivation': coactivation})) as history
    from coactivations
    group by agent_id, memory_a, memory_b

)

select
    pairs.agent_id,
    pairs.memory_a,
    pairs.memory_b,
    list_sum(list_transform(
        pairs.history,
        lambda meeting: {{ synaptic_decay(
            strengthen_associations('0.0', 'meeting.coactivation'),
            elapsed_s('meeting.coactive_at', 'pairs.last_coactive_at') ~ ' / 3600'
        ) }}
    )) as trace,
    pairs.coactivations,
    pairs.first_coactive_at,
    pairs.last_coactive_at
from pairs
