{#-
    Stops the build when a parameter lies outside its documented range, naming which, why, and what is allowed.
    Run by on-run-start; biomem.parameters holds the same rules for the command line.
-#}
{%- macro validate_parameters() -%}
    {%- for name, documented in var('parameters').items() -%}
        {%- set value = var(name) -%}
        {%- if value is none and documented.get('optional') -%}
        {%- elif 'choices' in documented -%}
            {%- if value not in documented['choices'] -%}
                {{ refuse_parameter(name, value, 'one of ' ~ documented['choices'] | join(', ')) }}
            {%- endif -%}
        {%- elif 'low' not in documented -%}
            {%- if value is not string or not value -%}{{ refuse_parameter(name, value, documented['unit']) }}{%- endif -%}
        {%- elif documented['low'] is sequence -%}
            {%- set count = documented['low'] | length -%}
            {%- if value is not sequence or value is string or value | length != count -%}
                {{ refuse_parameter(name, value, 'a list of ' ~ count ~ ' numbers') }}
            {%- endif -%}
            {%- for number in value -%}
                {{ require_in_range(name ~ '[' ~ loop.index0 ~ ']', number, documented['low'][loop.index0],
                                    documented['high'][loop.index0], documented['unit'], false) }}
            {%- endfor -%}
        {%- elif documented.get('share_or_count') and value is number and value > 1 and value is not integer -%}
            {{ refuse_parameter(name, value, 'a share above 0 and at most 1.0, or a whole number of memories') }}
        {%- else -%}
            {{ require_in_range(name, value, documented['low'], documented['high'], documented['unit'], documented.get('whole', false)) }}
        {%- endif -%}
    {%- endfor -%}
    {%- if not var('salience_hard') < var('salience_good') < var('salience_easy') -%}
        {{ refuse_parameter('salience_good', var('salience_good'), 'a share between salience_hard and salience_easy') }}
    {%- endif -%}
{%- endmacro -%}

{%- macro require_in_range(name, value, low, high, unit, whole) -%}
    {%- if value is boolean or value is not number or not low <= value <= high or (whole and value is not integer) -%}
        {{ refuse_parameter(name, value, ('a whole number' if whole else 'a number') ~ ' from ' ~ low ~ ' to ' ~ high ~ ' (' ~ unit ~ ')') }}
    {%- endif -%}
{%- endmacro -%}

{%- macro refuse_parameter(name, value, allowed) -%}
    {{ exceptions.raise_compiler_error(
        'parameter ' ~ name ~ ' is ' ~ value ~ ', it must be ' ~ allowed ~ '; set it in dbt_project.yml under vars'
    ) }}
{%- endmacro -%}
