{#
    Up to when a stage computes: `as_of` of its row in raw.run_context, null before its first run. A model that works
    per agent reads the agent's own `as_of` from stg_clock instead, which a run limited to one agent does not move.
#}
{% macro as_of(stage) -%}
(select run_context.as_of from {{ raw_table('run_context') }} as run_context where run_context.stage = '{{ stage }}')
{%- endmacro %}
