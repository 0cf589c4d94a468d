{{
    config(
        unique_key = 'memory_id',
        incremental_strategy = 'merge'
    )
}}

-- depends_on: {{ source('raw', 'revisions') }}, {{ source('raw', 'access_log') }}

-- Words below which no other text can be similar enough without being the same, and the longest text compared so.
{%- set similarity = var('repeat_similarity') %}
{%- set fewest_pairs = ((similarity / (1 - similarity)) | round(0, 'ceil') | int) if similarity < 1 else 1000000000 %}
{%- set longest_text = 10000 %}
{%- set beginning = "timestamptz '0001-01-01 00:00:00+00'" %}

with recursive clock as (

    select *
    from {{ ref('stg_clock') }}
    where stage = 'short_term_memory'

),

memories as not materialized (

    select
        memories.memory_id,
        memories.agent_id,
        memories.content,
        memories.occurred_at,
        memories.is_live,
        memories.occurred_at <= clock.as_of as is_seen
    from {{ ref('stg_memories') }} as memories
    inner join clock
        on memories.agent_id = clock.agent_id

),

{%- if is_incremental() %}

-- New accesses and edits: their memories' histories differ from the earliest of them on.
{%- set used %}
    -- The least of all agents' bounds, so that the scan passes over what is older; each agent's own stand below.
    select memory_id, accessed_at as occurred_at, batch_id from {{ raw_table('access_log') }}
    where batch_id > (select min(batch_from) from clock where is_in_run)
    union all
    select memory_id, accessed_at as occurred_at, batch_id from {{ raw_table('access_log') }}
    where accessed_at > (select min(previous_as_of) from clock where is_in_run)
    union all
    select memory_id, revised_at as occurred_at, batch_id from {{ raw_table('revisions') }}
    where
        batch_id > (select min(batch_from) from clock where is_in_run)
        or revised_at > (select min(previous_as_of) from clock where is_in_run)
{% endset %}

{%- set touched %}
    select
        stored.* exclude (changed_from, sequence),
        case when stored.sequence > clock.completed_sequence then stored.changed_from end as had_changed_from,
        min(events.occurred_at) as changed_from
    from ({{ taken_for_few(used) }}) as events
    inner join {{ this }} as stored
        on events.memory_id = stored.memory_id
    inner join clock
        on stored.agent_id = clock.agent_id
    where
        clock.is_in_run
        and (
            events.batch_id > clock.batch_from
            or (events.occurred_at > clock.previous_as_of and events.occurred_at <= clock.as_of)
        )
    group by all
{% endset %}

touched as materialized (

    {{ taken_for_few(touched) }}

),

{%- set changed %}
    select
        memory_id,
        agent_id,
        is_live and occurred_at <= as_of as is_met,
        {{ normalised_text('content') }} as text
    from ({{ unread_memories() }})
{% endset %}

changed as materialized (

    {{ taken_for_few(changed) }}

),

changed_texts as (

    select
        agent_id,
        md5_number(text) as text_key,
        case when len(string_split(text, ' ')) > {{ fewest_pairs }} and length(text) <= {{ longest_text }} then
            {{ shingles("string_split(text, ' ')") }}
        end as pairs
    from changed
    where
        is_met
        and text is not null

),

changed_prefixes as (

    select distinct
        agent_id,
        unnest(list_slice(pairs, 1, {{ prefix_length('len(pairs)') }})) as pair
    from changed_texts

),

-- Clusters that a change may join, split or reorder: those it was in, and those of the texts that it may be near to.
{%- set reopened %}
    select stored.cluster_id
    from {{ this }} as stored
    inner join changed
        on stored.memory_id = changed.memory_id

    union

    select stored.cluster_id
    from {{ this }} as stored
    inner join changed_texts
        on
            stored.agent_id = changed_texts.agent_id
            and stored.text_key = changed_texts.text_key

    union

    select stored.cluster_id
    from (
        select
            agent_id,
            cluster_id,
            unnest(prefix) as pair
        from {{ this }}
    ) as stored
    inner join changed_prefixes
        on
            stored.agent_id = changed_prefixes.agent_id
            and stored.pair = changed_prefixes.pair
{% endset %}

reopened as materialized (

    {{ taken_for_few(reopened) }}

),

{%- set scope %}
    select stored.memory_id
    from {{ this }} as stored
    inner join reopened
        on stored.cluster_id = reopened.cluster_id

    union

    select memory_id
    from changed
{% endset %}

scope as materialized (

    {{ taken_for_few(scope) }}

),

-- No event that a memory had can be older than what was stored of it says, or than a run that did not complete found.
former as materialized (

    select
        stored.memory_id,
        case
            when stored.sequence > clock.completed_sequence then least(stored.occurred_at, stored.changed_from)
            else stored.occurred_at
        end as had_from
    from {{ this }} as stored
    inner join clock
        on stored.agent_id = clock.agent_id
    where stored.memory_id in (select scope.memory_id from scope)

),

{%- endif %}

considered as (

    select
        memory_id,
        agent_id,
        occurred_at,
        is_live,
        is_seen,
        case when is_live and is_seen and {{ var('merge_repeats') }} then {{ normalised_text('content') }} end as text
    from memories
    {%- if is_incremental() %}
    where memory_id in (select scope.memory_id from scope)
    {%- endif %}

),

keyed as (

    select
        *,
        case when length(text) <= {{ longest_text }} and len(string_split(text, ' ')) > {{ fewest_pairs }} then
            string_split(text, ' ')
        end as words,
        row_number() over (partition by agent_id, text_key order by occurred_at, memory_id) = 1
        and text is not null as is_first_of_text
    from (
        select
            *,
            md5_number(text) as text_key
        from considered
    )

),

