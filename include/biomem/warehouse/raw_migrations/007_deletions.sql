-- Deletions that were taken back: raw.memories holds the one in force only, and a rebuild tells the others from here.
create table raw.deletions (
    memory_id varchar not null,
    occasion integer not null,
    agent_id varchar not null,
    deleted_at timestamptz not null,
    undeleted_at timestamptz,
    batch_id bigint not null
);

comment on table raw.deletions is 'One row per deletion in the source after which the memory appeared there again; append only';
comment on column raw.deletions.occasion is 'Its number among those of the memory, from 1';
comment on column raw.deletions.agent_id is 'Whose memory it was then';
comment on column raw.deletions.undeleted_at is 'When it was back: by the source''s own time of the change, if it keeps one';
