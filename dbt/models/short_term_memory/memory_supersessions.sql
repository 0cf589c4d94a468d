{{
    config(
        unique_key = 'memory_id',
        incremental_strategy = 'merge'
    )
}}

with clock as (

    select *
    from {{ ref('stg_clock') }}
    where stage = 'short_term_memory'

),

changed as (

    select
        repeats.memory_id,
        repeats.agent_id,
        repeats.is_live and repeats.is_seen and {{ var('supersede_contradictions') }} as is_stated
    from {{ ref('memory_repeats') }} as repeats
    inner join clock
        on repeats.agent_id = clock.agent_id
    {%- if is_incremental() %}
    where
        clock.is_in_run
        and (clock.previous_as_of is null or repeats.sequence > clock.completed_sequence)
    {%- endif %}

),

-- A short first sentence: what goes on and on is no plain statement.
sentences as (

    select
        memories.memory_id,
        changed.agent_id,
        memories.occurred_at,
        lower(coalesce(memories.speaker, memories.agent_id)) as speaker,
        trim(regexp_extract(
            lower(regexp_replace(replace(left(memories.content, 200), '’', ''''), '\s+', ' ', 'g')), '^[^.,;:!?()]+'
        )) as sentence
    from {{ ref('stg_memories') }} as memories
    inner join changed
        on memories.memory_id = changed.memory_id
    where
        changed.is_stated
        and not regexp_matches(left(memories.content, 200), '^[^.!]*\?')

),

facts as (

    select
        memory_id,
        agent_id,
        occurred_at,
        coalesce(nullif(fact.subject, ''), speaker) as subject,
        fact.attribute,
        fact.value
    from (select *, {{ stated_fact('sentence') }} as fact from sentences)
    where
        fact is not null
        and not regexp_matches(fact.value, '^(not|no|never|none) ')

),

{%- if is_incremental() %}

stored as (

    select
        memory_id,
        agent_id,
        valid_from as occurred_at,
        subject,
        attribute,
        value
    from {{ this }}
    where is_current

),

reopened as (

    select
        agent_id,
        subject,
        attribute
    from facts

    union

    select
        stored.agent_id,
        stored.subject,
        stored.attribute
    from stored
    inner join changed
        on stored.memory_id = changed.memory_id

),

statements as (

    select * from facts

    union all

    select stored.*
    from stored
    inner join reopened
        on
            stored.agent_id = reopened.agent_id
            and stored.subject = reopened.subject
            and stored.attribute = reopened.attribute
    where stored.memory_id not in (select changed.memory_id from changed)

),

{%- else %}

statements as (

    select * from facts

),

{%- endif %}

stretches as (

    select
        *,
        sum(cast(is_turn as integer)) over subject_order as stretch,
        last_value(value) over (
            partition by agent_id, subject, attribute order by occurred_at, memory_id
            rows between unbounded preceding and unbounded following
        ) as value_now
    from (
        select
            *,
            value is distinct from lag(value) over subject_order as is_turn
        from statements
        window subject_order as (partition by agent_id, subject, attribute order by occurred_at, memory_id)
    )
    window subject_order as (
        partition by agent_id, subject, attribute order by occurred_at, memory_id rows unbounded preceding
    )

),

turns as (

    select
        agent_id,
        subject,
        attribute,
        stretch,
        memory_id,
        occurred_at
    from stretches
    where is_turn

),

final as (

    select
        stretches.memory_id,
        stretches.agent_id,
        stretches.subject,
        stretches.attribute,
        stretches.value,
        stretches.occurred_at as valid_from,
        following.occurred_at as valid_to,
        following.memory_id as superseded_by,
        stretches.value <> stretches.value_now as is_superseded,
        true as is_current
    from stretches
    left join turns as following
        on
            stretches.agent_id = following.agent_id
            and stretches.subject = following.subject
            and stretches.attribute = following.attribute
            and following.stretch = stretches.stretch + 1

    {%- if is_incremental() %}

    union all

    -- A memory that states nothing any more: deleted, edited, or not yet seen.
    select
        old.* exclude (is_current, sequence),
        false as is_current
    from {{ this }} as old
    inner join changed
        on old.memory_id = changed.memory_id
    where
        old.is_current
        and old.memory_id not in (select facts.memory_id from facts)

    {%- endif %}

)

select
    *,
    cast({{ write_sequence('short_term_memory') }} as bigint) as sequence
from final
