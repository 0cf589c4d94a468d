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

-- Using a memory uses its concepts together. One trace a memory first: the sum over its pairs of concepts is the same.
uses as (

    select
        events.agent_id,
        events.memory_id,
        events.occurred_at,
        max(events.occurred_at) over (partition by events.agent_id, events.memory_id) as last_used_at
    from {{ ref('stg_events') }} as events
    inner join clock
        on events.agent_id = clock.agent_id
        and events.occurred_at <= clock.as_of

),

memories as (

    select
        agent_id,
        memory_id,
        count(*) as uses,
        min(occurred_at) as first_used_at,
        last_used_at,
        {{ exact_sum(synaptic_decay(
            strengthen_associations('0e0', '1e0'),
            elapsed_s('occurred_at', 'last_used_at') ~ ' / 3600'
        )) }} as trace
    from uses
    group by agent_id, memory_id, last_used_at

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
