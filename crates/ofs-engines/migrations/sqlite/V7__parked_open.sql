CREATE INDEX parked_events_open ON parked_events (id) WHERE state = 'parked';
