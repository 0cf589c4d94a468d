with recursive clock as (

    select *
    from {{ ref('stg_clock') }}
    where stage = 'nightly_decay'

),

subjects as (

    select
        row_number() over () as memory_no,
        repeats.memory_id,
        repeats.agent_id,
        repeats.occurred_at,
        epoch_us(clock.as_of) as as_of_us
    from {{ ref('memory_repeats') }} as repeats
    inner join clock
        on repeats.agent_id = clock.agent_id
    where
        repeats.is_live
        and repeats.is_seen
        and repeats.repeat_of is null
        and repeats.occurred_at <= clock.as_of

),

history as (

    select
        subjects.memory_no,
        events.occurred_at,
        events.kind,
        events.grade,
        events.arousal,
        cast(null as double) as gain
    from {{ ref('stg_events') }} as events
    inner join subjects
        on events.memory_id = subjects.memory_id
    where epoch_us(events.occurred_at) <= subjects.as_of_us

    union all

    select
        subjects.memory_no,
        replays.cycle_at,
        'replay',
        3,
        null,
        replays.gain
    from {{ ref('memory_replay') }} as replays
    inner join subjects
        on replays.memory_id = subjects.memory_id
    where
        replays.is_current
        and epoch_us(replays.cycle_at) <= subjects.as_of_us

),

ranked as materialized (

    {{ ranked_events('history') }}

),

{{ fold('folded', 'ranked') }},

{%- if var('memory_budget') is not none %}

{{ over_budget('demotions', 'folded', 'subjects') }},

{%- else %}

-- Within a step retention only falls: the first night on which it is below the threshold is known in closed form.
nights as (

    select
        *,
        {{ night_after_us('greatest(below_us, instant_us - 1)') }} as night_us
    from (
        select
            memory_no,
            instant_us,
            next_us,
            stability_days,
            last_accessed_us,
            access_count,
            last_accessed_us + cast(
                least({{ days_until_retention('stability_days', parameter('forgetting_threshold')) }}, 1e6) * 864e8
                as bigint
            ) as below_us
        from folded
    )

),

demotions as (

    select
        nights.memory_no,
        nights.access_count,
        min(nights.night_us) as demoted_us,
        arg_min(nights.stability_days, nights.night_us) as stability_days,
        any_value(nights.last_accessed_us) as last_accessed_us,
        cast(null as double) as expected_retention,
        cast(null as bigint) as position,
        cast(null as bigint) as kept,
        cast(null as bigint) as memories
    from nights
    inner join subjects
        on nights.memory_no = subjects.memory_no
    where nights.night_us < coalesce(nights.next_us, subjects.as_of_us + 1)
    group by nights.memory_no, nights.access_count

),

{%- endif %}

restorations as (

    select
        memory_no,
        access_count,
        min(instant_us) as restored_us
    from folded
    where last_accessed_us = instant_us
    group by memory_no, access_count

),

lapses as (

    select
        demotions.memory_no,
        list({
            'demoted_at': make_timestamptz(demotions.demoted_us),
            'retention': {{ retention(
                elapsed_days('demotions.last_accessed_us', 'demotions.demoted_us'), 'demotions.stability_days') }},
            'stability_days': demotions.stability_days,
            'last_accessed_at': make_timestamptz(demotions.last_accessed_us),
            'restored_at': make_timestamptz(restorations.restored_us),
            'expected_retention': demotions.expected_retention,
            'position': demotions.position,
            'kept': demotions.kept,
            'memories': demotions.memories
        } order by demotions.demoted_us) as lapses
    from demotions
    left join restorations
        on
            demotions.memory_no = restorations.memory_no
            and restorations.access_count = demotions.access_count + 1
    group by demotions.memory_no

),

final_states as (

    select
        folded.*,
        {{ elapsed_days('folded.last_accessed_us', 'subjects.as_of_us') }} as elapsed_days,
        subjects.memory_id,
        subjects.agent_id,
        subjects.as_of_us
    from folded
    inner join subjects
        on folded.memory_no = subjects.memory_no
    where folded.event_no = folded.event_count

)

select
    final_states.memory_id,
    final_states.agent_id,
    make_timestamptz(final_states.as_of_us) as as_of,
    {{ retention('final_states.elapsed_days', 'final_states.stability_days') }} as retention,
    final_states.stability_days,
    final_states.difficulty,
    make_timestamptz(final_states.last_accessed_us) as last_accessed_at,
    final_states.access_count,
    final_states.days_used,
    {{ consolidation_strength('final_states.consolidation_sum') }} as consolidation,
    {{ consolidation_strength('final_states.consolidation_sum') }} >= {{ parameter('long_term_memory_threshold') }} as is_long_term,
    coalesce(lapses.lapses[-1].restored_at is null and len(lapses.lapses) > 0, false) as is_forgotten,
    case when lapses.lapses[-1].restored_at is null then lapses.lapses[-1].demoted_at end as demoted_at,
    lapses.lapses
from final_states
left join lapses
    on final_states.memory_no = lapses.memory_no
