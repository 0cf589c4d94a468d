{{
    config(
        unique_key = 'memory_id',
        incremental_strategy = 'merge'
    )
}}

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

{%- set changed %}
    select histories.memory_id
    from {{ ref('memory_histories') }} as histories
    inner join clock
        on histories.agent_id = clock.agent_id
    where
        clock.is_in_run
        and (clock.previous_as_of is null or histories.sequence > clock.completed_sequence)
        and histories.sequence > {{ least_sequence() }}

    union

    -- The least of all agents' bounds stands beside each agent's own: the scan passes over what is older.
    select replays.memory_id
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

    union

    select replays.memory_id
    from replays
    inner join clock
        on replays.agent_id = clock.agent_id
    where
        clock.is_in_run
        and replays.cycle_at > clock.previous_as_of
        and replays.cycle_at <= clock.as_of
        and replays.cycle_at > (select min(previous_as_of) from clock where is_in_run)
{% endset %}

changed as materialized (

    {{ taken_for_few(changed) }}

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
    inner join changed
        on histories.memory_id = changed.memory_id
    {%- endif %}

),

{{ lived_histories('lived', 'subjects', 'replays') }},

{{ fold('folded', 'lived', stride=2 if is_incremental() else 8) }},

states as (

    select
        subjects.memory_id,
        folded.*,
        lived.consolidation_sum,
        list_transform(
            {{ events_until('subjects.events', 'subjects.as_of_us') }}[-10:],
            lambda code: make_timestamptz({{ event_instant_us('code') }})
        ) as last_access_times
    from subjects
    inner join lived
        on subjects.memory_no = lived.memory_no
    inner join folded
        on subjects.memory_no = folded.memory_no

)

{%- if is_incremental() %},

{%- set changed_repeats %}
    select
        repeats.memory_id,
        repeats.agent_id,
        repeats.repeat_of,
        repeats.is_live,
        repeats.is_seen,
        repeats.occurred_at
    from {{ ref('memory_repeats') }} as repeats
    inner join changed
        on repeats.memory_id = changed.memory_id
{% endset %}

changed_repeats as (

    {{ taken_for_few(changed_repeats) }}

)
{%- endif %}

select
    repeats.memory_id,
    repeats.agent_id,
    memories.session_id,
    repeats.repeat_of,
    repeats.is_live,
    repeats.is_seen,
    repeats.occurred_at as first_encoded_at,
    make_timestamptz(states.last_accessed_us) as last_accessed_at,
    coalesce(states.access_count, 0) as access_count,
    coalesce(states.days_used, 0) as days_used,
    states.last_access_times,
    states.stability_days,
    states.difficulty,
    memories.arousal,
    memories.importance,
    states.consolidation_sum,
    {{ consolidation_strength('states.consolidation_sum') }} as consolidation,
    coalesce({{ consolidation_strength('states.consolidation_sum') }} >= {{ parameter('long_term_memory_threshold') }}, false)
        as is_long_term,
    cast({{ write_sequence('short_term_memory') }} as bigint) as sequence
from {{ 'changed_repeats' if is_incremental() else ref('memory_repeats') }} as repeats
inner join {{ ref('stg_memories') }} as memories
    on repeats.memory_id = memories.memory_id
inner join clock
    on repeats.agent_id = clock.agent_id
left join states
    on repeats.memory_id = states.memory_id
