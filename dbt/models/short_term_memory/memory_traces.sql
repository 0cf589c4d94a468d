{{
    config(
        unique_key = 'memory_id',
        incremental_strategy = 'merge'
    )
}}

-- depends_on: {{ ref('memory_salience') }}

with recursive clock as (

    select *
    from {{ ref('stg_clock') }}
    where stage = 'short_term_memory'

),

replays as not materialized (

    select
        memory_id,
        agent_id,
        cycle_at,
        consolidation_sum,
        sequence,
        is_current
    from {{ ref_if_built(ref('memory_replay'), {
        'memory_id': 'varchar', 'agent_id': 'varchar', 'cycle_at': 'timestamptz', 'consolidation_sum': 'double',
        'sequence': 'bigint', 'is_current': 'boolean'}) }}

),

{%- if is_incremental() %}

-- Whose history has later events only, and no other replays, goes on from where it stood.
{%- set changed %}
    select
        memory_id,
        bool_and(goes_on) as goes_on,
        any_value(agent_id) as agent_id,
        any_value(events) as events,
        any_value(previous_as_of) as previous_as_of,
        any_value(as_of) as as_of,
        any_value(completed_sequence) as completed_sequence
    from (
        select
            histories.memory_id,
            histories.agent_id,
            {{ events_until('histories.events', 'epoch_us(clock.as_of)') }} as events,
            clock.previous_as_of,
            clock.as_of,
            clock.completed_sequence,
            coalesce(used.changed_from > clock.previous_as_of, false) as goes_on
        from {{ ref('memory_histories') }} as histories
        inner join clock
            on histories.agent_id = clock.agent_id
        left join ({{ changed_memories() }}) as used
            on histories.memory_id = used.memory_id
        where
            clock.is_in_run
            and (clock.previous_as_of is null or histories.sequence > clock.completed_sequence)
            and histories.sequence > {{ least_sequence() }}

        union all by name

        select memory_id, false as goes_on from ({{ changed_saliences() }})

        union all by name

        -- The least of all agents' bounds stands beside each agent's own: the scan passes over what is older.
        select replays.memory_id, false as goes_on
        from replays
        inner join clock
            on replays.agent_id = clock.agent_id
        where
            clock.is_in_run
            and (clock.previous_as_of is null or replays.sequence > clock.replay_sequence_from)
            and replays.sequence > (
                select min(case when previous_as_of is null then -1 else replay_sequence_from end)
                from clock
                where is_in_run
            )

        union all by name

        select replays.memory_id, false as goes_on
        from replays
        inner join clock
            on replays.agent_id = clock.agent_id
        where
            clock.is_in_run
            and replays.cycle_at > clock.previous_as_of
            and replays.cycle_at <= clock.as_of
            and replays.cycle_at > (select min(previous_as_of) from clock where is_in_run)
    )
    group by memory_id
{% endset %}

changed as materialized (

    {{ taken_for_few(changed) }}

),

-- Of a large table's rows here and there, each column costs reading much of it: what the history tells is not read.
{%- set stored %}
    select
        changed.*,
        stored.session_id,
        stored.stability_days,
        stored.difficulty,
        stored.last_accessed_at,
        stored.access_count,
        stored.days_used,
        stored.arousal,
        stored.importance,
        stored.consolidation_sum
    from {{ this }} as stored
    inner join changed
        on stored.memory_id = changed.memory_id
    where
        changed.goes_on
        and stored.stability_days is not null
        and stored.sequence <= changed.completed_sequence
{% endset %}

stored as (

    {{ taken_for_few(stored) }}

),

-- Numbered below zero, where the others are numbered from one on.
continued as materialized (

    select
        * exclude (events, last_accessed_at),
        -row_number() over () as memory_no,
        events as all_events,
        list_filter(events, lambda code: {{ event_instant_us('code') }} > epoch_us(previous_as_of)) as events,
        epoch_us(last_accessed_at) as last_accessed_us,
        epoch_us(as_of) as as_of_us
    from stored

),

