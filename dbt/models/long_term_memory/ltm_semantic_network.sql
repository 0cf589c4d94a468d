{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        pre_hook="{{ empty_slice() }}"
    )
}}

with long_term as (

    select
        agent_id,
        memory_id
    from {{ ref('ltm_memories') }}
    where {{ in_slice('agent_id') }}

),

associations as (

    select
        links.agent_id,
        'associated' as relation,
        links.memory_id as source_id,
        links.associated_memory_id as target_id,
        links.normalised_strength as strength,
        null::bigint as fan,
        null::varchar as hub
    from {{ ref('association_homeostasis') }} as links
    inner join long_term as source
        on links.agent_id = source.agent_id
        and links.memory_id = source.memory_id
    inner join long_term as target
        on links.agent_id = target.agent_id
        and links.associated_memory_id = target.memory_id
    where not links.is_pruned

),

mentions as (

    select
        mentions.agent_id,
        mentions.memory_id,
        mentions.concept
    from {{ ref('memory_concepts') }} as mentions
    inner join long_term
        on mentions.agent_id = long_term.agent_id
        and mentions.memory_id = long_term.memory_id

),

-- The fan of a concept: how many long-term memories it leads to, and so among how many its strength is shared.
fans as (

    select
        agent_id,
        concept,
        count(*) as fan
    from mentions
    group by agent_id, concept

),

abouts as (

    select
        mentions.agent_id,
        'about' as relation,
        mentions.memory_id as source_id,
        mentions.concept as target_id,
        1.0 / fans.fan as strength,
        fans.fan,
        mentions.concept as hub
    from mentions
    inner join fans
        on mentions.agent_id = fans.agent_id
        and mentions.concept = fans.concept

),

relations as (

    select
        associations.agent_id,
        'related' as relation,
        associations.concept_a as source_id,
        associations.concept_b as target_id,
        {{ calculate_hebbian_strength(synaptic_decay(
            'associations.trace', elapsed_s('associations.last_coactive_at', 'clock.as_of') ~ ' / 3600'
        )) }} as strength,
        source.fan,
        associations.concept_a as hub
    from {{ ref('concept_associations') }} as associations
    inner join {{ ref('stg_clock') }} as clock
        on associations.agent_id = clock.agent_id
        and clock.stage = 'weekly_homeostasis'
        and associations.last_coactive_at <= clock.as_of
    inner join fans as source
        on associations.agent_id = source.agent_id
        and associations.concept_a = source.concept
    inner join fans as target
        on associations.agent_id = target.agent_id
        and associations.concept_b = target.concept

),

edges as (

    select * from associations
    union all
    select * from abouts
    union all
    select * from relations

)

select
    edges.agent_id,
    edges.relation,
    edges.source_id,
    edges.target_id,
    edges.strength,
    case when edges.fan is not null then {{ fan_strength('edges.fan') }} end as fan_strength,
    communities.community_id
from edges
left join {{ ref('communities') }} as communities
    on edges.agent_id = communities.agent_id
    and edges.hub = communities.concept
