-- What was pulled, as it was in the source, and the bookkeeping around it. dbt reads these tables and never writes them.
create table raw.memories (
    source_name varchar not null,
    memory_id varchar not null,
    agent_id varchar not null,
    session_id varchar,
    speaker varchar,
    content varchar,
    occurred_at timestamptz not null,
    updated_at timestamptz,
    importance double,
    arousal double,
    tags varchar[],
    metadata varchar,
    deleted_at timestamptz,
    text_arousal double not null,
    batch_id bigint not null
);

create table raw.revisions (
    memory_id varchar not null,
    revision integer not null,
    content_hash varchar not null,
    revised_at timestamptz not null,
    batch_id bigint not null
);

create table raw.access_log (
    access_id varchar not null,
    memory_id varchar not null,
    agent_id varchar not null,
    accessed_at timestamptz not null,
    kind varchar not null,
    grade integer not null,
    batch_id bigint not null
);

create table raw.agents (agent_id varchar not null primary key);

create table raw.pulls (
    batch_id bigint not null primary key,
    source_name varchar not null,
    run_id varchar,
    pulled_as_of timestamptz,
    horizon_before varchar,
    horizon_after varchar not null,
    rows_inserted bigint not null,
    rows_updated bigint not null,
    rows_deleted bigint not null,
    seconds double not null
);

create table raw.watermarks (
    source_name varchar not null primary key,
    horizon varchar not null,
    system_identifier varchar not null,
    batch_id bigint not null,
    polls bigint not null
);

create table raw.run_context (
    stage varchar not null primary key,
    run_id varchar not null,
    as_of timestamptz not null,
    params_hash varchar not null,
    agent_id varchar,
    sequence bigint not null,
    all_agents_as_of timestamptz
);

create table raw.agent_clock (
    stage varchar not null,
    agent_id varchar not null,
    as_of timestamptz not null,
    previous_as_of timestamptz,
    batch_from bigint not null,
    batch_upto bigint not null,
    replay_sequence_from bigint not null,
    is_in_run boolean not null,
    completed_sequence bigint not null,
    replay_sequence_upto bigint not null,
    begun_sequence bigint not null
);

comment on table raw.memories is 'One row per memory id of a source, as last pulled; a vanished row stays with deleted_at set';
comment on column raw.memories.text_arousal is 'Emotional arousal of the content, [0, 1], by VADER';
comment on column raw.memories.batch_id is 'The pull that last changed the row (raw.pulls)';
comment on table raw.revisions is 'One row per edit of a memory''s content; append only';
comment on table raw.access_log is 'Accesses to memories as logged by recall; append only';
comment on table raw.agents is 'Every agent that ever had a memory';
comment on table raw.pulls is 'One row per pull that was committed';
comment on table raw.watermarks is 'How far each source was pulled: every transaction before horizon is in';
comment on column raw.watermarks.horizon is 'pg_snapshot_xmin (xid8) taken before the rows were read';
comment on table raw.run_context is 'The run that each stage is in, or was last in';
comment on column raw.run_context.as_of is 'Up to when the last run over all agents computed (the first run''s, before there was one)';
comment on column raw.run_context.all_agents_as_of is 'as_of of the last run over all agents; null before the first';
comment on column raw.run_context.sequence is 'Number of the run, rising over all stages';
comment on table raw.agent_clock is 'How far each agent''s memories were computed, per stage';
comment on column raw.agent_clock.previous_as_of is 'as_of of the last completed run; null when there is none or all is to be refreshed';
comment on column raw.agent_clock.batch_from is 'Last batch that the last completed run saw; rows of later batches are new';
comment on column raw.agent_clock.batch_upto is 'Last batch there was when the current run began';
comment on column raw.agent_clock.replay_sequence_from is 'Replays written by a consolidation run after this sequence are new to short_term_memory';
comment on column raw.agent_clock.replay_sequence_upto is 'Sequence of the last consolidation completed when the current run began';
comment on column raw.agent_clock.begun_sequence is 'Sequence of the last run begun for the agent';
comment on column raw.agent_clock.completed_sequence is 'Sequence of the last run completed for the agent; equal to begun_sequence when nothing is half done';

-- What the target holds of each published table, so that only changes are sent.
create schema published;

create table published.rows (
    table_name varchar not null,
    row_key varchar not null,
    row_hash varchar not null
);

create table published.mark (
    table_name varchar not null primary key,
    publish_id varchar not null
);

comment on table published.rows is 'Key and hash of every row that was published, per table of schema memory in the target';
comment on table published.mark is 'Per table, the publication that last changed it; differs from the target''s when one side was lost or restored';
