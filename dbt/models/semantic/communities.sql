{{ config(materialized='table') }}

with recursive

clock as (

    select
        agent_id,
        as_of
    from {{ ref('stg_clock') }}
    where stage = 'weekly_homeostasis'

),

pairs as (

    select associations.*
    from {{ ref('concept_associations') }} as associations
    inner join clock
        on associations.agent_id = clock.agent_id
        and associations.last_coactive_at <= clock.as_of

),

links as (

    select
        agent_id,
        concept_a as concept,
        concept_b as neighbour,
        trace,
        last_coactive_at
    from pairs
    union all
    select
        agent_id,
        concept_b,
        concept_a,
        trace,
        last_coactive_at
    from pairs

),

latest as (

    select
        agent_id,
        concept,
        max(last_coactive_at) as last_coactive_at
    from links
    group by agent_id, concept

),

-- As in association_homeostasis: links are compared at the time of their concept's last co-activation.
compared as (

    select
        links.agent_id,
        links.concept,
        links.neighbour,
        {{ synaptic_decay(
            'links.trace', elapsed_s('links.last_coactive_at', 'latest.last_coactive_at') ~ ' / 3600'
        ) }} as trace
    from links
    inner join latest
        on links.agent_id = latest.agent_id
        and links.concept = latest.concept

),

nodes as (

    select
        agent_id,
        concept,
        row_number() over (order by agent_id, concept) as node,
        {{ exact_sum('trace') }} as total_trace,
        {{ exact_sum('trace') }} / count(*) as mean_trace
    from compared
    group by agent_id, concept

),

-- What share of its traces a concept gives to each of its links, and whether that is at least its average.
shares as (

    select
        nodes.node,
        neighbours.node as neighbour,
        compared.trace / nodes.total_trace as share,
        round({{ synaptic_homeostasis('compared.trace', 'nodes.mean_trace') }}, 12)
        >= {{ parameter('homeostasis_target') }} as is_strong
    from compared
    inner join nodes
        on compared.agent_id = nodes.agent_id
        and compared.concept = nodes.concept
    inner join nodes as neighbours
        on compared.agent_id = neighbours.agent_id
        and compared.neighbour = neighbours.concept

),

-- A link weighs what it means to both ends, and counts where it is strong for one of them.
edges as (

    select
        own.node,
        own.neighbour,
        sqrt(own.share * other.share) as weight
    from shares as own
    inner join shares as other
        on own.node = other.neighbour
        and own.neighbour = other.node
    where own.is_strong or other.is_strong

),

-- A voice of its own keeps two concepts from trading labels for ever.
voices as materialized (

    select * from edges
    union all
    select
        node,
        node,
        max(weight)
    from edges
    group by node

),

-- Label propagation (Raghavan 2007), all at once, for a fixed number of rounds; ties go to the first label.
propagation as (

    select distinct
        0 as round,
        node,
        node as label
    from edges
    union all
    select
        round,
        node,
        label
    from (
        select
            propagation.round + 1 as round,
            voices.node,
            propagation.label,
            row_number() over (
                partition by voices.node
                order by {{ exact_sum('voices.weight') }} desc, propagation.label
            ) as preference
        from propagation
        inner join voices
            on propagation.node = voices.neighbour
        where propagation.round < {{ var('community_rounds') }}
        group by propagation.round, voices.node, propagation.label
    )
    where preference = 1

),

labels as (

    select
        node,
        label
    from propagation
    where round = {{ var('community_rounds') }}

),

members as (

    select
        labels.label,
        labels.node,
        {{ exact_sum('case when neighbours.label = labels.label then edges.weight else 0e0 end') }} as centrality
    from labels
    inner join edges
        on labels.node = edges.node
    inner join labels as neighbours
        on edges.neighbour = neighbours.node
    group by labels.label, labels.node

),

ranked as (

    select
        nodes.agent_id,
        nodes.concept,
        members.label,
        members.centrality,
        row_number() over (
            partition by members.label
            order by members.centrality desc, nodes.concept
        ) as rank,
        count(*) over (partition by members.label) as size
    from members
    inner join nodes
        on members.node = nodes.node

)

select
    ranked.agent_id,
    ranked.concept,
    hubs.concept as community_id,
    ranked.centrality,
    ranked.rank
from ranked
inner join ranked as hubs
    on ranked.label = hubs.label
    and hubs.rank = 1
where ranked.size > 1