-- One row per distinct text long enough to have near repeats.
long_texts as (

    select
        *,
        list_slice(pairs, 1, {{ prefix_length('len(pairs)') }}) as prefix
    from (
        select
            agent_id,
            memory_id,
            occurred_at,
            text_key,
            words,
            {{ decisive_words('words') }} as decisive,
            {{ shingles('words') }} as pairs
        from keyed
        where
            is_first_of_text
            and words is not null
    )

),

prefixes as (

    select
        agent_id,
        memory_id,
        unnest(prefix) as pair
    from long_texts

),

candidates as (

    select distinct
        later.memory_id as memory_a,
        earlier.memory_id as memory_b
    from prefixes as later
    inner join prefixes as earlier
        on
            later.agent_id = earlier.agent_id
            and later.pair = earlier.pair
            and later.memory_id < earlier.memory_id

),

compared as (

    select
        candidates.memory_a,
        candidates.memory_b,
        a.occurred_at as occurred_at_a,
        b.occurred_at as occurred_at_b,
        a.words as words_a,
        b.words as words_b,
        list_filter(a.words, lambda word: list_contains(b.words, word)) as shared_a,
        list_filter(b.words, lambda word: list_contains(a.words, word)) as shared_b,
        len(list_intersect(a.pairs, b.pairs)) as common,
        len(a.pairs) as pairs_a,
        len(b.pairs) as pairs_b
    from candidates
    inner join long_texts as a
        on candidates.memory_a = a.memory_id
    inner join long_texts as b
        on candidates.memory_b = b.memory_id
    where
        a.decisive = b.decisive
        and least(len(a.pairs), len(b.pairs)) >= {{ similarity }} * greatest(len(a.pairs), len(b.pairs))

),

-- Near: similar, and one says nothing in other words than the other; it only adds to it, in the same order.
near as (

    select
        memory_a,
        memory_b,
        occurred_at_a,
        occurred_at_b,
        common / (pairs_a + pairs_b - common) as similarity
    from compared
    where
        common >= {{ similarity }} * (pairs_a + pairs_b - common)
        and shared_a = shared_b
        and (len(shared_a) = len(words_a) or len(shared_b) = len(words_b))

),

links as (

    select
        memory_a as memory_id,
        memory_b as other_id,
        occurred_at_a as occurred_at,
        occurred_at_b as other_occurred_at,
        similarity
    from near

    union all

    select
        memory_b,
        memory_a,
        occurred_at_b,
        occurred_at_a,
        similarity
    from near

),

-- The times travel with the links: joined to the texts here, they tempt the optimizer into comparing all pairs of them.
ordered_links as (

    select *
    from links
    where (other_occurred_at, other_id) < (occurred_at, memory_id)

),

-- A near repeat rehearses the first text that itself repeats none, so that no chain of small changes drifts away.
near_roots as (

    select
        memory_id,
        arg_min(other_id, (other_occurred_at, other_id)) as root_id,
        arg_min(similarity, (other_occurred_at, other_id)) as similarity
    from ordered_links
    where other_id not in (select ordered_links.memory_id from ordered_links)
    group by memory_id

),

reach (memory_id, cluster_id) as (

    select
        memory_id,
        memory_id
    from links

    union

    select
        links.other_id,
        reach.cluster_id
    from reach
    inner join links
        on reach.memory_id = links.memory_id
    where reach.cluster_id < links.other_id

),

clusters as (

    select
        memory_id,
        min(cluster_id) as cluster_id
    from reach
    group by memory_id

),

-- What a text's first memory knows holds for all of its memories.
known as (

    select
        keyed.memory_id,
        keyed.agent_id,
        keyed.text_key,
        keyed.occurred_at,
        keyed.is_live,
        keyed.is_seen,
        long_texts.prefix,
        first_value(coalesce(near_roots.root_id, keyed.memory_id)) over texts as root_id,
        first_value(near_roots.similarity) over texts as similarity,
        first_value(coalesce(clusters.cluster_id, keyed.memory_id)) over texts as cluster_id
    from keyed
    left join near_roots
        on keyed.memory_id = near_roots.memory_id
    left join clusters
        on keyed.memory_id = clusters.memory_id
    left join long_texts
        on keyed.memory_id = long_texts.memory_id
    window texts as (
        partition by keyed.agent_id, keyed.text_key, case when keyed.text_key is null then keyed.memory_id end
        order by keyed.occurred_at, keyed.memory_id
    )

),

computed as (

    select
        known.memory_id,
        known.agent_id,
        known.root_id,
        nullif(known.root_id, known.memory_id) as repeat_of,
        case
            when known.root_id = known.memory_id then null
            when known.similarity is null then 'exact'
            else 'near'
        end as repeat_kind,
        case when known.root_id <> known.memory_id then coalesce(known.similarity, 1) end as similarity,
        known.cluster_id,
        known.text_key,
        known.prefix,
        known.occurred_at,
        known.is_live,
        known.is_seen,
        {%- if is_incremental() %}
        least(known.occurred_at, former.had_from) as changed_from
        {%- else %}
        {{ beginning }} as changed_from
        {%- endif %}
    from known
    {%- if is_incremental() %}
    left join former
        on known.memory_id = former.memory_id
    {%- endif %}

),

{%- if is_incremental() %}

final as (

    select * from computed

    union all

    select touched.* exclude (had_changed_from) replace (
        least(touched.changed_from, touched.had_changed_from) as changed_from
    )
    from touched
    where touched.memory_id not in (select scope.memory_id from scope)

)

{%- else %}

final as (

    select * from computed

)

{%- endif %}

select
    *,
    cast({{ write_sequence('short_term_memory') }} as bigint) as sequence
from final
