{# The order of events of one instant: a memory is encoded before anything else befalls it. #}
{% macro kind_rank(kind) -%}
(case {{ kind }} when 'encode' then 0 when 'retrieve' then 1 when 'restudy' then 2 else 3 end)
{%- endmacro %}
