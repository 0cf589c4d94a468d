{#
    The event fold as a chain of CTEs: what a memory's events do to its state. `histories` is a relation or CTE with
        memory_no   an integer per memory
        grade       1 to 4, at encoding, fractions included
        arousal     [0, 1], at encoding
        events      the events as event_code writes them, replays among them, in order; the first is the encoding
        as_of_us    up to when, in microseconds since the epoch
    and the CTE `name` is one row per memory with events: memory_no, stability_days, difficulty, last_accessed_us,
    access_count, days_used. With a condition `steps` the CTE `name`_steps is besides one row per event after which it
    holds: memory_no, event_no (1, 2, ..), instant_us, until_us (of the next event, else right after as_of),
    stability_days, difficulty, last_accessed_us, access_count, next_access_us (null when there is none). The condition
    may name instant_us, until_us, stability_days and last_accessed_us.

    Where a state is stored and only later events came, `stored` goes on from it: a relation or CTE with memory_no, events (the
    later ones), the state after all events before them, and as_of_us. It takes no `steps`.

    An iteration of the recursion takes the next `stride` events of every memory that has any left, written out one after
    the other: a memory's row is carried from event to event, and no event is ever joined to the state before it. Where few
    memories are folded, planning eight events takes longer than folding them.
#}
{% macro fold(name, histories, steps=none, stride=8, stored=none) -%}
{{ name }}_strides as (

    select
        * exclude (code, day)
        {%- if steps %},
        [{{ fold_step(1, steps) }}] as steps
        {%- endif %}
    from (
        select
            memory_no,
            events[1] as code,
            events[2:] as events,
            1 as event_no,
            {{ local_day(event_instant_us('events[1]')) }} as day,
            {{ first_stability('grade', 'arousal') }} as stability_days,
            {{ first_difficulty('grade') }} as difficulty,
            {{ event_instant_us('events[1]') }} as last_accessed_us,
            {{ local_day(event_instant_us('events[1]')) }} as last_day,
            1 as access_count,
            1 as days_used,
            as_of_us
        from {{ histories }}
        where len(events) > 0
        {%- if stored %}

        union all by name

        select
            memory_no,
            events,
            stability_days,
            difficulty,
            last_accessed_us,
            {{ local_day('last_accessed_us') }} as last_day,
            access_count,
            days_used,
            as_of_us
        from {{ stored }}
        {%- endif %}
    )

    union all

    {{ fold_stride(name ~ '_strides', steps, stride) }}

),

{%- if steps %}

{{ name }}_steps as (

    select *
    from (
        select
            memory_no,
            unnest(steps, max_depth := 2)
        from {{ name }}_strides
    )
    where event_no is not null

),

{%- endif %}

{{ name }} as (

    select
        memory_no,
        stability_days,
        difficulty,
        last_accessed_us,
        access_count,
        days_used
    from {{ name }}_strides
    where len(events) = 0

)
{%- endmacro %}

{# The state after the next `stride` events of each memory of `source` that has any left. #}
{% macro fold_stride(source, steps, stride) -%}
{%- set built = namespace(query="(select *" ~ (" exclude (steps)" if steps else "")
    ~ ", 0::bigint as code, 0::bigint as day"
    ~ " from " ~ source ~ " where len(events) > 0)") -%}
{%- for number in range(1, stride + 1) -%}
{%- set built.query -%}
(
    select
        *
        {%- if steps %},
        {{ fold_step(number + 1, steps) }} as step_{{ number }}
        {%- endif %}
    from (
        select * replace (
            event_no + 1 as event_no,
            case
                when code is null then stability_days
                when {{ event_kind('code') }} = 3 then {{ replay_stability('stability_days') }}
                when {{ event_kind('code') }} = 2 then {{ restudy_stability(
                    'stability_days', 'difficulty',
                    elapsed_days('last_accessed_us', event_instant_us('code')), event_grade('code'), known=true) }}
                else {{ next_stability(
                    'stability_days', 'difficulty',
                    elapsed_days('last_accessed_us', event_instant_us('code')), event_grade('code'), known=true) }}
            end as stability_days,
            case
                when {{ event_kind('code') }} = 1 then {{ next_difficulty('difficulty', event_grade('code'), known=true) }}
                else difficulty
            end as difficulty,
            case
                when {{ event_kind('code') }} <> 3 then {{ event_instant_us('code') }} else last_accessed_us
            end as last_accessed_us,
            case when {{ event_kind('code') }} <> 3 then day else last_day end as last_day,
            access_count + cast(coalesce({{ event_kind('code') }} <> 3, false) as integer) as access_count,
            days_used + cast(coalesce({{ event_kind('code') }} <> 3 and day > last_day, false) as integer) as days_used
        )
        from (
            select * replace (
                events[{{ number }}] as code,
                {{ local_day(event_instant_us('events[' ~ number ~ ']')) }} as day
            )
            from {{ built.query }}
        )
    )
)
{%- endset -%}
{%- endfor -%}
select
    * exclude (
        code, day
        {%- if steps %}{% for number in range(1, stride + 1) %}, step_{{ number }}{% endfor %}{% endif -%}
    )
    replace (events[{{ stride + 1 }}:] as events)
    {%- if steps %},
    case
        when coalesce({% for number in range(1, stride + 1) %}{{ ', ' if not loop.first }}step_{{ number }}{% endfor %}) is not null
            then [{% for number in range(1, stride + 1) %}{{ ', ' if not loop.first }}step_{{ number }}{% endfor %}]
    end as steps
    {%- endif %}
from {{ built.query }}
{%- endmacro %}

{#
    The row of event `code` in `name`_steps, or null where there is no event or the condition does not hold after it;
    the following event is number `next` of those left.
#}
{% macro fold_step(next, condition) -%}
{%- set instant_us = event_instant_us('code') -%}
{%- set until_us = 'coalesce(' ~ event_instant_us('events[' ~ next ~ ']') ~ ', as_of_us + 1)' -%}
case
    when code is not null and {{ condition | replace('instant_us', instant_us) | replace('until_us', until_us) }} then {
        'event_no': event_no,
        'instant_us': {{ instant_us }},
        'until_us': {{ until_us }},
        'stability_days': stability_days,
        'difficulty': difficulty,
        'last_accessed_us': last_accessed_us,
        'access_count': access_count,
        'next_access_us': {{ event_instant_us(
            "list_filter(events[" ~ next ~ ":], lambda later: " ~ event_kind('later') ~ " <> 3)[1]") }}
    }
end
{%- endmacro %}
