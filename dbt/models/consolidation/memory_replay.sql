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

    select
        agent_id,
        as_of,
        row_number() over () as agent_no
    from {{ ref('stg_clock') }}
    where
        stage = 'consolidation'
        and {{ in_slice('agent_id') }}

),

subjects as materialized (

    select
        row_number() over () as memory_no,
        histories.memory_id,
        histories.agent_id,
        clock.agent_no,
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

due as materialized (

    select
        slept.memory_no,
        subjects.agent_no,
        subjects.as_of_us,
        slept.instant_us as due_us,
        {{ replay_priority('slept.retention', 'slept.need', 'subjects.arousal') }} as priority,
        slept.retention,
        slept.need,
        slept.stability_days,
        slept.consolidation_sum
    from slept
    inner join subjects
        on slept.memory_no = subjects.memory_no

),

-- A cycle has room for so many replays of an agent. Where none is ever short of it, each is served when it falls due.
crowded as (

    select distinct agent_no
    from (
        select agent_no
        from due
        group by agent_no, due_us
        having count(*) > {{ batch }}
    )

),

-- What does not fit waits for the next cycle with room, in the order in which it fell due and then of priority: the place
-- of the n-th in that queue is n more than that of the first in it.
queued as (

    select
        due.*,
        row_number() over (
            partition by due.agent_no order by due.due_us, due.priority desc, subjects.memory_id
        ) as place,
        (due.due_us - min(due.due_us) over (partition by due.agent_no)) // {{ cycle_us }} as cycle
    from due
    inner join subjects
        on due.memory_no = subjects.memory_no
    where due.agent_no in (select crowded.agent_no from crowded)

),

served as (

    select
        *,
        due_us as served_us
    from due
    where agent_no not in (select crowded.agent_no from crowded)

    union all

    select
        * exclude (place, cycle, served_cycle),
        due_us + (served_cycle - cycle) * {{ cycle_us }} as served_us
    from (
        select
            *,
            (place + max(cycle * {{ batch }} - place) over (
                partition by agent_no order by place rows unbounded preceding
            )) // {{ batch }} as served_cycle
        from queued
    )

),

replays as (

    select
        subjects.memory_id,
        subjects.agent_id,
        make_timestamptz(served.served_us) as cycle_at,
        cast(date '1970-01-01' + cast({{ local_day('served.due_us') }} as integer) as date) as sleep_date,
        served.priority,
        served.retention,
        served.need,
        {{ consolidation_gain('served.priority') }} as gain,
        served.stability_days,
        served.consolidation_sum,
        {{ consolidation_strength('served.consolidation_sum') }} as consolidation
    from served
    inner join subjects
        on served.memory_no = subjects.memory_no
    where served.served_us <= served.as_of_us

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

stored as (

    select *
    from {{ this }}
    where {{ in_slice('agent_id') }}

),

final as (

    select current_rows.*
    from current_rows
    left join stored
        on
            current_rows.memory_id = stored.memory_id
            and current_rows.sleep_date = stored.sleep_date
    where
        stored.memory_id is null
        or not stored.is_current
        or (
            current_rows.cycle_at, current_rows.priority, current_rows.consolidation_sum, current_rows.is_promoted,
            current_rows.agent_id
        )
        is distinct from (
            stored.cycle_at, stored.priority, stored.consolidation_sum, stored.is_promoted, stored.agent_id
        )

    union all

    select
        stored.* exclude (is_current, sequence),
        false as is_current
    from stored
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
