{#- A value held between low and high; NULL stays NULL (least and greatest would skip it). -#}
{%- macro clamp(value, low='0e0', high='1e0') -%}
    (case when ({{ value }}) < {{ low }} then {{ low }} when ({{ value }}) > {{ high }} then {{ high }} else ({{ value }}) end)
{%- endmacro -%}
