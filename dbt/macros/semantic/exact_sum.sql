{#
    The sum of numbers of ordinary size, taken over whole multiples of 1e-18, so that it does not depend on the order
    of the rows: what is computed incrementally is then the same to the last bit as what is rebuilt.
    Null where every number is null.
#}
{% macro exact_sum(number) -%}
(cast(sum(cast(({{ number }}) * 1e18 as hugeint)) as double) / 1e18)
{%- endmacro %}

{# The same over the elements of a list: `number` is an expression of the element, called `element` in it. #}
{% macro exact_list_sum(list, element, number) -%}
(cast(list_sum(list_transform({{ list }}, lambda {{ element }}: cast(({{ number }}) * 1e18 as hugeint))) as double) / 1e18)
{%- endmacro %}
