{#
    Events in the shape that the fold takes (see there), from a relation with memory_no and the columns of stg_events
    plus `gain`. Events that fall on one microsecond are ordered by what they do, so that their order of arrival, and
    even their ids, change nothing.
#}
{% macro ranked_events(events) -%}
select
    *,
    row_number() over history as event_no,
    lead(instant_us) over history as next_us,
    count(*) over (partition by memory_no) as event_count
from (
    select
        memory_no,
        epoch_us(occurred_at) as instant_us,
        {{ local_day('epoch_us(occurred_at)') }} as day,
        {{ kind_rank('kind') }} as kind,
        grade,
        arousal,
        gain
    from {{ events }}
)
window history as (partition by memory_no order by instant_us, kind, grade)
{%- endmacro %}
