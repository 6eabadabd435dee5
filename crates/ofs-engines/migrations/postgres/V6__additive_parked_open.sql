CREATE INDEX parked_events_open_by_id ON parked_events (id) WHERE state = 'parked';
