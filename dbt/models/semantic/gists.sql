{{ config(materialized='table') }}

with communities as (

    select * from {{ ref('communities') }}

),

topics as (

    select
        agent_id,
        community_id,
        count(*) as concepts,
        list(concept order by rank) filter (where rank <= {{ var('gist_terms') }}) as terms
    from communities
    group by agent_id, community_id

),

-- How much of what binds the community together a memory holds.
memories as (

    select
        mentions.agent_id,
        communities.community_id,
        mentions.memory_id,
        {{ exact_sum('communities.centrality') }} as centrality
    from {{ ref('memory_concepts') }} as mentions
    inner join communities
        on mentions.agent_id = communities.agent_id
        and mentions.concept = communities.concept
    group by mentions.agent_id, communities.community_id, mentions.memory_id

),

medoids as (

    select
        agent_id,
        community_id,
        count(*) as memories,
        max(centrality) as medoid_centrality,
        arg_min(memory_id, {'distance': -centrality, 'memory_id': memory_id}) as medoid_memory_id
    from memories
    group by agent_id, community_id

)

select
    topics.agent_id,
    topics.community_id,
    medoids.medoid_memory_id,
    medoids.medoid_centrality,
    topics.terms,
    topics.concepts,
    coalesce(medoids.memories, 0) as memories
from topics
left join medoids
    on topics.agent_id = medoids.agent_id
    and topics.community_id = medoids.community_id
