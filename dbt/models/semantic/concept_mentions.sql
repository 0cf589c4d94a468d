{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        pre_hook="{{ forget_mentions() }}"
    )
}}

with memories as (

    {{ texts_to_read() }}

),

mentions as (

    select
        agent_id,
        memory_id,
        mention.concept,
        mention.kind
    from (
        select
            agent_id,
            memory_id,
            unnest({{ read_concepts('content') }}) as mention
        from memories
    )
    union all
    select
        agent_id,
        memory_id,
        left(lower(trim(tag)), 64),
        'tag'
    from (
        select
            agent_id,
            memory_id,
            unnest(tags) as tag
        from memories
    )

),

kinds as (

    select
        agent_id,
        memory_id,
        concept,
        min(['tag', 'name', 'term', 'opening'].list_position(kind)) as kind_rank
    from mentions
    where
        concept != ''
        and (kind = 'tag' or concept not in {{ stop_words() }})
    group by agent_id, memory_id, concept

)

select
    agent_id,
    memory_id,
    concept,
    ['tag', 'name', 'term', 'opening'][kind_rank] as kind
from kinds