{%- set refolded %}
    select changed.memory_id
    from changed
    anti join continued
        on changed.memory_id = continued.memory_id
{% endset %}

refolded as materialized (

    {{ taken_for_few(refolded) }}

),

{%- endif %}

-- as_of stands beside the memory: joined to the events as a table of its own, it would be matched by time first.
subjects as materialized (

    select
        row_number() over () as memory_no,
        epoch_us(clock.as_of) as as_of_us,
        histories.memory_id,
        histories.agent_id,
        histories.grade,
        histories.arousal,
        histories.events
    from {{ ref('memory_histories') }} as histories
    inner join clock
        on histories.agent_id = clock.agent_id
    {%- if is_incremental() %}
    inner join refolded
        on histories.memory_id = refolded.memory_id
    {%- endif %}

),

{{ lived_histories('lived', 'subjects', 'replays') }},

{{ fold('folded', 'lived', stride=2 if is_incremental() else 8, stored='continued' if is_incremental() else none) }},

{%- if is_incremental() %}

{%- set refolded_repeats %}
    select
        repeats.memory_id,
        repeats.agent_id,
        repeats.repeat_of,
        repeats.is_live,
        repeats.is_seen,
        repeats.occurred_at
    from {{ ref('memory_repeats') }} as repeats
    inner join refolded
        on repeats.memory_id = refolded.memory_id
{% endset %}

refolded_repeats as (

    {{ taken_for_few(refolded_repeats) }}

),

{%- endif %}

states as (

    select
        repeats.memory_id,
        repeats.agent_id,
        memories.session_id,
        repeats.repeat_of,
        repeats.is_live,
        repeats.is_seen,
        repeats.occurred_at as first_encoded_at,
        memories.arousal,
        memories.importance,
        lived.consolidation_sum,
        {{ events_until('subjects.events', 'subjects.as_of_us') }} as events,
        folded.* exclude (memory_no)
    from {{ 'refolded_repeats' if is_incremental() else ref('memory_repeats') }} as repeats
    inner join {{ ref('stg_memories') }} as memories
        on repeats.memory_id = memories.memory_id
    inner join clock
        on repeats.agent_id = clock.agent_id
    left join (
        subjects
        inner join lived
            on subjects.memory_no = lived.memory_no
        inner join folded
            on subjects.memory_no = folded.memory_no
    )
        on repeats.memory_id = subjects.memory_id
    {%- if is_incremental() %}

    union all by name

    -- Only a memory that is met, and repeats none, has a state; its first event is its encoding.
    select
        continued.memory_id,
        continued.agent_id,
        continued.session_id,
        cast(null as varchar) as repeat_of,
        true as is_live,
        true as is_seen,
        make_timestamptz({{ event_instant_us('continued.all_events[1]') }}) as first_encoded_at,
        continued.arousal,
        continued.importance,
        continued.consolidation_sum,
        continued.all_events as events,
        folded.* exclude (memory_no)
    from continued
    inner join folded
        on continued.memory_no = folded.memory_no
    {%- endif %}

)

select
    memory_id,
    agent_id,
    session_id,
    repeat_of,
    is_live,
    is_seen,
    first_encoded_at,
    make_timestamptz(last_accessed_us) as last_accessed_at,
    coalesce(access_count, 0) as access_count,
    coalesce(days_used, 0) as days_used,
    list_transform(events[-10:], lambda code: make_timestamptz({{ event_instant_us('code') }})) as last_access_times,
    stability_days,
    difficulty,
    arousal,
    importance,
    consolidation_sum,
    {{ consolidation_strength('consolidation_sum') }} as consolidation,
    coalesce({{ consolidation_strength('consolidation_sum') }} >= {{ parameter('long_term_memory_threshold') }}, false)
        as is_long_term,
    cast({{ write_sequence('short_term_memory') }} as bigint) as sequence
from states
