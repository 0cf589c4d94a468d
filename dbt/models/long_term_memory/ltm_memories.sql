with promoted as (

    select
        memory_id,
        agent_id,
        max(cycle_at) as promoted_at,
        arg_max(consolidation_sum, cycle_at) as consolidation_sum,
        arg_max(consolidation, cycle_at) as consolidation,
        arg_max(stability_days, cycle_at) as stability_days,
        count(*) as replays
    from {{ ref('memory_replay') }}
    where is_current
    group by memory_id, agent_id
    having bool_or(is_promoted)

)

select
    promoted.memory_id,
    promoted.agent_id,
    memories.session_id,
    memories.content,
    memories.occurred_at as first_encoded_at,
    promoted.promoted_at,
    promoted.consolidation_sum,
    promoted.consolidation,
    promoted.stability_days,
    cast(promoted.replays as integer) as replays
from promoted
inner join {{ ref('stg_memories') }} as memories
    on promoted.memory_id = memories.memory_id
