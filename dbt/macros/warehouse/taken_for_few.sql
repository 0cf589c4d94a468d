{#
    The rows of a query that finds few among many. The planner cannot know that they are few (it takes what passes a filter
    for a fifth of its table), and would build its hash tables from the many: what comes out of one row, as a list, it
    takes for one. Right also where they are not few.
#}
{% macro taken_for_few(query) -%}
select unnest(found_rows, max_depth := 2)
from (select list(found) as found_rows from ({{ query }}) as found)
{%- endmacro %}
