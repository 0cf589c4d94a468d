-- Up to when each source is known to be complete: how far it lags behind when it cannot be reached.
alter table raw.watermarks add column complete_as_of timestamptz;

comment on column raw.watermarks.complete_as_of is 'Instant of the last run whose pull of the source ended well; null before there was one';
