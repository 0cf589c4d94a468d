{#
    The event fold with sleep in it: a memory's events and between them the replays that it earns, as a chain of CTEs of
    which `name` has one row per replay: memory_no, instant_us, retention, need, stability_days and consolidation_sum (both
    after it). `histories` as the fold takes them, without replays, and with the `reach` of a memory's associations, [0, 1].

    Between two events the priority of a replay only rises, so the next replay is known in closed form (see
    cycle_after). No cycle is visited that has nothing to do, and what is long-term needs no sleep: the steps end there.
    As in the fold, an iteration takes eight steps of every memory, written out one after the other.
#}
{% macro slept(name, histories) -%}
{{ name }}_strides as (

    select
        *,
        {{ replay_need('days_used', 'reach') }} as need,
        true as is_awake,
        -- used on one day only, it is not needed yet
        cast(null as bigint) as replay_us,
        cast([] as struct(
            instant_us bigint, retention double, need double, stability_days double, consolidation_sum double
        )[]) as replays
    from (
        select
            memory_no,
            events[2:] as events,
            0::bigint as taken,
            arousal,
            reach,
            as_of_us,
            {{ first_stability('grade', 'arousal') }} as stability_days,
            {{ first_difficulty('grade') }} as difficulty,
            {{ event_instant_us('events[1]') }} as last_accessed_us,
            {{ local_day(event_instant_us('events[1]')) }} as last_day,
            1 as days_used,
            0e0 as consolidation_sum,
            cast(null as bigint) as replayed_day
        from {{ histories }}
        where len(events) > 0
    )

    union all

    {{ slept_stride(name ~ '_strides') }}

),

{{ name }} as (

    select
        memory_no,
        unnest(replays, max_depth := 2)
    from {{ name }}_strides

)
{%- endmacro %}

{# Eight steps of each memory of `source` that has a replay or an event before it and is not long-term yet. #}
{% macro slept_stride(source) -%}
{%- set stride = 8 -%}
{%- set instant_us = event_instant_us('code') -%}
{%- set is_replay = event_kind('code') ~ ' = 3' -%}
{%- set is_access = event_kind('code') ~ ' <> 3' -%}
{%- set built = namespace(query="(select * exclude (replays) replace (events[taken + 1:] as events, 0::bigint as taken), "
    ~ "0::bigint as code, 0::bigint as day, 0e0 as elapsed_days, 0e0 as retention, 0e0 as floor_days, 0::bigint as cycle_us from "
    ~ source ~ " where (replay_us is not null or taken < len(events)) and is_awake)") -%}
{%- for number in range(1, stride + 1) -%}
{%- set built.query -%}
(
    select
        * replace (
            case
                when cycle_us <= least(as_of_us, {{ event_instant_us('events[taken + 1]') }}) then cycle_us
            end as replay_us
        ),
        case
            when {{ is_replay }} then {
                'instant_us': {{ instant_us }},
                'retention': retention,
                'need': need,
                'stability_days': stability_days,
                'consolidation_sum': consolidation_sum
            }
        end as replay_{{ number }}
    from (
        select * replace (case when floor_days < 1e6 then {{ cycle_after(instant_us) }} end as cycle_us)
        from (
            select * replace (case when code is not null and is_awake then {{ days_until_replay() }} end as floor_days)
            from (
                select * replace (case when {{ is_replay }} then {{ consolidation_strength('consolidation_sum') }}
                    < {{ parameter('long_term_memory_threshold') }} else is_awake end as is_awake)
                from (
                    select * replace (
                        case
                            when code is null then stability_days
                            when {{ is_replay }} then {{ replay_stability('stability_days') }}
                            when {{ event_kind('code') }} = 2 then {{ restudy_stability(
                                'stability_days', 'difficulty', 'elapsed_days', event_grade('code'), known=true) }}
                            else {{ next_stability('stability_days', 'difficulty', 'elapsed_days', event_grade('code'), known=true) }}
                        end as stability_days,
                        case
                            when {{ event_kind('code') }} = 1 then {{ next_difficulty('difficulty', event_grade('code'), known=true) }}
                            else difficulty
                        end as difficulty,
                        case when {{ is_access }} then {{ instant_us }} else last_accessed_us end as last_accessed_us,
                        case when {{ is_access }} then day else last_day end as last_day,
                        case when {{ is_replay }} then day else replayed_day end as replayed_day,
                        case when {{ is_replay }}
                            then consolidation_sum + {{ consolidation_gain(replay_priority('retention', 'need', 'arousal', known=true)) }}
                            else consolidation_sum
                        end as consolidation_sum,
                        case when {{ is_access }} then {{ replay_need('days_used', 'reach') }} else need end as need
                    )
                    from (
                        select * replace (
                            taken + cast(coalesce({{ is_access }}, false) as integer) as taken,
                            days_used + cast(coalesce({{ is_access }} and day > last_day, false) as integer) as days_used,
                            case when {{ is_replay }} then {{ retention('elapsed_days', 'stability_days', known=true) }} end as retention
                        )
                        from (
                            select * replace (
                                {{ local_day(instant_us) }} as day,
                                {{ elapsed_days('last_accessed_us', instant_us) }} as elapsed_days
                            )
                            from (
                                select * replace (
                                    case when is_awake then coalesce({{ event_code('replay_us', 3, 3) }}, events[taken + 1]) end
                                        as code
                                )
                                from {{ built.query }}
                            )
                        )
                    )
                )
            )
        )
    )
)
{%- endset -%}
{%- endfor -%}
{%- set replays -%}
{% for number in range(1, stride + 1) %}{{ ', ' if not loop.first }}replay_{{ number }}{% endfor %}
{%- endset -%}
select
    * exclude (code, day, elapsed_days, retention, floor_days, cycle_us, {{ replays }}),
    list_filter([{{ replays }}], lambda replay: replay is not null) as replays
from {{ built.query }}
{%- endmacro %}

{#
    Days from the last access on until the priority of a replay has reached replay_priority_floor; null when it never does.
    Reads a step's need, arousal and stability_days.
#}
{% macro days_until_replay() -%}
{%- set weight = '(need * (1e0 + coalesce(arousal, 0e0)))' -%}
(case
    when {{ weight }} > {{ parameter('replay_priority_floor') }}
        then {{ days_until_retention('stability_days', '(1e0 - ' ~ parameter('replay_priority_floor') ~ ' / ' ~ weight ~ ')', known=true) }}
end)
{%- endmacro %}

{#
    The first cycle after a step, on a day on which it was not replayed yet, `floor_days` or more after the last access: its
    next replay, if neither the memory's next event nor as_of comes before.
#}
{% macro cycle_after(instant_us) -%}
{%- set cycle_us = var('sleep_cycle_minutes') * 60000000 -%}
({{ grid_floor(
    'greatest(' ~ instant_us ~ ', last_accessed_us + cast(ceil(floor_days * 864e8) as bigint) - 1, coalesce('
    ~ local_day_start_us('(replayed_day + 1)') ~ ' - 1, ' ~ instant_us ~ '))', cycle_us) }} + {{ cycle_us }})
{%- endmacro %}
