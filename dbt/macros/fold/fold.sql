{#
    The event fold as a chain of CTEs: what every event does to its memory's state, one step a row.

    `events` is a relation or CTE with
        memory_no   an integer per memory (integers keep the recursion cheap)
        event_no    1, 2, .. in the order of time, 1 being the encoding
        event_count the memory's number of events
        instant_us  microseconds since the epoch
        day         the local day of the event
        kind        0 encode, 1 retrieve, 2 restudy, 3 replay
        grade       1 .. 4
        arousal     [0, 1]
        gain        what a replay adds to the consolidation sum, else null
        next_us     the instant of the memory's next event, or null
    and the CTE `name` is one row per event with the state right after it.

    The recursion runs one iteration per event number and reads the events again in each. So that one much-used memory
    does not make it read all the others' thousands of times, it goes in stretches of growing length, each over the
    events of its own stretch only.
#}
{% macro fold(name, events) -%}
{%- set stretches = [1, 9, 65, 513, 4097] -%}
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
        memory_no,
        event_no,
        event_count,
        instant_us,
        next_us,
        {{ first_stability('grade', 'arousal') }} as stability_days,
        {{ first_difficulty('grade') }} as difficulty,
        instant_us as last_accessed_us,
        day as last_day,
        1 as access_count,
        1 as days_used,
        cast(0 as double) as consolidation_sum
    from {{ name }}_{{ first }}_events
    where event_no = 1

{%- else %}

    select *
    from {{ name }}_{{ stretches[loop.index0 - 1] }}
    where
        event_no = {{ first - 1 }}
        and event_count >= {{ first }}

{%- endif %}

    union all

    select
        event.memory_no,
        event.event_no,
        event.event_count,
        event.instant_us,
        event.next_us,
        case event.kind
            when 3 then {{ replay_stability('state.stability_days') }}
            when 2 then {{ restudy_stability(
                'state.stability_days', 'state.difficulty',
                elapsed_days('state.last_accessed_us', 'event.instant_us'), 'event.grade') }}
            else {{ next_stability(
                'state.stability_days', 'state.difficulty',
                elapsed_days('state.last_accessed_us', 'event.instant_us'), 'event.grade') }}
        end,
        case event.kind
            when 1 then {{ next_difficulty('state.difficulty', 'event.grade') }}
            else state.difficulty
        end,
        case when event.kind = 3 then state.last_accessed_us else event.instant_us end,
        case when event.kind = 3 then state.last_day else event.day end,
        state.access_count + cast(event.kind <> 3 as integer),
        state.days_used + cast(event.kind <> 3 and event.day > state.last_day as integer),
        state.consolidation_sum + coalesce(event.gain, 0)
    from {{ name }}_{{ first }} as state
    inner join {{ name }}_{{ first }}_events as event
        on
            state.memory_no = event.memory_no
            and event.event_no = state.event_no + 1

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
