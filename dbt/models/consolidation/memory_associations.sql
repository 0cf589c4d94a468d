{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        pre_hook="{{ reopen_associations() }}"
    )
}}

with clock as (

    select
        agent_id,
        as_of,
        row_number() over () as agent_no
    from {{ ref('stg_clock') }}
    where
        stage = 'consolidation'
        and {{ in_slice('agent_id') }}
        {% if is_incremental() -%}
            and is_in_run
        {%- endif %}

),

-- Numbers in the order of ids: the joins below run over many times as many rows as there are memories.
numbered as (

    select
        agent_id,
        memory_id,
        row_number() over (order by memory_id) as memory_no
    from ({{ encoded_memories('consolidation') }})
    where {{ in_slice('agent_id') }}

),

{% if is_incremental() -%}
reopened as (

    select numbered.*
    from numbered
    inner join {{ reopened_memories() }} as reopened
        on numbered.agent_id = reopened.agent_id
        and numbered.memory_id = reopened.memory_id

),

reopened_windows as (

    select distinct
        windows.agent_id,
        windows.window_start
    from {{ ref('stm_windows') }} as windows
    inner join reopened
        on windows.agent_id = reopened.agent_id
        and windows.memory_id = reopened.memory_id
    where
        windows.is_in_working_memory
        and {{ in_slice('windows.agent_id') }}

),

reopened_sessions as (

    select distinct
        statements.agent_id,
        statements.session_id
    from ({{ session_statements() }}) as statements
    inner join reopened
        on statements.agent_id = reopened.agent_id
        and statements.memory_id = reopened.memory_id
    where {{ in_slice('statements.agent_id') }}

),

{% endif -%}
windows as (

    select
        clock.agent_no,
        epoch_us(windows.window_start) as window_us,
        numbered.memory_no,
        windows.is_accessed,
        epoch_us(windows.last_accessed_at) as accessed_us
    from {{ ref('stm_windows') }} as windows
    inner join clock
        on windows.agent_id = clock.agent_id
        and windows.window_end <= clock.as_of
    {% if is_incremental() -%}
        inner join reopened_windows
            on windows.agent_id = reopened_windows.agent_id
            and windows.window_start = reopened_windows.window_start
    {% endif -%}
    inner join numbered
        on windows.memory_id = numbered.memory_id
    where
        windows.is_in_working_memory
        and {{ in_slice('windows.agent_id') }}

),

-- Each access meets what working memory holds at that moment; two bystanders do not meet anew.
held_together as (

    select
        least(one.memory_no, other.memory_no) as no_a,
        greatest(one.memory_no, other.memory_no) as no_b,
        one.window_us,
        greatest(one.accessed_us, other.accessed_us) as coactive_us,
        {{ coactivation('(one.accessed_us - other.accessed_us) / 1e6') }} as nearness
    from windows as one
    inner join windows as other
        on one.window_us = other.window_us
        and one.agent_no = other.agent_no
        and (one.memory_no < other.memory_no or (not other.is_accessed and one.memory_no > other.memory_no))
    where one.is_accessed

),

told_in_turn as (

    select
        least(numbered.memory_no, previous.memory_no) as no_a,
        greatest(numbered.memory_no, previous.memory_no) as no_b,
        epoch_us(told.window_start) as window_us,
        max(epoch_us(told.occurred_at)) as coactive_us,
        {{ contiguity('1') }} as contiguity
    from ({{ session_neighbours('clock', 'reopened_sessions' if is_incremental() else none) }}) as told
    inner join numbered
        on told.memory_id = numbered.memory_id
    inner join numbered as previous
        on told.previous_memory_id = previous.memory_id
    where {{ in_slice('told.agent_id') }}
    group by no_a, no_b, window_us

),

-- A pair meets once in a window; having been told in turn binds it more than being near in time alone.
coactivations as materialized (

    select
        no_a,
        no_b,
        greatest(held_together.coactive_us, told_in_turn.coactive_us) as coactive_us,
        least(1e0, coalesce(held_together.nearness, 0e0) + coalesce(told_in_turn.contiguity, 0e0)) as coactivation
    from held_together
    full outer join told_in_turn
        using (no_a, no_b, window_us)
    {% if is_incremental() -%}
        where
            no_a in (select memory_no from reopened)
            or no_b in (select memory_no from reopened)
    {%- endif %}

),

pairs as (

    select
        no_a,
        no_b,
        count(*) as coactivations,
        min(coactive_us) as first_us,
        max(coactive_us) as last_us,
        arg_max(coactivation, coactive_us) as last_coactivation
    from coactivations
    group by no_a, no_b

),

-- Most pairs meet once; only what others met before needs to be decayed and summed.
earlier as (

    select
        coactivations.no_a,
        coactivations.no_b,
        {{ exact_sum(synaptic_decay(
            strengthen_associations('0e0', 'coactivations.coactivation'),
            '(pairs.last_us - coactivations.coactive_us) / 36e8'
        )) }} as trace
    from coactivations
    inner join pairs
        on coactivations.no_a = pairs.no_a
        and coactivations.no_b = pairs.no_b
    where
        pairs.coactivations > 1
        and coactivations.coactive_us < pairs.last_us
    group by coactivations.no_a, coactivations.no_b

)

select
    one.agent_id,
    one.memory_id as memory_a,
    other.memory_id as memory_b,
    {{ strengthen_associations('earlier.trace', 'pairs.last_coactivation') }} as trace,
    pairs.coactivations,
    make_timestamptz(pairs.first_us) as first_coactive_at,
    make_timestamptz(pairs.last_us) as last_coactive_at
from pairs
inner join numbered as one
    on pairs.no_a = one.memory_no
inner join numbered as other
    on pairs.no_b = other.memory_no
left join earlier
    on pairs.no_a = earlier.no_a
    and pairs.no_b = earlier.no_b
