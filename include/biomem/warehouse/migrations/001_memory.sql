-- What agents, SQL, the UI and the command line read. Written by the pipeline only, except access_log.

create table memory.memories (
    memory_id text primary key,
    agent_id text not null,
    session_id text,
    speaker text,
    content text,
    occurred_at timestamptz not null,
    state text not null check (state in ('live', 'forgotten', 'repeat', 'superseded')),
    repeat_of text,
    stability_days double precision,
    difficulty double precision,
    last_accessed_at timestamptz,
    access_count integer,
    is_long_term boolean not null,
    arousal double precision,
    importance double precision,
    tags text[],
    run_id text not null,
    params_hash text not null,
    as_of timestamptz not null
);
create index memories_by_agent on memory.memories (agent_id, occurred_at);

comment on table memory.memories is 'Every memory that the source holds, with what became of it; a memory deleted in the source is gone here';
comment on column memory.memories.memory_id is 'The id in the source, as text';
comment on column memory.memories.agent_id is 'Whose memory it is';
comment on column memory.memories.session_id is 'Conversation or session in which it was formed';
comment on column memory.memories.speaker is 'Who said it';
comment on column memory.memories.content is 'The text; null when the source has none';
comment on column memory.memories.occurred_at is 'When it happened, by the source';
comment on column memory.memories.state is 'live; forgotten (demoted by nightly decay until the next access); repeat (of repeat_of); superseded (by a later statement)';
comment on column memory.memories.repeat_of is 'The memory that this one repeats and strengthens';
comment on column memory.memories.stability_days is 'Days until retention falls to .9 (FSRS-6); null for a repeat';
comment on column memory.memories.difficulty is 'How hard the memory is to strengthen, 1 to 10 (FSRS-6)';
comment on column memory.memories.last_accessed_at is 'When it was formed, recalled or repeated last; retention runs from here';
comment on column memory.memories.access_count is 'How often it was formed, recalled or repeated';
comment on column memory.memories.is_long_term is 'Whether replay has consolidated it';
comment on column memory.memories.arousal is 'Emotional arousal, 0 to 1: the source''s own, else from the text';
comment on column memory.memories.importance is 'The source''s own importance, 0 to 1';
comment on column memory.memories.tags is 'The source''s own tags';
comment on column memory.memories.run_id is 'Run that last changed the row';
comment on column memory.memories.params_hash is 'Hash of the parameters of that run';
comment on column memory.memories.as_of is 'Instant that that run computed';

create table memory.working_memory (
    agent_id text not null,
    rank integer not null,
    memory_id text not null,
    activation double precision not null,
    last_accessed_at timestamptz not null,
    run_id text not null,
    params_hash text not null,
    as_of timestamptz not null,
    primary key (agent_id, rank)
);

comment on table memory.working_memory is 'What each agent has in mind at the end of the last window, at most working_memory_capacity memories';
comment on column memory.working_memory.agent_id is 'Whose working memory';
comment on column memory.working_memory.rank is '1 is the most active';
comment on column memory.working_memory.memory_id is 'The memory';
comment on column memory.working_memory.activation is 'Base level (log of the power-law sum of past accesses, times in seconds) plus spreading activation';
comment on column memory.working_memory.last_accessed_at is 'Its last access';
comment on column memory.working_memory.run_id is 'Run that last changed the row';
comment on column memory.working_memory.params_hash is 'Hash of the parameters of that run';
comment on column memory.working_memory.as_of is 'Instant that that run computed';

create table memory.short_term (
    agent_id text not null,
    window_start timestamptz not null,
    memory_id text not null,
    is_accessed boolean not null,
    is_in_working_memory boolean not null,
    activation double precision,
    run_id text not null,
    params_hash text not null,
    as_of timestamptz not null,
    primary key (agent_id, window_start, memory_id)
);

comment on table memory.short_term is 'The newest 100 windows of 30 seconds of each agent: what was accessed in them and what was in mind at their end';
comment on column memory.short_term.agent_id is 'Whose window';
comment on column memory.short_term.window_start is 'Beginning of the window';
comment on column memory.short_term.memory_id is 'A memory accessed in the window or in working memory at its end';
comment on column memory.short_term.is_accessed is 'Accessed within the window';
comment on column memory.short_term.is_in_working_memory is 'In working memory at the end of the window';
comment on column memory.short_term.activation is 'Base level at the end of the window';
comment on column memory.short_term.run_id is 'Run that last changed the row';
comment on column memory.short_term.params_hash is 'Hash of the parameters of that run';
comment on column memory.short_term.as_of is 'Instant that that run computed';

create table memory.long_term (
    memory_id text primary key,
    agent_id text not null,
    promoted_at timestamptz not null,
    consolidation double precision not null,
    stability_days double precision not null,
    replays integer not null,
    run_id text not null,
    params_hash text not null,
    as_of timestamptz not null
);
create index long_term_by_agent on memory.long_term (agent_id, consolidation desc);

