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

evidence as (

    select
        mentions.agent_id,
        mentions.concept,
        count(*) as mentioned_in,
        min(['tag', 'name', 'term', 'opening'].list_position(mentions.kind)) as kind_rank,
        min(memories.occurred_at) as first_mentioned_at,
        max(memories.occurred_at) as last_mentioned_at
    from {{ ref('concept_mentions') }} as mentions
    inner join memories
        on mentions.agent_id = memories.agent_id
        and mentions.memory_id = memories.memory_id
    group by mentions.agent_id, mentions.concept

),

-- What nearly every memory says tells none apart; what only one says joins nothing. A tag was meant.
salient as (

    select evidence.*
    from evidence
    inner join corpora
        on evidence.agent_id = corpora.agent_id
    where
        evidence.kind_rank = 1
        or (
            evidence.mentioned_in >= {{ var('concept_min_memories') }}
            and (
                evidence.kind_rank = 2
                or (
                    evidence.kind_rank = 3
                    and evidence.mentioned_in <= greatest(
                        {{ var('concept_min_memories') }},
                        {{ var('concept_max_share') }} * corpora.memories
                    )
                )
            )
        )

)

select
    agent_id,
    concept,
    ['tag', 'name', 'term'][kind_rank] as kind,
    mentioned_in as memories,
    first_mentioned_at,
    last_mentioned_at
from salient
