-- Responses to questionnaires, a row for each revision, and the adverse events that follow from them. What all
-- submissions have stands in submissions, under the id of the revision.

CREATE TABLE questionnaire_responses (
    id          TEXT    NOT NULL PRIMARY KEY, -- of the revision: that of the response, or of a later one "QR-1~2"
    response_id TEXT    NOT NULL,
    revision    INTEGER NOT NULL,
    latest      INTEGER NOT NULL DEFAULT 1, -- in the row of the first revision: the number of the latest
    superseded  INTEGER NOT NULL DEFAULT 0, -- 1 if there is a later revision
    instrument  TEXT    NOT NULL,
    authored_at BIGINT  NOT NULL,
    content     TEXT    NOT NULL, -- JSON: what was read in the original, and decided when it came
    content_crc BIGINT  NOT NULL, -- CRC-32C of content
    original    TEXT    NOT NULL, -- the document exactly as it came; its SHA-256 stands in submissions
    result      TEXT    NOT NULL DEFAULT '', -- JSON: scores and mismatches
    result_crc  BIGINT  NOT NULL DEFAULT 0 -- CRC-32C of result
) WITHOUT ROWID;

-- Scores that other definitions than those that responses name made of them, beside their own.
CREATE TABLE questionnaire_rescores (
    id          TEXT   NOT NULL, -- of the revision
    version     TEXT   NOT NULL, -- of the definition
    rule_sha256 TEXT   NOT NULL, -- of the definition
    sha256      TEXT   NOT NULL, -- of the record
    made_at     BIGINT NOT NULL,
    result      TEXT   NOT NULL, -- JSON: scores and mismatches
    PRIMARY KEY (id, version, rule_sha256)
) WITHOUT ROWID;

CREATE TABLE adverse_events (
    id      TEXT NOT NULL PRIMARY KEY,
    content TEXT NOT NULL, -- JSON
    result  TEXT NOT NULL DEFAULT '' -- JSON: the state of the case
) WITHOUT ROWID;
