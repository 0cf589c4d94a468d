with clock as (

    select *
    from {{ ref('stg_clock') }}
    where stage = 'short_term_memory'

),

attended as (

    select
        traces.agent_id,
        traces.memory_id,
        traces.last_accessed_at,
        {{ base_level(
            'traces.access_count',
            "((epoch_us(clock.as_of) - epoch_us(traces.first_encoded_at)) / 1e6)",
            "list_transform(traces.last_access_times, lambda accessed_at: (epoch_us(clock.as_of) - epoch_us(accessed_at)) / 1e6)"
        ) }} as base_level
    from {{ ref('memory_traces') }} as traces
    inner join clock
        on traces.agent_id = clock.agent_id
    where
        traces.stability_days is not null
        and traces.last_accessed_at > clock.as_of - to_seconds({{ var('attention_window_s') }})

),

ranked as (

    select
        *,
        cast(0 as double) as spreading,
        row_number() over (partition by agent_id order by base_level desc, memory_id) as rank
    from attended

)

select
    agent_id,
    cast(rank as integer) as rank,
    memory_id,
    base_level + spreading as activation,
    base_level,
    spreading,
    last_accessed_at
from ranked
where rank <= {{ working_memory_capacity() }}
