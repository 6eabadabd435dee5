-- Keys are drawn in the order of time, ids of events are not: by key, new entries stand side by side, and
-- a commit changes a few pages of this index instead of one for each event.
DROP INDEX records_event;
CREATE UNIQUE INDEX records_event ON records (ifnull(key, x''), event_id, place >> 48)
    WHERE event_id IS NOT NULL;
