-- depends_on: {{ ref('memory_repeats') }}
{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        pre_hook="{{ reopen_concept_associations() }}"
    )
}}

with clock as (

    {{ agents_to_associate() }}

),

histories as (

    select
        histories.agent_id,
        histories.memory_id,
        {{ events_until('histories.events', 'epoch_us(clock.as_of)') }} as events
    from {{ ref('memory_histories') }} as histories
    inner join clock
        on histories.agent_id = clock.agent_id

),

-- Using a memory uses its concepts together. One trace a memory first: the sum over its pairs of concepts is the same.
memories as (

    select
        agent_id,
        memory_id,
        len(events) as uses,
        make_timestamptz({{ event_instant_us('events[1]') }}) as first_used_at,
        make_timestamptz({{ event_instant_us('events[-1]') }}) as last_used_at,
        {{ exact_list_sum('events', 'code', synaptic_decay(
            strengthen_associations('0e0', '1e0'),
            '(' ~ event_instant_us('events[-1]') ~ ' - ' ~ event_instant_us('code') ~ ') / 1e6 / 3600'
        )) }} as trace
    from histories
    where len(events) > 0

),

used_together as (

    select
        one.agent_id,
        one.concept as concept_a,
        other.concept as concept_b,
        memories.uses,
        memories.first_used_at,
        memories.last_used_at,
        memories.trace,
        max(memories.last_used_at) over (
            partition by one.agent_id, one.concept, other.concept
        ) as last_coactive_at
    from {{ ref('memory_concepts') }} as one
    inner join {{ ref('memory_concepts') }} as other
        on one.agent_id = other.agent_id
        and one.memory_id = other.memory_id
        and one.concept < other.concept
    inner join memories
        on one.agent_id = memories.agent_id
        and one.memory_id = memories.memory_id

)

select
    agent_id,
    concept_a,
    concept_b,
    {{ exact_sum(synaptic_decay('trace', elapsed_s('last_used_at', 'last_coactive_at') ~ ' / 3600')) }} as trace,
    sum(uses)::bigint as coactivations,
    count(*) as memories,
    min(first_used_at) as first_coactive_at,
    last_coactive_at
from used_together
group by agent_id, concept_a, concept_b, last_coactive_at
