-- What tells the last applied record from every other: where another record stands at its offset, the log is another one, or was set
-- back. NULL = none was applied since the position was set.
ALTER TABLE positions ADD COLUMN seal BIGINT;
