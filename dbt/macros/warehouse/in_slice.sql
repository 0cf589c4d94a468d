{#
    Whether an agent is in the slice that this model computes now (raw.slices); each agent is where there is none, and where a
    model is built from nothing. The bounds are written out, so that scans leave out what is not in them.
#}
{% macro in_slice(agent_id) -%}
{%- set bounds = slice_bounds() -%}
{%- if bounds -%}
({{ agent_id }} {{ bounds | join(' and ' ~ agent_id ~ ' ') }})
{%- else -%}
true
{%- endif -%}
{%- endmacro %}


{# The comparisons with the slice's bounds. An agent's id may be any text, so it is written in hexadecimal. #}
{% macro slice_bounds() -%}
{%- set slices = source('raw', 'slices') -%}
{%- set bounds = [] -%}
{%- if is_incremental() and load_relation(slices) is not none -%}
    {%- set found = run_query(
        "select hex(encode(agents_after)), hex(encode(agents_upto)) from " ~ slices ~ " where model = '" ~ this.name ~ "'"
    ) -%}
    {%- for row in found.rows -%}
        {%- if row[0] is not none -%}{%- do bounds.append("> decode(from_hex('" ~ row[0] ~ "'))") -%}{%- endif -%}
        {%- if row[1] is not none -%}{%- do bounds.append("<= decode(from_hex('" ~ row[1] ~ "'))") -%}{%- endif -%}
    {%- endfor -%}
{%- endif -%}
{{ return(bounds) }}
{%- endmacro %}


{#
    Runs before a model that computes its slice whole: deletes what it computes anew. The rows of agents that are gone go
    with those of their range.
#}
{% macro empty_slice() -%}
{%- if is_incremental() -%}
delete from {{ this }}
where {{ in_slice('agent_id') }}
{%- endif -%}
{%- endmacro %}
