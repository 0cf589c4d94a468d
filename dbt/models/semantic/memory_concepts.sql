{{ config(materialized='table') }}

with memories as (

    {{ encoded_memories('consolidation') }}

),

corpora as (

    select
        agent_id,
        count(*) as memories
    from memories
    group by agent_id

),

-- Neither the rarest nor the commonest words tell best what a text is about, but those in between (Luhn 1958).
mentions as (

    select
        mentions.agent_id,
        mentions.memory_id,
        mentions.concept,
        concepts.kind,
        round(ln(corpora.memories / concepts.memories) * ln(1 + concepts.memories), 12) as resolving_power
    from {{ ref('concept_mentions') }} as mentions
    inner join memories
        on mentions.agent_id = memories.agent_id
        and mentions.memory_id = memories.memory_id
    inner join {{ ref('concepts') }} as concepts
        on mentions.agent_id = concepts.agent_id
        and mentions.concept = concepts.concept
    inner join corpora
        on mentions.agent_id = corpora.agent_id

),

ranked as (

    select
        agent_id,
        memory_id,
        concept,
        kind,
        row_number() over (
            partition by agent_id, memory_id
            order by ['tag', 'name', 'term'].list_position(kind), resolving_power desc, concept
        ) as rank
    from mentions

)

select
    agent_id,
    memory_id,
    concept,
    kind,
    rank
from ranked
where rank <= {{ var('concepts_per_memory') }}
