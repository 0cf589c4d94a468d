{#
    The number a stage stamps on rows that it writes now. A reader of another stage takes as new what is above the
    sequence of its own last completed run; so the stamp must lie above every run that has begun, except that a run
    which nobody overtook stamps its own number, lest it take its own rows as new the next time.
#}
{% macro write_sequence(stage) -%}
(
    select coalesce(
        case
            when max(run_context.sequence) > max(run_context.sequence) filter (where run_context.stage = '{{ stage }}')
                then max(run_context.sequence) + 1
            else max(run_context.sequence)
        end,
        0
    )
    from {{ raw_table('run_context') }} as run_context
)
{%- endmacro %}