comment on table memory.long_term is 'Memories that replay has consolidated';
comment on column memory.long_term.memory_id is 'The memory';
comment on column memory.long_term.agent_id is 'Whose memory';
comment on column memory.long_term.promoted_at is 'Sleep cycle in which it became long-term';
comment on column memory.long_term.consolidation is 'How far it is consolidated, 0 to 1; long-term from long_term_memory_threshold';
comment on column memory.long_term.stability_days is 'Days until retention falls to .9, as of its last replay';
comment on column memory.long_term.replays is 'How often it was replayed';
comment on column memory.long_term.run_id is 'Run that last changed the row';
comment on column memory.long_term.params_hash is 'Hash of the parameters of that run';
comment on column memory.long_term.as_of is 'Instant that that run computed';

create table memory.associations (
    agent_id text not null,
    memory_a text not null,
    memory_b text not null,
    trace double precision not null,
    last_coactive_at timestamptz not null,
    coactivations integer not null,
    is_pruned boolean not null,
    run_id text not null,
    params_hash text not null,
    as_of timestamptz not null,
    primary key (agent_id, memory_a, memory_b)
);
create index associations_by_memory_b on memory.associations (agent_id, memory_b);

comment on table memory.associations is 'Pairs of memories that were in mind together (memory_a < memory_b)';
comment on column memory.associations.agent_id is 'Whose memories';
comment on column memory.associations.memory_a is 'The memory with the lesser id';
comment on column memory.associations.memory_b is 'The memory with the greater id';
comment on column memory.associations.trace is 'Hebbian trace at last_coactive_at; its strength at any instant is memory.association_strength(trace, last_coactive_at, at)';
comment on column memory.associations.last_coactive_at is 'When the two were last in mind together';
comment on column memory.associations.coactivations is 'How often they were';
comment on column memory.associations.is_pruned is 'Found too weak in both directions by the last weekly homeostasis';
comment on column memory.associations.run_id is 'Run that last changed the row';
comment on column memory.associations.params_hash is 'Hash of the parameters of that run';
comment on column memory.associations.as_of is 'Instant that that run computed';

create table memory.concepts (
    agent_id text not null,
    concept text not null,
    kind text not null,
    memories integer not null,
    first_mentioned_at timestamptz not null,
    last_mentioned_at timestamptz not null,
    run_id text not null,
    params_hash text not null,
    as_of timestamptz not null,
    primary key (agent_id, concept)
);

comment on table memory.concepts is 'What an agent''s memories are about';
comment on column memory.concepts.agent_id is 'Whose concept';
comment on column memory.concepts.concept is 'Tag, name or term';
comment on column memory.concepts.kind is 'tag (the source''s own), name or term';
comment on column memory.concepts.memories is 'Memories that mention it';
comment on column memory.concepts.first_mentioned_at is 'The first of them';
comment on column memory.concepts.last_mentioned_at is 'The last of them';
comment on column memory.concepts.run_id is 'Run that last changed the row';
comment on column memory.concepts.params_hash is 'Hash of the parameters of that run';
comment on column memory.concepts.as_of is 'Instant that that run computed';

create table memory.semantic_network (
    agent_id text not null,
    relation text not null,
    source_id text not null,
    target_id text not null,
    strength double precision not null,
    community_id text,
    run_id text not null,
    params_hash text not null,
    as_of timestamptz not null,
    primary key (agent_id, relation, source_id, target_id)
);
create index semantic_network_by_target on memory.semantic_network (agent_id, target_id);

comment on table memory.semantic_network is 'Edges among long-term memories and concepts, as of the last weekly homeostasis';
comment on column memory.semantic_network.agent_id is 'Whose network';
comment on column memory.semantic_network.relation is 'associated (memory, memory), about (memory, concept) or related (concept, concept)';
comment on column memory.semantic_network.source_id is 'Memory id or concept';
comment on column memory.semantic_network.target_id is 'Memory id or concept';
comment on column memory.semantic_network.strength is 'Strength of the edge, 0 to 1';
comment on column memory.semantic_network.community_id is 'The concept that the edge''s community is named after';
comment on column memory.semantic_network.run_id is 'Run that last changed the row';
comment on column memory.semantic_network.params_hash is 'Hash of the parameters of that run';
comment on column memory.semantic_network.as_of is 'Instant that that run computed';

create table memory.decisions (
    decision_id text primary key,
    memory_id text not null,
    other_memory_id text,
    agent_id text not null,
    stage text not null,
    decision text not null,
    decided_at timestamptz not null,
    inputs jsonb not null,
    threshold double precision,
    result text,
    revises text,
    is_current boolean not null,
    run_id text not null,
    params_hash text not null,
    as_of timestamptz not null
);
create index decisions_by_memory on memory.decisions (memory_id, decided_at);
create index decisions_by_agent on memory.decisions (agent_id, decided_at);

