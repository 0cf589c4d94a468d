{# A column (run_id, params_hash, as_of) of the run that a stage is in. #}
{% macro run_column(stage, column) -%}
(select run_context.{{ column }} from {{ raw_table('run_context') }} as run_context where run_context.stage = '{{ stage }}')
{%- endmacro %}
