{#
    The event fold with sleep in it: every event of a memory, and between events the replays that it earns, as a chain
    of CTEs of which `name` has one row a step. `events` as the fold takes them (no replays among them) plus `next_us`,
    the instant of the memory's next event or null; `subjects` has memory_no, arousal, reach and as_of_us.

    Between two events the priority of a replay only rises, so the next replay is known in closed form (see
    next_replay_us). No cycle is visited that has nothing to do, and what is long-term needs no sleep: the steps end there.
    Stretches as in the fold.
#}
{% macro slept(name, events, subjects) -%}
{%- set stretches = [1, 9, 65, 513, 4097] -%}
{%- set priority = replay_priority('retention', 'need', 'arousal') -%}
{%- for first in stretches %}
{%- set last = stretches[loop.index] - 1 if not loop.last else none %}
{{ name }}_{{ first }}_events as (

    select *
    from {{ events }}
    where event_no >= {{ first }}{{ ' and event_no <= ' ~ last if last }}

),

{{ name }}_{{ first }} as (

{%- if loop.first %}

    select
        *,
        {{ next_replay_us() }} as replay_us
    from (
        select
            event.memory_no,
            event.event_no,
            event.event_count,
            event.instant_us,
            event.next_us,
            {{ first_stability('event.grade', 'event.arousal') }} as stability_days,
            {{ first_difficulty('event.grade') }} as difficulty,
            event.instant_us as last_accessed_us,
            event.day as last_day,
            1 as days_used,
            cast(0 as double) as consolidation_sum,
            cast(null as bigint) as replayed_day,
            false as is_replay,
            cast(null as double) as retention,
            cast(null as double) as need,
            subject.arousal,
            subject.reach,
            subject.as_of_us
        from {{ name }}_{{ first }}_events as event
        inner join {{ subjects }} as subject
            on event.memory_no = subject.memory_no
        where event.event_no = 1
    )

{%- else %}

    select *
    from {{ name }}_{{ stretches[loop.index0 - 1] }}
    where
        event_no = {{ first - 1 }}
        and next_us is not null
        and replay_us is null
        and {{ consolidation_strength('consolidation_sum') }} < {{ parameter('long_term_memory_threshold') }}

{%- endif %}

    union all

    select
        *,
        {{ next_replay_us() }} as replay_us
    from (
        select
            memory_no,
            event_no,
            event_count,
            instant_us,
            next_us,
            case
                when is_replay then {{ replay_stability('stability_days') }}
                when kind = 2 then {{ restudy_stability('stability_days', 'difficulty', 'elapsed_days', 'grade') }}
                else {{ next_stability('stability_days', 'difficulty', 'elapsed_days', 'grade') }}
            end as stability_days,
            case when kind = 1 then {{ next_difficulty('difficulty', 'grade') }} else difficulty end as difficulty,
            case when is_replay then last_accessed_us else instant_us end as last_accessed_us,
            case when is_replay then last_day else day end as last_day,
            days_used + cast(not is_replay and day > last_day as integer) as days_used,
            consolidation_sum + case when is_replay then {{ consolidation_gain(priority) }} else 0 end as consolidation_sum,
            case when is_replay then {{ local_day('instant_us') }} else replayed_day end as replayed_day,
            is_replay,
            retention,
            need,
            arousal,
            reach,
            as_of_us
        from (
            select
                state.memory_no,
                case when state.replay_us is null then event.event_no else state.event_no end as event_no,
                state.event_count,
                coalesce(state.replay_us, event.instant_us) as instant_us,
                case when state.replay_us is null then event.next_us else state.next_us end as next_us,
                state.replay_us is not null as is_replay,
                state.stability_days,
                state.difficulty,
                state.last_accessed_us,
                state.last_day,
                state.days_used,
                state.consolidation_sum,
                state.replayed_day,
                event.day,
                case when state.replay_us is null then event.kind else 3 end as kind,
                event.grade,
                {{ elapsed_days('state.last_accessed_us', 'coalesce(state.replay_us, event.instant_us)') }} as elapsed_days,
                {{ retention(
                    elapsed_days('state.last_accessed_us', 'coalesce(state.replay_us, event.instant_us)'),
                    'state.stability_days') }} as retention,
                {{ replay_need('state.days_used', 'state.reach') }} as need,
                state.arousal,
                state.reach,
                state.as_of_us
            from {{ name }}_{{ first }} as state
            left join {{ name }}_{{ first }}_events as event
                on
                    state.memory_no = event.memory_no
                    and event.event_no = state.event_no + 1
            where
                (state.replay_us is not null or event.event_no is not null)
                and {{ consolidation_strength('state.consolidation_sum') }} < {{ parameter('long_term_memory_threshold') }}
        )
    )

),
{% endfor %}
{{ name }} as (

{%- for first in stretches %}

    select *
    from {{ name }}_{{ first }}
    {%- if not loop.first %}
    where event_no >= {{ first }}
    {%- endif %}
    {{- '\n\n    union all' if not loop.last }}
{%- endfor %}

)
{%- endmacro %}

{#
    The instant of the next replay that the state of a step earns before the memory's next event and as_of, else null:
    the first cycle after the step, on a day on which it was not replayed yet, at which its priority has reached
replay_priority_floor; none for what is long-term already. Reads the columns of a step.
#}
{% macro next_replay_us() -%}
{%- set cycle_us = var('sleep_cycle_minutes') * 60000000 -%}
{%- set weight = '(' ~ replay_need('days_used', 'reach') ~ ' * (1e0 + coalesce(arousal, 0e0)))' -%}
{%- set floor_days = days_until_retention(
    'stability_days', '(1e0 - ' ~ parameter('replay_priority_floor') ~ ' / ' ~ weight ~ ')') -%}
{%- set cycle_after -%}
({{ grid_floor(
    'greatest(instant_us, last_accessed_us + cast(ceil(' ~ floor_days ~ ' * 864e8) as bigint) - 1, coalesce('
    ~ local_day_start_us('(replayed_day + 1)') ~ ' - 1, instant_us))', cycle_us) }} + {{ cycle_us }})
{%- endset -%}
(case
    when
        {{ weight }} > {{ parameter('replay_priority_floor') }}
        and {{ floor_days }} < 1e6
        and {{ consolidation_strength('consolidation_sum') }} < {{ parameter('long_term_memory_threshold') }}
        and {{ cycle_after }} <= least(as_of_us, coalesce(next_us, as_of_us))
        then {{ cycle_after }}
end)
{%- endmacro %}
