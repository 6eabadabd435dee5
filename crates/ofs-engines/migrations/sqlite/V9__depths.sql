-- How many rows of each owner wait in each lane, kept by the statements that add and remove them.
CREATE TABLE depths (
    lane  TEXT NOT NULL,
    owner TEXT NOT NULL,
    rows  INTEGER NOT NULL,
    PRIMARY KEY (lane, owner)
) STRICT, WITHOUT ROWID;
INSERT INTO depths SELECT 'outbox', owner, count(*) FROM outbox GROUP BY owner;
INSERT INTO depths SELECT 'index', owner, count(*) FROM owed_index GROUP BY owner;
INSERT INTO depths SELECT 'refused', owner, count(*) FROM refused_documents GROUP BY owner;
INSERT INTO depths SELECT 'parked', owner, count(*) FROM parked_events
    WHERE state = 'parked' GROUP BY owner;

CREATE TRIGGER outbox_grows AFTER INSERT ON outbox BEGIN
    INSERT INTO depths (lane, owner, rows) VALUES ('outbox', NEW.owner, 1)
    ON CONFLICT (lane, owner) DO UPDATE SET rows = rows + 1;
END;
CREATE TRIGGER outbox_shrinks AFTER DELETE ON outbox BEGIN
    UPDATE depths SET rows = rows - 1 WHERE lane = 'outbox' AND owner = OLD.owner;
END;
CREATE TRIGGER owed_index_grows AFTER INSERT ON owed_index BEGIN
    INSERT INTO depths (lane, owner, rows) VALUES ('index', NEW.owner, 1)
    ON CONFLICT (lane, owner) DO UPDATE SET rows = rows + 1;
END;
CREATE TRIGGER owed_index_shrinks AFTER DELETE ON owed_index BEGIN
    UPDATE depths SET rows = rows - 1 WHERE lane = 'index' AND owner = OLD.owner;
END;
CREATE TRIGGER refused_documents_grow AFTER INSERT ON refused_documents BEGIN
    INSERT INTO depths (lane, owner, rows) VALUES ('refused', NEW.owner, 1)
    ON CONFLICT (lane, owner) DO UPDATE SET rows = rows + 1;
END;
CREATE TRIGGER refused_documents_shrink AFTER DELETE ON refused_documents BEGIN
    UPDATE depths SET rows = rows - 1 WHERE lane = 'refused' AND owner = OLD.owner;
END;
CREATE TRIGGER parked_events_grow AFTER INSERT ON parked_events
WHEN NEW.state = 'parked' BEGIN
    INSERT INTO depths (lane, owner, rows) VALUES ('parked', NEW.owner, 1)
    ON CONFLICT (lane, owner) DO UPDATE SET rows = rows + 1;
END;
CREATE TRIGGER parked_events_close AFTER UPDATE OF state ON parked_events
WHEN OLD.state = 'parked' AND NEW.state <> 'parked' BEGIN
    UPDATE depths SET rows = rows - 1 WHERE lane = 'parked' AND owner = OLD.owner;
END;
CREATE TRIGGER parked_events_open_again AFTER UPDATE OF state ON parked_events
WHEN OLD.state <> 'parked' AND NEW.state = 'parked' BEGIN
    UPDATE depths SET rows = rows + 1 WHERE lane = 'parked' AND owner = NEW.owner;
END;
CREATE TRIGGER parked_events_shrink AFTER DELETE ON parked_events
WHEN OLD.state = 'parked' BEGIN
    UPDATE depths SET rows = rows - 1 WHERE lane = 'parked' AND owner = OLD.owner;
END;
-- The oldest of an owner.
CREATE INDEX parked_events_open_by_owner ON parked_events (owner, id) WHERE state = 'parked';
