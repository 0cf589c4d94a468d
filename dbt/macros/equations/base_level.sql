{#-
    Base-level activation ln(sum of age^-d): the last accesses exactly, older ones spread evenly (Petrov 2006).
    NULL without an access. Ages in seconds, at least one cycle of cognition (50 ms).
-#}
{%- macro base_level(access_count, first_age_s, last_ages_s) -%}
    {{ base_level_of(access_count, first_age_s, ages_of(last_ages_s)) }}
{%- endmacro -%}

{#- The same from the ages that ages_of gives: over many rows they are a column of their own, computed once. -#}
{%- macro base_level_of(access_count, first_age_s, ages) -%}
    {%- set decay = parameter('base_level_decay') -%}
    {%- set exact = "coalesce(list_sum(list_transform({0}, lambda age: pow(age, -{1}))), 0e0)".format(ages, decay) -%}
    {%- set older = "(({0}) - len({1}))".format(access_count, ages) -%}
    {%- set oldest = "coalesce(list_max(" ~ ages ~ "), .05e0)" -%}
    {%- set first = first_age_s ~ "::double" -%}
    (case
        when not coalesce(({{ access_count }}) >= 1, false) then null
        when {{ older }} <= 0 then ln({{ exact }})
        when ({{ first }}) > {{ oldest }} then ln({{ exact }} + {{ older }}
            * (pow({{ first }}, 1e0 - {{ decay }}) - pow({{ oldest }}, 1e0 - {{ decay }}))
            / ((1e0 - {{ decay }}) * ({{ first }} - {{ oldest }})))
        else ln({{ exact }} + {{ older }} * pow({{ oldest }}, -{{ decay }}))
    end)
{%- endmacro -%}

{#- The known ages of a list, none below one cycle of cognition. -#}
{%- macro ages_of(last_ages_s) -%}
    list_transform(
        list_filter({{ last_ages_s }}, lambda age: age is not null), lambda age: {{ at_least('age::double', '.05e0') }}
    )
{%- endmacro -%}
