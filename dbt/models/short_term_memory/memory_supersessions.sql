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

{%- set changed %}
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
        and repeats.sequence > {{ least_sequence() }}
        -- who was only used states what it stated
        and not {{ is_only_used('repeats') }}
    {%- endif %}
{% endset %}

changed as materialized (

    {{ taken_for_few(changed) if is_incremental() else changed }}

),

{%- set texts %}
    select
        memories.memory_id,
        changed.agent_id,
        memories.occurred_at,
        memories.content,
        memories.speaker
    from {{ ref('stg_memories') }} as memories
    inner join changed
        on memories.memory_id = changed.memory_id
    where changed.is_stated
{% endset %}

-- Few, or the filter below would be put before the join, and read every text.
texts as (

    {{ taken_for_few(texts) if is_incremental() else texts }}

),

openings as materialized (

    select
        memory_id,
        agent_id,
        occurred_at,
        content,
        lower(coalesce(texts.speaker, agent_id)) as speaker,
        {{ opening('content', "coalesce(texts.speaker, '')") }} as opening
    from texts
    where
        {{ may_state('left(content, 200)') }}
        and not regexp_matches(left(content, 200), '^[^.!]*[?？؟]')

),

-- A short first sentence: what goes on and on is no plain statement.
sentences as materialized (

    select
        * exclude (opening),
        {{ first_sentence('opening') }} as sentence,
        {{ is_correction('opening') }} as is_correction
    from openings

),

stated as materialized (

    select
        *,
        {{ stated_fact('sentence') }} as fact
    from sentences

),

facts as materialized (

    select
        memory_id,
        agent_id,
        occurred_at,
        case
            when fact.subject = '' then speaker
            when starts_with(fact.subject, 'my ') then speaker || '''s ' || substring(fact.subject, 4)
            else fact.subject
        end as subject,
        fact.attribute,
        fact.value,
        fact.is_negated,
        fact.is_single,
        fact.is_explicit or is_correction as is_explicit
    from stated
    where {{ is_plain_fact('fact', 'content') }}

),

{%- if is_incremental() %}

stored as (

    select
        memory_id,
        agent_id,
        valid_from as occurred_at,
        subject,
        attribute,
        value,
        is_negated,
        is_single,
        is_explicit
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

-- A turn ends what was said before it: another value, where there is one at a time or it says itself that it has changed, or
-- the denial of the same value (which another value does not end).
ordered as (

    select
        *,
        case
            when said_before is null then true
            when is_negated <> was_negated then value = said_before
            else not is_negated and (is_single or is_explicit) and not {{ is_same_value('value', 'said_before') }}
        end as is_turn
    from (
        select
            *,
            lag(value) over subject_order as said_before,
            lag(is_negated) over subject_order as was_negated
        from statements
        window subject_order as (partition by agent_id, subject, attribute order by occurred_at, memory_id)
    )

),

stretches as (

    select
        *,
        sum(cast(is_turn as integer)) over (
            partition by agent_id, subject, attribute order by occurred_at, memory_id rows unbounded preceding
        ) as stretch
    from ordered

),

turns as (

    select
        agent_id,
        subject,
        attribute,
        stretch,
        memory_id,
        occurred_at,
        value,
        last_value(value) over subject_order as value_now,
        last_value(is_negated) over subject_order as is_negated_now
    from stretches
    where is_turn
    window subject_order as (
        partition by agent_id, subject, attribute order by occurred_at, memory_id
        rows between unbounded preceding and unbounded following
    )

),

final as (

    select
        stretches.memory_id,
        stretches.agent_id,
        stretches.subject,
        stretches.attribute,
        stretches.value,
        stretches.is_negated,
        stretches.is_single,
        stretches.is_explicit,
        stretches.occurred_at as valid_from,
        following.occurred_at as valid_to,
        following.memory_id as superseded_by,
        following.memory_id is not null
        and not (
            {{ is_same_value('stretches.value', 'following.value_now') }}
            and stretches.is_negated = following.is_negated_now
        ) as is_superseded,
        true as is_current
    from stretches
    left join turns as following
        on
            stretches.agent_id = following.agent_id
            and stretches.subject = following.subject
            and stretches.attribute = following.attribute
            and following.stretch = stretches.stretch + 1
            and (not stretches.is_negated or stretches.value = following.value)

    {%- if is_incremental() %}

    union all

    -- A memory that states nothing any more: deleted, edited, or not yet seen.
    select
        old.memory_id,
        old.agent_id,
        old.subject,
        old.attribute,
        old.value,
        old.is_negated,
        old.is_single,
        old.is_explicit,
        old.valid_from,
        old.valid_to,
        old.superseded_by,
        old.is_superseded,
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
