{#
    An event as one number, instant_us * 16 + kind * 4 + grade - 1, so that a memory's history is a sorted list of numbers.
    Events of one instant are ordered by what they do: their order of arrival, and even their ids, change nothing.
    instant_us: microseconds since the epoch, up to the year 9999 (the last one that an as_of can name);
    kind: 0 encode, 1 retrieve, 2 restudy, 3 replay; grade: 1 to 4, and 1 for an encoding, whose grade is no whole number
#}
{% macro event_code(instant_us, kind, grade) -%}
(({{ instant_us }}) * 16 + ({{ kind }}) * 4 + ({{ grade }}) - 1)
{%- endmacro %}

{% macro event_instant_us(code) -%}
(({{ code }}) >> 4)
{%- endmacro %}

{% macro event_kind(code) -%}
((({{ code }}) >> 2) & 3)
{%- endmacro %}

{% macro event_grade(code) -%}
((({{ code }}) & 3) + 1)
{%- endmacro %}

{# The events of a history up to an instant, itself included. #}
{% macro events_until(events, until_us) -%}
list_filter({{ events }}, lambda code: code < ({{ until_us }} + 1) * 16)
{%- endmacro %}
