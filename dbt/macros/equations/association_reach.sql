{#- How far a memory is bound to others, in [0, 1]: the contiguity with its neighbours (0 to 2) in the session it was told in. -#}
{%- macro association_reach(neighbours) -%}
    {{ clamp('coalesce(' ~ neighbours ~ ', 0) * ' ~ parameter('session_coactivation')) }}
{%- endmacro -%}
