{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        pre_hook="{{ empty_slice() }}"
    )
}}

with clock as (

    select
        agent_id,
        as_of
    from {{ ref('stg_clock') }}
    where
        stage = 'nightly_decay'
        and {{ in_slice('agent_id') }}

),

retained as (

    select *
    from {{ ref('memory_retention') }}
    where {{ in_slice('agent_id') }}

),

counted as (

    select
        agent_id,
        'staging' as layer,
        unnest(['memories', 'deleted', 'skipped']) as metric,
        unnest([
            count(*),
            count(*) filter (where not is_live),
            count(*) filter (where is_live and content is null)
        ]) as value
    from {{ ref('stg_memories') }}
    where {{ in_slice('agent_id') }}
    group by agent_id

    union all

    select
        agent_id,
        'staging',
        unnest(['merged', 'future']),
        unnest([
            count(*) filter (where repeat_of is not null and is_seen and is_live),
            count(*) filter (where not is_seen and is_live)
        ])
    from {{ ref('memory_repeats') }}
    where {{ in_slice('agent_id') }}
    group by agent_id

    union all

    select
        agent_id,
        'staging',
        ['encode', 'retrieve', 'restudy'][kind + 1] || '_events',
        count(*)
    from (
        select
            agent_id,
            {{ event_kind('unnest(events)') }} as kind
        from {{ ref('memory_histories') }}
        where {{ in_slice('agent_id') }}
    )
    group by agent_id, kind

    union all

    select
        agent_id,
        'short_term_memory',
        'windows',
        count(distinct window_start)
    from {{ ref('stm_windows') }}
    where
        is_current
        and {{ in_slice('agent_id') }}
    group by agent_id

    union all

    select
        agent_id,
        'consolidation',
        'replays',
        count(*)
    from {{ ref_if_built(ref('memory_replay'), {'agent_id': 'varchar', 'is_current': 'boolean'}) }}
    where
        is_current
        and {{ in_slice('agent_id') }}
    group by agent_id

    union all

    select
        agent_id,
        'consolidation',
        'associations',
        count(*)
    from {{ ref_if_built(ref('memory_associations'), {'agent_id': 'varchar'}) }}
    where {{ in_slice('agent_id') }}
    group by agent_id

    union all

    select
        agent_id,
        'semantic',
        'concepts',
        count(*)
    from {{ ref_if_built(ref('concepts'), {'agent_id': 'varchar'}) }}
    where {{ in_slice('agent_id') }}
    group by agent_id

    union all

    select
        agent_id,
        'long_term_memory',
        unnest(['live', 'forgotten', 'long_term', 'backlog']),
        unnest([
            count(*) filter (where not is_forgotten),
            count(*) filter (where is_forgotten),
            count(*) filter (where is_long_term),
            count(*) filter (where not is_long_term and not is_forgotten)
        ])
    from retained
    group by agent_id

    union all

    select
        agent_id,
        'ledger',
        decision,
        count(*)
    from {{ ref('memory_ledger') }}
    where
        is_current
        and {{ in_slice('agent_id') }}
    group by agent_id, decision

),

nights as (

    select
        agent_id,
        unnest(['demoted', 'restored']) as metric,
        unnest([lapse.demoted_at, lapse.restored_at]) as changed_at
    from (
        select
            agent_id,
            unnest(lapses) as lapse
        from retained
    )

),

measured as (

    select
        counted.agent_id,
        counted.layer,
        counted.metric,
        clock.as_of as measured_at,
        cast(counted.value as double) as value
    from counted
    inner join clock
        on counted.agent_id = clock.agent_id

    union all

    select
        retained.agent_id,
        'long_term_memory',
        'mean_retention',
        clock.as_of,
        {{ exact_sum('retained.retention') }} / count(*)
    from retained
    inner join clock
        on retained.agent_id = clock.agent_id
    group by retained.agent_id, clock.as_of

    union all

    select
        agent_id,
        'staging',
        'lag_s',
        as_of,
        {{ elapsed_s('make_timestamptz(max(last_us))', 'as_of') }}
    from (
        select
            histories.agent_id,
            clock.as_of,
            {{ event_instant_us(events_until('histories.events', 'epoch_us(clock.as_of)') ~ '[-1]') }} as last_us
        from {{ ref('memory_histories') }} as histories
        inner join clock
            on histories.agent_id = clock.agent_id
    )
    where last_us is not null
    group by agent_id, as_of

    union all

    select
        agent_id,
        'nights',
        metric,
        -- the night that a change belongs to: a demotion is made on it, a restoration counts for the one after
        make_timestamptz({{ night_after_us('epoch_us(changed_at) - 1') }}),
        cast(count(*) as double)
    from nights
    where changed_at is not null
    group by all

)

select
    agent_id,
    layer,
    metric,
    measured_at,
    value
from measured
