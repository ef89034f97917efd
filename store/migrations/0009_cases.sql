-- Adverse events as cases. The table adverse_events was made by its kind before there were cases.

CREATE TABLE IF NOT EXISTS adverse_events (
    id        TEXT   NOT NULL PRIMARY KEY,
    content   TEXT   NOT NULL, -- JSON
    result    TEXT   NOT NULL DEFAULT '', -- JSON
    check_sum BIGINT NOT NULL DEFAULT 0 -- of result
);

ALTER TABLE adverse_events ADD COLUMN content_check_sum BIGINT NOT NULL DEFAULT 0; -- of content; 0 in rows of earlier versions, whose digest is of all of it
ALTER TABLE adverse_events ADD COLUMN sequence BIGINT NOT NULL DEFAULT 0; -- offset of the record
ALTER TABLE adverse_events ADD COLUMN state TEXT NOT NULL DEFAULT 'open'; -- of standing
ALTER TABLE adverse_events ADD COLUMN standing TEXT NOT NULL DEFAULT ''; -- JSON: where the case stands; '' is open
ALTER TABLE adverse_events ADD COLUMN standing_check_sum BIGINT NOT NULL DEFAULT 0; -- of standing

UPDATE adverse_events SET sequence =
    COALESCE((SELECT s.sequence FROM submissions s WHERE s.kind = 'adverse-event' AND s.id = adverse_events.id), 0);

-- What was done with each case, in the order of the log.
CREATE TABLE adverse_event_steps (
    case_id   TEXT   NOT NULL,
    sequence  BIGINT NOT NULL, -- offset of the record
    step_key  TEXT   NOT NULL, -- names the step within its case
    at        BIGINT NOT NULL, -- when it was recorded
    outcome   TEXT   NOT NULL, -- what came of it
    state     TEXT   NOT NULL, -- where the case stood then
    content   TEXT   NOT NULL, -- JSON: what was recorded
    check_sum BIGINT NOT NULL, -- of sequence, at, outcome, state and content; 0 where this migration made the row
    PRIMARY KEY (case_id, sequence)
) WITHOUT ROWID;

INSERT INTO adverse_event_steps (case_id, sequence, step_key, at, outcome, state, content, check_sum)
    SELECT id, sequence, 'received', received_at, 'received', 'open', '{"id":"' || id || '","step":""}', 0
    FROM submissions WHERE kind = 'adverse-event';

CREATE UNIQUE INDEX adverse_event_steps_key ON adverse_event_steps (case_id, step_key);
CREATE UNIQUE INDEX adverse_event_steps_sequence ON adverse_event_steps (sequence);
CREATE INDEX adverse_events_state ON adverse_events (state, sequence);
