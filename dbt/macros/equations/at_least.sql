{#- A value, or low where it is smaller; NULL stays NULL (greatest would skip it). -#}
{%- macro at_least(value, low='0e0') -%}
    (case when ({{ value }}) < {{ low }} then {{ low }} else ({{ value }}) end)
{%- endmacro -%}
