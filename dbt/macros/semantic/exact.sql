{#
    A number of ordinary size as an exact decimal of 20 places, so that a sum of them does not depend on the order of
    the rows: what is computed incrementally is then the same to the last bit as what is rebuilt.
    Null when the number is null.
#}
{% macro exact(number) -%}
cast({{ number }} as decimal(38, 20))
{%- endmacro %}
