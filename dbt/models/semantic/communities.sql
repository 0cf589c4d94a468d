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

ends as (

    select
        agent_id,
        concept_a as concept,
        trace,
        last_coactive_at
    from pairs
    union all
    select
        agent_id,
        concept_b,
        trace,
        last_coactive_at
    from pairs

),

latest as (

    select
        agent_id,
        concept,
        max(last_coactive_at) as last_coactive_at
    from ends
    group by agent_id, concept

),

-- As in association_homeostasis: links are compared at the time of their concept's last co-activation.
nodes as materialized (

    select
        latest.agent_id,
        latest.concept,
        latest.last_coactive_at,
        row_number() over (order by latest.agent_id, latest.concept) as node,
        count(*) as links,
        {{ exact_sum(synaptic_decay(
            'ends.trace', elapsed_s('ends.last_coactive_at', 'latest.last_coactive_at') ~ ' / 3600'
        )) }} as total_trace
    from ends
    inner join latest
        on ends.agent_id = latest.agent_id
        and ends.concept = latest.concept
    group by latest.agent_id, latest.concept, latest.last_coactive_at

),

compared as (

    select
        one.node as node_a,
        other.node as node_b,
        {{ synaptic_decay(
            'pairs.trace', elapsed_s('pairs.last_coactive_at', 'one.last_coactive_at') ~ ' / 3600'
        ) }} as trace_a,
        {{ synaptic_decay(
            'pairs.trace', elapsed_s('pairs.last_coactive_at', 'other.last_coactive_at') ~ ' / 3600'
        ) }} as trace_b,
        one.total_trace as total_a,
        other.total_trace as total_b,
        one.total_trace / one.links as mean_a,
        other.total_trace / other.links as mean_b
    from pairs
    inner join nodes as one
        on pairs.agent_id = one.agent_id
        and pairs.concept_a = one.concept
    inner join nodes as other
        on pairs.agent_id = other.agent_id
        and pairs.concept_b = other.concept

),

-- A link weighs the share that it has of what binds either end, and counts where it is one end's mean link or more.
edges as materialized (

    select
        node_a,
        node_b,
        sqrt((trace_a / total_a) * (trace_b / total_b)) as weight
    from compared
    where
        round({{ synaptic_homeostasis('trace_a', 'mean_a') }}, 12) >= {{ parameter('homeostasis_target') }}
        or round({{ synaptic_homeostasis('trace_b', 'mean_b') }}, 12) >= {{ parameter('homeostasis_target') }}

),

directed as (

    select
        node_a as node,
        node_b as neighbour,
        weight
    from edges
    union all
    select
        node_b,
        node_a,
        weight
    from edges

),

-- A voice of its own keeps two concepts from trading labels for ever.
voices as materialized (

    select * from directed
    union all
    select
        node,
        node,
        max(weight)
    from directed
    group by node

),

-- Label propagation (Raghavan 2007), all at once, for a fixed number of rounds; ties go to the first label.
propagation as (

    select
        0 as round,
        node,
        node as label
    from voices
    where node = neighbour
    union all
    select
        round,
        node,
        -max({'votes': votes, 'first': -label}).first
    from (
        select
            propagation.round + 1 as round,
            voices.node,
            propagation.label,
            {{ exact_sum('voices.weight') }} as votes
        from propagation
        inner join voices
            on propagation.node = voices.neighbour
        where propagation.round < {{ var('community_rounds') }}
        group by propagation.round, voices.node, propagation.label
    )
    group by round, node

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
    inner join directed as edges
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
