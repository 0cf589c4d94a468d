{{
    config(
        unique_key = 'memory_id',
        incremental_strategy = 'merge'
    )
}}

-- depends_on: {{ ref('stg_memories') }}, {{ ref('memory_salience') }}, {{ ref('stg_events') }}, {{ source('raw', 'revisions') }}, {{ source('raw', 'access_log') }}

with recursive clock as (

    select *
    from {{ ref('stg_clock') }}
    where stage = 'short_term_memory'

),

replays as (

    select
        memory_id,
        agent_id,
        cycle_at,
        gain,
        sequence,
        is_current
    from {{ ref_if_built(ref('memory_replay'), {
        'memory_id': 'varchar', 'agent_id': 'varchar', 'cycle_at': 'timestamptz', 'gain': 'double',
        'sequence': 'bigint', 'is_current': 'boolean'}) }}

),

{%- if is_incremental() %}

changed as (

    select memory_id
    from ({{ changed_memories() }})

    union

    -- first stabilities that a late memory has changed
    select salience.memory_id
    from {{ ref('memory_salience') }} as salience
    inner join clock
        on salience.agent_id = clock.agent_id
    where
        clock.is_in_run
        and salience.sequence > clock.completed_sequence

    union

    select replays.memory_id
    from replays
    inner join clock
        on replays.agent_id = clock.agent_id
    where
        clock.is_in_run
        and (
            clock.previous_as_of is null
            or replays.sequence > clock.replay_sequence_from
            or (replays.cycle_at > clock.previous_as_of and replays.cycle_at <= clock.as_of)
        )

),

events as (

    {{ events('changed') }}

),

{%- else %}

events as (

    select * from {{ ref('stg_events') }}

),

{%- endif %}

-- as_of stands beside the memory: joined to the events as a table of its own, it would be matched by time first.
subjects as materialized (

    select
        row_number() over () as memory_no,
        clock.as_of,
        repeats.memory_id,
        repeats.agent_id,
        repeats.repeat_of,
        repeats.is_live,
        repeats.is_seen,
        repeats.occurred_at
    from {{ ref('memory_repeats') }} as repeats
    inner join clock
        on repeats.agent_id = clock.agent_id
    {%- if is_incremental() %}
    where repeats.memory_id in (select changed.memory_id from changed)
    {%- endif %}

),

history as (

    select
        subjects.memory_no,
        events.occurred_at,
        events.kind,
        events.grade,
        events.arousal,
        cast(null as double) as gain
    from events
    inner join subjects
        on events.memory_id = subjects.memory_id
    where events.occurred_at <= subjects.as_of

    union all

    select
        subjects.memory_no,
        replays.cycle_at,
        'replay',
        3,
        null,
        replays.gain
    from replays
    inner join subjects
        on replays.memory_id = subjects.memory_id
    where
        replays.is_current
        and replays.cycle_at <= subjects.as_of
        -- what was replayed before it turned out to be a repeat, or was deleted, has no state of its own any more
        and subjects.repeat_of is null
        and subjects.is_live
        and subjects.is_seen

),

ranked as materialized (

    {{ ranked_events('history') }}

),

{{ fold('folded', 'ranked') }},

access_times as (

    select
        memory_no,
        list_reverse(max(instant_us, 10)) as last_us
    from ranked
    where kind <> 3
    group by memory_no

),

memories as (

    select *
    from {{ ref('stg_memories') }}
    {%- if is_incremental() %}
    where memory_id in (select changed.memory_id from changed)
    {%- endif %}

)

select
    subjects.memory_id,
    subjects.agent_id,
    memories.session_id,
    subjects.repeat_of,
    subjects.is_live,
    subjects.is_seen,
    subjects.occurred_at as first_encoded_at,
    make_timestamptz(folded.last_accessed_us) as last_accessed_at,
    coalesce(folded.access_count, 0) as access_count,
    coalesce(folded.days_used, 0) as days_used,
    list_transform(access_times.last_us, lambda us: make_timestamptz(us)) as last_access_times,
    folded.stability_days,
    folded.difficulty,
    memories.arousal,
    memories.importance,
    folded.consolidation_sum,
    {{ consolidation_strength('folded.consolidation_sum') }} as consolidation,
    coalesce({{ consolidation_strength('folded.consolidation_sum') }} >= {{ parameter('long_term_memory_threshold') }}, false)
        as is_long_term,
    cast({{ write_sequence('short_term_memory') }} as bigint) as sequence
from subjects
inner join memories
    on subjects.memory_id = memories.memory_id
left join folded
    on
        subjects.memory_no = folded.memory_no
        and folded.event_no = folded.event_count
left join access_times
    on subjects.memory_no = access_times.memory_no
