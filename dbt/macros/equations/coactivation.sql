{#- How strongly two memories held together are bound, in (0, 1]: falls with the seconds between their accesses. -#}
{%- macro coactivation(gap_s) -%}
    exp(-abs({{ gap_s }}) / {{ parameter('coactivation_decay_s') }})
{%- endmacro -%}
