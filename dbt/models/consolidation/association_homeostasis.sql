{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        pre_hook="{{ empty_slice() }}"
    )
}}

with clock as (

    select
        agent_id,
        as_of
    from {{ ref('stg_clock') }}
    where
        stage = 'weekly_homeostasis'
        and {{ in_slice('agent_id') }}

),

pairs as (

    select
        associations.*,
        clock.as_of
    from {{ ref('memory_associations') }} as associations
    inner join clock
        on associations.agent_id = clock.agent_id
        and associations.last_coactive_at <= clock.as_of

),

links as (

    select
        agent_id,
        memory_a as memory_id,
        memory_b as associated_memory_id,
        trace as trace_when_coactive,
        last_coactive_at,
        as_of
    from pairs
    union all
    select
        agent_id,
        memory_b,
        memory_a,
        trace,
        last_coactive_at,
        as_of
    from pairs

),

sources as (

    select
        agent_id,
        memory_id,
        max(last_coactive_at) as last_coactive_at
    from links
    group by agent_id, memory_id

),

-- Scaling every trace changes nothing, so a memory's links are compared at the time of its last co-activation: by
-- as_of, years later, they may all have decayed below what a number can hold.
compared as (

    select
        links.*,
        {{ synaptic_decay(
            'links.trace_when_coactive', elapsed_s('links.last_coactive_at', 'sources.last_coactive_at') ~ ' / 3600'
        ) }} as compared_trace
    from links
    inner join sources
        on links.agent_id = sources.agent_id
        and links.memory_id = sources.memory_id

),

means as (

    select
        agent_id,
        memory_id,
        {{ exact_sum('compared_trace') }} / count(*) as mean_trace
    from compared
    group by agent_id, memory_id

),

scaled as (

    select
        compared.*,
        {{ synaptic_decay(
            'compared.trace_when_coactive', elapsed_s('compared.last_coactive_at', 'compared.as_of') ~ ' / 3600'
        ) }} as trace,
        {{ synaptic_homeostasis('compared.compared_trace', 'means.mean_trace') }} as normalised_strength,
        -- a week at least, and never where it never fades (greatest would skip a null)
        epoch_us(compared.last_coactive_at) + {{ at_least(
            fades_after_us('compared.trace_when_coactive', parameter('association_pruning_threshold')), '604800000000'
        ) }} as prunable_from_us
    from compared
    inner join means
        on compared.agent_id = means.agent_id
        and compared.memory_id = means.memory_id

),

judged as (

    select
        *,
        {{ week_start_at_or_after('prunable_from_us') }} as prunable_at_us,
        -- rounded: equal links lie exactly at the target, and a last bit must not decide
        round(normalised_strength, 12) < {{ parameter('homeostasis_target') }} as is_weak
    from scaled

),

pruned as (

    select
        *,
        coalesce(prunable_at_us <= epoch_us(as_of), false) and is_weak as is_pruned
    from judged

)

select
    agent_id,
    memory_id,
    associated_memory_id,
    trace,
    last_coactive_at,
    {{ calculate_hebbian_strength('trace') }} as strength,
    normalised_strength,
    is_pruned,
    case when is_pruned then make_timestamptz(prunable_at_us) end as pruned_at,
    case when is_pruned then {{ calculate_hebbian_strength(synaptic_decay(
        'trace_when_coactive', '(prunable_at_us - epoch_us(last_coactive_at)) / 36e8'
    )) }} end as strength_when_pruned,
    as_of
from pruned
