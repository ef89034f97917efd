-- Endpoints that events are sent to. They are made of the topic webhook-endpoints; position and what follows it say how far
-- sending has come, and are lost with these rows: then events are sent again.

CREATE TABLE webhook_endpoints (
    id         TEXT   NOT NULL PRIMARY KEY,
    url        TEXT   NOT NULL,
    types      TEXT   NOT NULL, -- JSON: list
    study      TEXT   NOT NULL, -- "": events of all studies
    secrets    TEXT   NOT NULL, -- JSON: list of secret and until, the newest first
    created_at BIGINT NOT NULL,
    check_sum  BIGINT NOT NULL, -- of all above
    state      TEXT   NOT NULL, -- active, disabled, deleted
    changed    BIGINT NOT NULL, -- offset of the last record about it
    generation BIGINT NOT NULL, -- offset of the last record that says where to begin
    reason     TEXT   NOT NULL, -- why it is disabled
    position   TEXT   NOT NULL  -- among the events: every event up to it is delivered, is not for this endpoint, or has a row below
) WITHOUT ROWID;

-- Events that wait to be sent once more, that were given up, and the last ones that were delivered.
CREATE TABLE webhook_deliveries (
    endpoint    TEXT    NOT NULL,
    sequence    BIGINT  NOT NULL, -- of the event
    event_id    TEXT    NOT NULL,
    type        TEXT    NOT NULL, -- of the event
    subject     TEXT    NOT NULL, -- whose events keep their order
    state       TEXT    NOT NULL, -- waiting, delivered, parked
    attempts    INTEGER NOT NULL,
    first_at    BIGINT  NOT NULL, -- first attempt; 0: none yet
    last_at     BIGINT  NOT NULL,
    next_at     BIGINT  NOT NULL, -- next attempt, when the subject's earlier events are delivered or parked; 0: at once
    last_status INTEGER NOT NULL, -- HTTP status; 0: no answer
    last_error  TEXT    NOT NULL,
    PRIMARY KEY (endpoint, sequence)
) WITHOUT ROWID;

CREATE INDEX webhook_deliveries_by_state ON webhook_deliveries (endpoint, state, sequence);
