{#
    What a memory budget demotes, as a chain of CTEs of which `name` is one row per demotion: memory_no, access_count (the
    step of the memory's life that it ends, from one access to the next), demoted_us, stability_days, last_accessed_us,
    restored_us (the next access, or null), expected_retention, position, kept, memories.

    On a night an agent keeps the `kept_within` of its memories of which most will be left `memory_budget_horizon_days`
    later; the others are demoted until their next access. Only a night after an encoding or an access can find more
    memories than there is room for, so no other is judged.

    folded:   the event fold, one row a step of it
    subjects: memory_no, agent_id, memory_id, as_of_us
#}
{% macro over_budget(name, folded, subjects) -%}
{{ name }}_steps as materialized (

    select
        states.memory_no,
        states.access_count,
        any_value(subjects.agent_id) as agent_id,
        any_value(subjects.memory_id) as memory_id,
        any_value(states.last_accessed_us) as last_accessed_us,
        list({'from_us': states.instant_us, 'days': states.stability_days} order by states.event_no) as stabilities,
        any_value(states.next_access_us) as until_us,
        {{ night_after_us('min(states.instant_us) - 1') }} as enters_us
    from {{ folded }} as states
    inner join {{ subjects }} as subjects
        on states.memory_no = subjects.memory_no
    group by
        states.memory_no,
        states.access_count
    having {{ night_after_us('min(states.instant_us) - 1') }} <= any_value(subjects.as_of_us)

),

{{ name }}_nights as materialized (

    select
        *,
        {{ kept_within('memories') }} as kept
    from (
        select
            agent_id,
            enters_us as night_us,
            row_number() over nights as night_no,
            cast(sum(count(*) filter (where access_count = 1)) over nights as bigint) as memories
        from {{ name }}_steps
        group by agent_id, enters_us
        window nights as (partition by agent_id order by enters_us)
    )

),

-- One iteration a judged night; a row is a step as it was last judged. Row 0 of an agent is no memory: it counts nights.
{{ name }}_judged (
    agent_id, memory_no, access_count, memory_id, last_accessed_us, until_us, stabilities,
    night_no, night_us, memories, kept, stability_days, expected_retention, position
) using key (agent_id, memory_no, access_count) as (

    select
        agent_id,
        cast(0 as bigint),
        0,
        '',
        cast(null as bigint),
        cast(null as bigint),
        cast(null as struct(from_us bigint, days double)[]),
        cast(0 as bigint),
        cast(null as bigint),
        cast(0 as bigint),
        cast(0 as double),
        cast(null as double),
        cast(null as double),
        cast(0 as bigint)
    from {{ name }}_nights
    where night_no = 1

    union

    select
        *,
        row_number() over (
            partition by agent_id, memory_no > 0 order by expected_retention desc, memory_id
        ) as position
    from (
        select
            *,
            {{ retention(
                elapsed_days('last_accessed_us', 'night_us') ~ ' + ' ~ parameter('memory_budget_horizon_days'),
                'stability_days') }} as expected_retention
        from (
            select
                held.agent_id,
                held.memory_no,
                held.access_count,
                held.memory_id,
                held.last_accessed_us,
                held.until_us,
                held.stabilities,
                nights.night_no,
                nights.night_us,
                nights.memories,
                nights.kept,
                list_filter(held.stabilities, lambda since: since.from_us <= nights.night_us)[-1].days as stability_days
            from {{ name }}_judged as held
            inner join {{ name }}_nights as nights
                on
                    held.agent_id = nights.agent_id
                    and nights.night_no = held.night_no + 1
            where held.memory_no = 0 or held.position <= held.kept

            union all

            select
                steps.agent_id,
                steps.memory_no,
                steps.access_count,
                steps.memory_id,
                steps.last_accessed_us,
                steps.until_us,
                steps.stabilities,
                nights.night_no,
                nights.night_us,
                nights.memories,
                nights.kept,
                list_filter(steps.stabilities, lambda since: since.from_us <= nights.night_us)[-1].days as stability_days
            from {{ name }}_judged as held
            inner join {{ name }}_nights as nights
                on
                    held.agent_id = nights.agent_id
                    and nights.night_no = held.night_no + 1
            inner join {{ name }}_steps as steps
                on
                    nights.agent_id = steps.agent_id
                    and nights.night_us = steps.enters_us
            where held.memory_no = 0
        )
        where
            memory_no = 0
            or until_us is null
            or until_us > night_us
    )

),

{{ name }} as (

    select
        memory_no,
        access_count,
        night_us as demoted_us,
        stability_days,
        last_accessed_us,
        until_us as restored_us,
        expected_retention,
        position,
        cast(kept as bigint) as kept,
        memories
    from {{ name }}_judged
    where
        memory_no > 0
        and position > kept

)
{%- endmacro %}
