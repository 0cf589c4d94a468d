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

-- A memory is about the community in which its concepts weigh most.
weights as (

    select
        mentions.agent_id,
        mentions.memory_id,
        communities.community_id,
        sum({{ exact('communities.centrality') }})::double as centrality
    from {{ ref('memory_concepts') }} as mentions
    inner join communities
        on mentions.agent_id = communities.agent_id
        and mentions.concept = communities.concept
    group by mentions.agent_id, mentions.memory_id, communities.community_id

),

topical as (

    select *
    from weights
    qualify row_number() over (
        partition by agent_id, memory_id
        order by centrality desc, community_id
    ) = 1

),

medoids as (

    select
        agent_id,
        community_id,
        count(*) as memories,
        arg_min(memory_id, {'distance': -centrality, 'memory_id': memory_id}) as medoid_memory_id,
        max(centrality) as medoid_centrality
    from topical
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
