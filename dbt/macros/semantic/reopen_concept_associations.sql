{#
    The agents whose concept associations are computed in this run: all on a full build, else those with anything new.
    What counts as a concept depends on all that the agent remembers, so an agent is computed whole.
    Columns: agent_id, as_of.
#}
{% macro agents_to_associate() -%}
select
    clock.agent_id,
    clock.as_of
from {{ ref('stg_clock') }} as clock
where
    clock.stage = 'consolidation'
    {% if is_incremental() -%}
        and clock.is_in_run
        and (
            clock.batch_upto > clock.batch_from
            -- a window may take up later than this stage what was pulled before it
            or exists (
                select 1
                from {{ ref('memory_repeats') }} as repeats
                where
                    repeats.agent_id = clock.agent_id
                    and repeats.sequence > coalesce(clock.completed_sequence, 0)
            )
            or clock.agent_id in (
                select histories.agent_id
                from {{ ref('memory_histories') }} as histories
                inner join {{ ref('stg_clock') }} as reached
                    on histories.agent_id = reached.agent_id
                where
                    reached.stage = 'consolidation'
                    and {{ event_instant_us(events_until('histories.events', 'epoch_us(reached.as_of)') ~ '[-1]') }}
                    > epoch_us(reached.previous_as_of)
            )
        )
    {%- endif %}
{%- endmacro %}


{# Runs before concept_associations: deletes what the model then computes anew. #}
{% macro reopen_concept_associations() -%}
{%- if is_incremental() -%}
delete from {{ this }}
where agent_id in (select agent_id from ({{ agents_to_associate() }}))
{%- endif -%}
{%- endmacro %}
