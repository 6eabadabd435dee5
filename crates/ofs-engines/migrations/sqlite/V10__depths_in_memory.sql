-- One process has the file: it counts when it opens it, and keeps count from then on.
DROP TRIGGER outbox_grows;
DROP TRIGGER outbox_shrinks;
DROP TRIGGER owed_index_grows;
DROP TRIGGER owed_index_shrinks;
DROP TRIGGER refused_documents_grow;
DROP TRIGGER refused_documents_shrink;
DROP TRIGGER parked_events_grow;
DROP TRIGGER parked_events_close;
DROP TRIGGER parked_events_open_again;
DROP TRIGGER parked_events_shrink;
DROP TABLE depths;