comment on table memory.decisions is 'The ledger: every change of a decision about a memory, with its arithmetic';
comment on column memory.decisions.decision_id is 'Hash of what was decided';
comment on column memory.decisions.memory_id is 'The memory it is about';
comment on column memory.decisions.other_memory_id is 'The other end of a pruned association';
comment on column memory.decisions.agent_id is 'Whose memory';
comment on column memory.decisions.stage is 'Stage that decided';
comment on column memory.decisions.decision is 'promote, demote, restore, prune, merge, supersede or delete';
comment on column memory.decisions.decided_at is 'Event or grid time at which it was decided';
comment on column memory.decisions.inputs is 'The numbers that went in';
comment on column memory.decisions.threshold is 'The threshold that was crossed';
comment on column memory.decisions.result is 'What came out';
comment on column memory.decisions.revises is 'The decision that this one replaces, after a late event';
comment on column memory.decisions.is_current is 'Whether it still holds';
comment on column memory.decisions.run_id is 'Run that wrote it';
comment on column memory.decisions.params_hash is 'Hash of the parameters of that run';
comment on column memory.decisions.as_of is 'Instant that that run computed';

create table memory.health (
    agent_id text not null,
    layer text not null,
    metric text not null,
    measured_at timestamptz not null,
    value double precision,
    run_id text not null,
    params_hash text not null,
    as_of timestamptz not null,
    primary key (agent_id, layer, metric, measured_at)
);

comment on table memory.health is 'Counts and averages over each agent''s memories, as of the last nightly decay';
comment on column memory.health.agent_id is 'Whose memories';
comment on column memory.health.layer is 'What is measured: a layer of the memory, or its nights';
comment on column memory.health.metric is 'The measure, by the names of the model memory_health';
comment on column memory.health.measured_at is 'Instant that the measure is of';
comment on column memory.health.value is 'The number';
comment on column memory.health.run_id is 'Run that last changed the row';
comment on column memory.health.params_hash is 'Hash of the parameters of that run';
comment on column memory.health.as_of is 'Instant that that run computed';

create table memory.runs (
    publish_id text primary key,
    run_id text not null,
    stage text not null,
    as_of timestamptz not null,
    params_hash text not null,
    changed_tables text[] not null,
    rows_written bigint not null,
    rows_deleted bigint not null,
    sequence bigint generated always as identity,
    published_at timestamptz not null default now()
);
create index runs_by_run on memory.runs (run_id, stage);
create index runs_by_sequence on memory.runs (sequence desc);

comment on table memory.runs is 'Every publication; committed together with the rows it published, so its last row tells how fresh the tables are';
comment on column memory.runs.run_id is 'The Airflow run';
comment on column memory.runs.stage is 'short_term_memory, consolidation, nightly_decay or weekly_homeostasis';
comment on column memory.runs.as_of is 'Instant that the run computed';
comment on column memory.runs.params_hash is 'Hash of its parameters';
comment on column memory.runs.publish_id is 'Mark of this publication; the warehouse keeps the same';
comment on column memory.runs.changed_tables is 'Tables in which rows changed';
comment on column memory.runs.rows_written is 'Rows inserted or updated';
comment on column memory.runs.rows_deleted is 'Rows deleted';
comment on column memory.runs.sequence is 'Order of the publications';
comment on column memory.runs.published_at is 'When it was committed (wall clock, for people; nothing is computed from it)';

create table memory.access_log (
    access_id bigint generated always as identity primary key,
    memory_id text not null,
    agent_id text not null,
    accessed_at timestamptz not null check (isfinite(accessed_at)),
    kind text not null default 'retrieve' check (kind in ('retrieve', 'restudy')),
    grade smallint not null default 3 check (grade between 1 and 4),
    origin text not null default 'recall'
);
create index access_log_by_memory on memory.access_log (memory_id, accessed_at);

comment on table memory.access_log is 'Accesses to memories, append only; the next window pulls them, and what is recalled is strengthened';
comment on column memory.access_log.access_id is 'Number of the access';
comment on column memory.access_log.memory_id is 'The memory that was accessed';
comment on column memory.access_log.agent_id is 'Who accessed it';
comment on column memory.access_log.accessed_at is 'When';
comment on column memory.access_log.kind is 'retrieve (recalled) or restudy (met again)';
comment on column memory.access_log.grade is '1 failed, 2 hard, 3 good, 4 easy (FSRS-6)';
comment on column memory.access_log.origin is 'What logged it';

create function memory.retention(
    stability_days double precision,
    last_accessed_at timestamptz,
    at timestamptz,
    decay double precision default 0.1542
) returns double precision
language sql immutable parallel safe
as $$
    select power(
        1 + (power(0.9::double precision, -1 / decay) - 1)
            * greatest(extract(epoch from at - last_accessed_at)::double precision / 86400, 0) / stability_days,
        -decay
    )
$$;

comment on function memory.retention is 'Probability, 0 to 1, that a memory can be recalled at an instant (FSRS-6: .9 after stability_days). decay is the last of fsrs_weights';

create function memory.association_strength(
    trace double precision,
    last_coactive_at timestamptz,
    at timestamptz,
    decay_rate double precision default 0.001
) returns double precision
language sql immutable parallel safe
as $$
    select 1 - exp(-trace * exp(-decay_rate
        * greatest(extract(epoch from at - last_coactive_at)::double precision / 3600, 0)))
$$;

comment on function memory.association_strength is 'Strength, 0 to 1, of an association at an instant. decay_rate is synaptic_decay_rate, per hour';
