with clock as (

    select *
    from {{ ref('stg_clock') }}
    where stage = 'short_term_memory'

),

associations as (

    select * from {{ ref_if_built(ref('memory_associations'), {
        'agent_id': 'varchar', 'memory_a': 'varchar', 'memory_b': 'varchar'}) }}

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
        ) }} as base_level,
        {{ retention(
            elapsed_days('epoch_us(traces.last_accessed_at)', 'epoch_us(clock.as_of)'), 'traces.stability_days'
        ) }} as retention,
        (epoch_us(clock.as_of) - epoch_us(traces.last_accessed_at)) / 1e6 as elapsed_s
    from {{ ref('memory_traces') }} as traces
    inner join clock
        on traces.agent_id = clock.agent_id
    where
        traces.stability_days is not null
        and traces.last_accessed_at > clock.as_of - to_seconds({{ var('attention_window_s') }})

),

links as (

    select agent_id, memory_a as cue_id, memory_b as memory_id from associations
    union all
    select agent_id, memory_b as cue_id, memory_a as memory_id from associations

),

cues as (

    select
        links.agent_id,
        links.cue_id,
        count(*) as fan
    from links
    inner join attended
        on
            links.agent_id = attended.agent_id
            and links.cue_id = attended.memory_id
    group by links.agent_id, links.cue_id

),

spread as (

    select
        links.agent_id,
        links.memory_id,
        sum({{ parameter('attention_weight') }} * {{ fan_strength('cues.fan') }} order by cues.cue_id) as spreading
    from links
    inner join cues
        on
            links.agent_id = cues.agent_id
            and links.cue_id = cues.cue_id
    group by links.agent_id, links.memory_id

),

activated as (

    select
        attended.*,
        coalesce(spread.spreading, 0) as spreading,
        attended.base_level + coalesce(spread.spreading, 0) as activation
    from attended
    left join spread
        on
            attended.agent_id = spread.agent_id
            and attended.memory_id = spread.memory_id

),

ranked as (

    select
        *,
        {{ accessibility('retention', 'spreading') }} as accessibility,
        row_number() over (partition by agent_id order by activation desc, memory_id) as rank
    from activated

)

select
    agent_id,
    cast(rank as integer) as rank,
    memory_id,
    activation,
    base_level,
    spreading,
    retention,
    accessibility,
    {{ recall_probability('elapsed_s', activation_probability('accessibility')) }} as recall_probability,
    {{ retrieval_latency('activation') }} as retrieval_latency_s,
    last_accessed_at
from ranked
where rank <= {{ working_memory_capacity() }}
