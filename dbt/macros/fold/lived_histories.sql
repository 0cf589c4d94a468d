{#
    The histories that the fold takes, replays among them, as a chain of CTEs of which `name` has memory_no, grade,
    arousal, events (up to as_of), as_of_us and consolidation_sum, what the replays have added up to.

    subjects: memory_no, memory_id, grade, arousal, events (of memory_histories), as_of_us; replays: rows of memory_replay
#}
{% macro lived_histories(name, subjects, replays) -%}
{{ name }}_replays as (

    select
        subjects.memory_no,
        list({{ event_code('epoch_us(replays.cycle_at)', 3, 3) }}) as events,
        max(replays.consolidation_sum) as consolidation_sum
    from {{ replays }} as replays
    inner join {{ subjects }} as subjects
        on replays.memory_id = subjects.memory_id
    where
        replays.is_current
        and epoch_us(replays.cycle_at) <= subjects.as_of_us
        -- what was replayed before it turned out to be a repeat, or was deleted, has no history of its own any more
        and len(subjects.events) > 0
    group by subjects.memory_no

),

{{ name }} as (

    select
        subjects.memory_no,
        subjects.grade,
        subjects.arousal,
        case
            when replayed.events is null then {{ events_until('subjects.events', 'subjects.as_of_us') }}
            else list_sort(list_concat({{ events_until('subjects.events', 'subjects.as_of_us') }}, replayed.events))
        end as events,
        subjects.as_of_us,
        coalesce(replayed.consolidation_sum, 0) as consolidation_sum
    from {{ subjects }} as subjects
    left join {{ name }}_replays as replayed
        on subjects.memory_no = replayed.memory_no

)
{%- endmacro %}
