-- What was removed for good, so that it is not pulled again and anybody can see that it was done. No content.
create table raw.receipts (
    memory_id varchar not null,
    agent_id varchar not null,
    source_name varchar not null,
    forgotten_at timestamptz not null,
    requested_by varchar not null,
    reason varchar,
    rows_removed varchar not null,
    is_blocked boolean not null,
    is_complete boolean not null
);

comment on table raw.receipts is 'One row per memory that was removed for good (biomem forget --hard); append only';
comment on column raw.receipts.forgotten_at is 'When it was asked for';
comment on column raw.receipts.requested_by is 'Who asked for it';
comment on column raw.receipts.reason is 'Why, in the words of who asked';
comment on column raw.receipts.rows_removed is 'JSON: rows that held or named the memory, per table';
comment on column raw.receipts.is_blocked is 'Whether the source''s row is left out of every pull';
comment on column raw.receipts.is_complete is 'Whether every layer was reached; false after a deletion that was cut short';
