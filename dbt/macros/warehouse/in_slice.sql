{#
    Whether an agent is in the slice that this model computes now (raw.slices); each agent is where there is none, and in a
    full refresh. The bounds are written out, so that scans leave out what is not in them.
#}
{% macro in_slice(agent_id) -%}
{%- set slices = source('raw', 'slices') -%}
{%- set bounds = [] -%}
{#- As is_incremental(), but for a table that is yet to be built: the first slice makes it. -#}
{%- if not should_full_refresh() and execute and model.config.materialized == 'incremental'
    and load_relation(slices) is not none -%}
    {#- An agent's id may be any text, so it is written in hexadecimal. -#}
    {%- set found = run_query(
        "select hex(encode(agents_after)), hex(encode(agents_upto)) from " ~ slices ~ " where model = '" ~ this.name ~ "'"
    ) -%}
    {%- for after, upto in found.rows -%}
        {%- if after is not none -%}{%- do bounds.append(agent_id ~ " > decode(from_hex('" ~ after ~ "'))") -%}{%- endif -%}
        {%- if upto is not none -%}{%- do bounds.append(agent_id ~ " <= decode(from_hex('" ~ upto ~ "'))") -%}{%- endif -%}
    {%- endfor -%}
{%- endif -%}
({{ bounds | join(' and ') or 'true' }})
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
