{#- Binding of two memories `lag` turns apart in one session: falls as one over the lag; 0 for itself. -#}
{%- macro contiguity(lag) -%}
    {{ safe_divide(parameter('session_coactivation'), 'abs(' ~ lag ~ ')', '0e0') }}
{%- endmacro -%}
