{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        pre_hook="{{ empty_slice() }}"
    )
}}

with recursive clock as (

    select *
    from {{ ref('stg_clock') }}
    where
        stage = 'nightly_decay'
        and {{ in_slice('agent_id') }}

),

subjects as materialized (

    select
        row_number() over () as memory_no,
        histories.memory_id,
        histories.agent_id,
        histories.grade,
        histories.arousal,
        histories.events,
        epoch_us(clock.as_of) as as_of_us
    from {{ ref('memory_histories') }} as histories
    inner join clock
        on histories.agent_id = clock.agent_id
    where {{ event_instant_us('histories.events[1]') }} <= epoch_us(clock.as_of)

),

{%- set replays = ref_if_built(ref('memory_replay'), {
    'memory_id': 'varchar', 'cycle_at': 'timestamptz', 'consolidation_sum': 'double', 'is_current': 'boolean'}) %}

{{ lived_histories('lived', 'subjects', replays) }},

{#- Within a step retention only falls: when it is below the threshold is known in closed form. #}
{%- set below_us -%}
last_accessed_us + cast(
    least({{ days_until_retention('stability_days', parameter('forgetting_threshold'), known=true) }}, 1e6) * 864e8 as bigint
)
{%- endset %}

{{ fold('folded', 'lived', steps='true' if var('memory_budget') is not none else below_us ~ ' < until_us') }},

{%- if var('memory_budget') is not none %}

{{ over_budget('demotions', 'folded_steps', 'subjects') }},

{%- else %}

-- The first night on which a step's retention is below the threshold.
nights as (

    select
        *,
        {{ night_after_us('greatest(' ~ below_us ~ ', instant_us - 1)') }} as night_us
    from folded_steps

),

demotions as (

    select
        memory_no,
        access_count,
        min(night_us) as demoted_us,
        arg_min(stability_days, night_us) as stability_days,
        any_value(last_accessed_us) as last_accessed_us,
        any_value(next_access_us) as restored_us,
        cast(null as double) as expected_retention,
        cast(null as bigint) as position,
        cast(null as bigint) as kept,
        cast(null as bigint) as memories
    from nights
    where night_us < until_us
    group by memory_no, access_count

),

{%- endif %}

lapses as (

    select
        demotions.memory_no,
        -- of a memory, no two at one instant, which stands first; ordered within the aggregate they take twenty times as long
        list_sort(list({
            'demoted_at': make_timestamptz(demotions.demoted_us),
            'retention': {{ retention(
                elapsed_days('demotions.last_accessed_us', 'demotions.demoted_us'), 'demotions.stability_days') }},
            'stability_days': demotions.stability_days,
            'last_accessed_at': make_timestamptz(demotions.last_accessed_us),
            'restored_at': make_timestamptz(demotions.restored_us),
            'expected_retention': demotions.expected_retention,
            'position': demotions.position,
            'kept': demotions.kept,
            'memories': demotions.memories
        })) as lapses
    from demotions
    group by demotions.memory_no

),

final_states as (

    select
        folded.*,
        lived.consolidation_sum,
        {{ elapsed_days('folded.last_accessed_us', 'subjects.as_of_us') }} as elapsed_days,
        subjects.memory_id,
        subjects.agent_id,
        subjects.as_of_us
    from folded
    inner join lived
        on folded.memory_no = lived.memory_no
    inner join subjects
        on folded.memory_no = subjects.memory_no

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
