-- Other cursors than the xmin window, and backfills that go on where they were cut short.
alter table raw.watermarks add column position varchar;

alter table raw.memories alter column text_arousal drop not null;

create table raw.backfills (
    source_name varchar not null primary key,
    horizon varchar not null,
    position varchar not null,
    identity varchar not null,
    storage varchar not null,
    next_page bigint not null,
    rows_read bigint not null,
    sessions integer not null
);

comment on column raw.watermarks.position is 'Where the cursor goes on: the horizon, a pg_snapshot, or the LSN of a slot; null before there were cursors';
comment on column raw.memories.text_arousal is 'Emotional arousal of the content, [0, 1], by VADER; null while a backfilled row waits to be encoded, which no model sees';
comment on column raw.memories.batch_id is 'The pull that last changed the row (raw.pulls); 0 while it waits to be encoded';
comment on table raw.backfills is 'Big tables that are being read whole; the row goes when the backfill has ended';
comment on column raw.backfills.horizon is 'pg_snapshot_xmin (xid8) before the first page was read';
comment on column raw.backfills.position is 'Where the cursor goes on afterwards';
comment on column raw.backfills.storage is 'The files of the table and its partitions; another one means that rows have moved';
comment on column raw.backfills.next_page is 'Every page before this one was read';
comment on column raw.backfills.sessions is 'Pulls that worked on it; after the first, rows of several snapshots are mixed until the last step';
