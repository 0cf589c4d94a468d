{{
    config(
        unique_key = ['memory_id', 'sleep_date'],
        incremental_strategy = 'merge'
    )
}}

{%- set threshold = parameter('long_term_memory_threshold') %}
{%- set cycle_us = var('sleep_cycle_minutes') * 60000000 %}
{%- set batch = var('consolidation_batch_size') %}

with recursive clock as (

    select *
    from {{ ref('stg_clock') }}
    where stage = 'consolidation'

),

subjects as materialized (

    select
        row_number() over () as memory_no,
        histories.memory_id,
        histories.agent_id,
        histories.grade,
        histories.arousal,
        {{ association_reach('salience.neighbours') }} as reach,
        {{ events_until('histories.events', 'epoch_us(clock.as_of)') }} as events,
        epoch_us(clock.as_of) as as_of_us
    from {{ ref('memory_histories') }} as histories
    left join {{ ref('memory_salience') }} as salience
        on histories.memory_id = salience.memory_id
    inner join clock
        on histories.agent_id = clock.agent_id

),

-- Only what was used on two days can be needed; the rest need no sleep.
needed as (

    select *
    from subjects
    where
        {{ local_day(event_instant_us('events[-1]')) }} > {{ local_day(event_instant_us('events[1]')) }}

),

{{ slept('slept', 'needed') }},

due as (

    select
        subjects.memory_id,
        subjects.agent_id,
        subjects.as_of_us,
        slept.instant_us as due_us,
        cast(date '1970-01-01' + cast({{ local_day('slept.instant_us') }} as integer) as date) as sleep_date,
        {{ replay_priority('slept.retention', 'slept.need', 'subjects.arousal') }} as priority,
        slept.retention,
        slept.need,
        {{ consolidation_gain(replay_priority('slept.retention', 'slept.need', 'subjects.arousal')) }} as gain,
        slept.stability_days,
        slept.consolidation_sum,
        {{ consolidation_strength('slept.consolidation_sum') }} as consolidation
    from slept
    inner join subjects
        on slept.memory_no = subjects.memory_no

),

-- A cycle has room for so many replays of an agent. What does not fit waits for the next one with room, in the order in
-- which it fell due and then of priority: the place of the n-th in that queue is n more than that of the first in it.
queued as (

    select
        *,
        row_number() over (partition by agent_id order by due_us, priority desc, memory_id) as place,
        (due_us - min(due_us) over (partition by agent_id)) // {{ cycle_us }} as cycle
    from due

),

replays as (

    select
        * exclude (as_of_us, due_us, place, cycle, served_cycle),
        make_timestamptz(due_us + (served_cycle - cycle) * {{ cycle_us }}) as cycle_at
    from (
        select
            *,
            (place + max(cycle * {{ batch }} - place) over (
                partition by agent_id order by place rows unbounded preceding
            )) // {{ batch }} as served_cycle
        from queued
    )
    where due_us + (served_cycle - cycle) * {{ cycle_us }} <= as_of_us

),

current_rows as (

    select
        memory_id,
        agent_id,
        cycle_at,
        sleep_date,
        priority,
        retention,
        need,
        gain,
        stability_days,
        consolidation_sum,
        consolidation,
        consolidation >= {{ threshold }} as is_promoted,
        true as is_current
    from replays

),

{%- if is_incremental() %}

final as (

    select current_rows.*
    from current_rows
    left join {{ this }} as stored
        on
            current_rows.memory_id = stored.memory_id
            and current_rows.sleep_date = stored.sleep_date
    where
        stored.memory_id is null
        or not stored.is_current
        or (current_rows.cycle_at, current_rows.priority, current_rows.consolidation_sum, current_rows.agent_id)
        is distinct from (stored.cycle_at, stored.priority, stored.consolidation_sum, stored.agent_id)

    union all

    select
        stored.* exclude (is_current, sequence),
        false as is_current
    from {{ this }} as stored
    left join current_rows
        on
            stored.memory_id = current_rows.memory_id
            and stored.sleep_date = current_rows.sleep_date
    where
        stored.is_current
        and current_rows.memory_id is null

)

{%- else %}

final as (

    select * from current_rows

)

{%- endif %}

select
    *,
    coalesce({{ run_column('consolidation', 'sequence') }}, 0) as sequence
from final
