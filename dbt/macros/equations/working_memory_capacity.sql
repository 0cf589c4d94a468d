{#- Items an agent holds at once: the parameter for profile miller, 4 for cowan. -#}
{%- macro working_memory_capacity() -%}
    {{ 4 if var('working_memory_profile') == 'cowan' else var('working_memory_capacity') }}
{%- endmacro -%}
