CREATE INDEX parked_events_by_order ON parked_events (key, id);
