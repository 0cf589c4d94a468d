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

names as (

    select
        agent_id,
        memory_id,
        unnest({{ read_names('content') }}) as name
    from memories

),

words as (

    select
        agent_id,
        memory_id,
        unnest({{ read_words('content') }}) as word
    from memories

),

tags as (

    select
        agent_id,
        memory_id,
        unnest(tags) as tag
    from memories

),

-- The kinds in the order in which they count: a tag was meant, a name within a sentence is one, a word may be a term,
-- and capitalised words that open a sentence are a name only if some other text shows it.
mentions as (

    select
        agent_id,
        memory_id,
        left(lower(trim(tag)), 64) as concept,
        1 as kind_rank
    from tags

    union all

    select
        agent_id,
        memory_id,
        left(lower(regexp_extract(name, '[\pL\pM].*')), 64),
        case when starts_with(name, chr(2)) then 4 else 2 end
    from names

    union all

    select
        agent_id,
        memory_id,
        left(word, 64),
        3
    from words
    where length(word) > 2

),

kinds as (

    select
        agent_id,
        memory_id,
        concept,
        min(kind_rank) as kind_rank
    from mentions
    where
        concept != ''
        and (kind_rank = 1 or concept not in {{ stop_words() }})
    group by agent_id, memory_id, concept

)

select
    agent_id,
    memory_id,
    concept,
    ['tag', 'name', 'term', 'opening'][kind_rank] as kind
from kinds
